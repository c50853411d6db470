"""Pictures to masks: SAM, its weights, its fast mask generator, and the embedded model."""
