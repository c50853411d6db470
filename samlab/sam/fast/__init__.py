"""SAM's encoder and decoder with the work that prompts share done once, and masks at full size."""
