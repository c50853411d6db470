from .widget import Probe as Probe
from .widget import probe as probe
