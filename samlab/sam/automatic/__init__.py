"""Automatic mask generation: points on a grid, proposals, filters, suppression."""
