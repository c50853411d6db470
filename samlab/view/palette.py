"""The palette, which files use too and which therefore lives one floor down."""

from samlab.palette import NOISE, class_colors, hex_color, segment_colors

__all__ = ["NOISE", "class_colors", "hex_color", "segment_colors"]
