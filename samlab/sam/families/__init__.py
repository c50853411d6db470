"""Every SAM after the first: a file per family, from its weights to what `load_sam` returns."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
