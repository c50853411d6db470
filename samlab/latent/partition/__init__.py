"""Masks that overlap: which lies in which, and the disjoint regions that stand for all of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
