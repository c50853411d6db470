from .funnel import filter_funnel as filter_funnel
from .funnel import suppressed_by as suppressed_by
from .generator import MaskGenerator as MaskGenerator
from .proposals import Proposals as Proposals
