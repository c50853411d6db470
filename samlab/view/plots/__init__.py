"""Plots that stand still, in matplotlib; the hover map in plotly."""
