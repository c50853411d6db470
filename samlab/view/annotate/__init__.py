"""The annotator: a session of labelling, its journal, its proposals, and the widget over it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
