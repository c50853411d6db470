from .base import BaseWidget as BaseWidget
from .base import colors as colors
