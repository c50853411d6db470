from .funnel import filter_funnel as filter_funnel
from .funnel import suppressed_by as suppressed_by
from .generator import MaskGenerator as MaskGenerator
from .generator import default_pred_iou_thresh as default_pred_iou_thresh
from .proposals import Proposals as Proposals
