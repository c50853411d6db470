"""What every widget stands on: the base class, the canvas, the page it is written to."""
