"""Reports: the notebook run headless, one HTML page for a picture, an index for a folder."""
