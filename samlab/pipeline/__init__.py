"""The main job, pictures to segments with vectors: in one call, by words and boxes, and cached."""
