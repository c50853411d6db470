"""Vectors to classes: DBSCAN and HDBSCAN, a radius that chooses itself, samples of large sets."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
