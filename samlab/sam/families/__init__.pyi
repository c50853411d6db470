from .base import FamilySam as FamilySam
from .base import set_pixel_statistics as set_pixel_statistics
from .base import transformers_class as transformers_class
from .door import OPTIONS as OPTIONS
from .door import architecture_of as architecture_of
from .door import build_family as build_family
from .door import family_of as family_of
from .door import read_config as read_config
