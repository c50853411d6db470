from .nesting import parents as parents
from .nesting import with_parents as with_parents
from .regions import TOGETHER as TOGETHER
from .regions import partition as partition
from .regions import shared_pixels as shared_pixels
