"""samlab: a notebook workbench for the latent space of Meta's Segment Anything Model.

Importing samlab is cheap: the public names stand in `__init__.pyi`, for type checkers as well, and
are looked up on first use; torch is imported only by what needs a model.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
