"""Segments to meaning: vectors, clusters, maps, neighbours. NumPy and scikit-learn, no SAM."""
