from .canvas import Canvas as Canvas
