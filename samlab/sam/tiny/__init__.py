"""The embedded model: a small network whose region tree answers prompts as SAM would."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
