"""SAM's encoder and decoder with the work that prompts share done once, and masks at full size."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
