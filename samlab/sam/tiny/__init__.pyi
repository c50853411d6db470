from .model import build_tiny as build_tiny
from .model import read_maps as read_maps
