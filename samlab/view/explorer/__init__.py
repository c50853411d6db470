"""The explorer: picture, map, distance curve and class table, linked."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
