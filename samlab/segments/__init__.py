"""Segments: the one table that all of samlab works on and hands on."""

from __future__ import annotations

from samlab.segments.segments import Segments
from samlab.segments.sources import one_picture_each, with_source

__all__ = ["Segments", "one_picture_each", "with_source"]
