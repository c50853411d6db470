"""Reports: the notebook run headless, one HTML page for a picture, an index for a folder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
