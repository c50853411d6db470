"""Path-traced scenes for training: Blender as a Python module renders what `build` puts together.

Needs the extra `render` (bpy and OpenEXR, Python 3.11). Nothing is downloaded: every shape, every
material and every light is computed from a seed.
"""
