from .annotator import Annotator as Annotator
from .annotator import annotate as annotate
