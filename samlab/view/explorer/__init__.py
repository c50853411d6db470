"""The explorer: picture, map, distance curve and class table, linked."""
