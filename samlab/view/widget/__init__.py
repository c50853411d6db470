"""What every widget stands on: the base class, the script, the page it is written to."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
