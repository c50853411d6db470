"""Segments: the one table that every room of samlab hands to the next."""

from __future__ import annotations

from samlab.segments.segments import Segments

__all__ = ["Segments"]
