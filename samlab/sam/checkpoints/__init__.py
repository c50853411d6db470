"""Weights: which there are, where they lie, and whether they are what they say."""
