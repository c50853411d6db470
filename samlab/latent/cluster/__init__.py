"""Vectors to classes: DBSCAN and HDBSCAN, a radius that chooses itself, samples of large sets."""
