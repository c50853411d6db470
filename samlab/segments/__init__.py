"""Segments: the one table that all of samlab works on and hands on."""

from __future__ import annotations

from samlab.segments.segments import Segments

__all__ = ["Segments"]
