"""The embedded model: a small network whose region tree answers prompts as SAM would."""
