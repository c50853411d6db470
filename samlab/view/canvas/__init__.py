"""The canvas: a picture with its segments, alone and as the base of the other widgets."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
