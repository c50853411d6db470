from .base import Bench as Bench
from .base import colors as colors
from .canvas import still_scale as still_scale
