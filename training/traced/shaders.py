"""Procedural materials: plain, patterned, rough, shiny; each with its own index in the id pass."""

from __future__ import annotations

import colorsys

import bpy
import numpy as np

Colour = tuple[float, float, float]

NATURAL: tuple[Colour, ...] = (
    (0.05, 0.55, 0.20),
    (0.08, 0.60, 0.30),
    (0.07, 0.45, 0.55),
    (0.09, 0.30, 0.75),
    (0.06, 0.35, 0.80),
    (0.25, 0.55, 0.18),
    (0.28, 0.45, 0.30),
    (0.22, 0.60, 0.10),
    (0.58, 0.30, 0.35),
    (0.60, 0.15, 0.60),
    (0.10, 0.10, 0.50),
    (0.00, 0.00, 0.80),
    (0.00, 0.00, 0.35),
    (0.60, 0.05, 0.12),
    (0.00, 0.00, 0.03),
    (0.12, 0.20, 0.85),
)
"""Hue, saturation, value of wood, soil, sand, skin, foliage, slate, paper, tar."""

TEXTURES = ("Noise", "Noise", "Noise", "Voronoi", "Wave", "Wave", "Brick", "Checker", "Magic")
CLOTH = ("Checker", "Wave", "Brick", "Voronoi", "Wave", "Checker", "Noise")


def colour(rng: np.random.Generator, near: Colour | None = None) -> Colour:
    """Hue, saturation, value: of the outdoors, or any; or a neighbour of `near`."""
    if near is not None:
        step = rng.normal(0, (0.03, 0.12, 0.10))
        h, s, v = np.array(near) + step
        return float(h % 1), float(np.clip(s, 0, 1)), float(np.clip(v, 0.02, 0.9))
    if rng.random() < 0.55:
        return colour(rng, NATURAL[rng.integers(len(NATURAL))])
    return float(rng.random()), float(rng.random() ** 1.2 * 0.95), float(rng.random() * 0.8 + 0.03)


def _rgba(hsv: Colour) -> tuple[float, float, float, float]:
    return (*colorsys.hsv_to_rgb(*hsv), 1.0)


class Shaders:
    """Makes the materials of one scene; `last` is the highest index given out."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.last = 0
        self.palette = [colour(rng) for _ in range(int(rng.integers(3, 8)))]

    def pick(self) -> Colour:
        """Mostly a colour that the scene has already: things in one picture go together."""
        if self.rng.random() < 0.5:
            return colour(self.rng, self.palette[self.rng.integers(len(self.palette))])
        return colour(self.rng)

    def make(
        self,
        hsv: Colour | None = None,
        *,
        cloth: bool = False,
        plain: float = 0.2,
        size: float = 1.0,
        index: int | None = None,
    ) -> bpy.types.Material:
        """A material; size: of the thing, by which patterns scale; plain: chance of no pattern;
        index: the id of another material that this one shall be one with."""
        rng = self.rng
        material = bpy.data.materials.new("m")
        if index is None:
            self.last += 1
        material.pass_index = self.last if index is None else index
        material.use_nodes = True
        nodes, links = material.node_tree.nodes, material.node_tree.links
        surface = nodes["Principled BSDF"]
        base = hsv or self.pick()
        surface.inputs["Roughness"].default_value = float(rng.uniform(0.05, 1) ** 0.6)
        surface.inputs["Metallic"].default_value = float(rng.random() < 0.12 and not cloth)
        if cloth:
            surface.inputs["Roughness"].default_value = 0.9
            surface.inputs["Sheen Weight"].default_value = float(rng.random() * 0.6)
        elif rng.random() < 0.04:
            surface.inputs["Transmission Weight"].default_value = 0.9
        if rng.random() < plain:
            surface.inputs["Base Color"].default_value = _rgba(base)
            if rng.random() < 0.5:
                height = self._texture(nodes, links, "Noise", size)
                self._bump(nodes, links, height, surface)
            return material
        kinds = CLOTH if cloth else TEXTURES
        texture = self._texture(nodes, links, str(rng.choice(kinds)), size)
        ramp = nodes.new("ShaderNodeValToRGB")
        self._ramp(ramp.color_ramp, base, cloth)
        links.new(self._value(texture), ramp.inputs["Fac"])
        links.new(ramp.outputs["Color"], surface.inputs["Base Color"])
        if rng.random() < 0.45:
            self._bump(nodes, links, texture, surface)
        return material

    def _texture(self, nodes, links, kind: str, size: float):
        rng = self.rng
        texture = nodes.new(f"ShaderNodeTex{kind}")
        texture.inputs["Scale"].default_value = float(np.exp(rng.uniform(0.3, 3.6)) / size)
        if "Distortion" in texture.inputs:
            texture.inputs["Distortion"].default_value = float(rng.choice([0, rng.uniform(0, 6)]))
        if "Detail" in texture.inputs:
            texture.inputs["Detail"].default_value = float(rng.uniform(0, 8))
        if kind == "Voronoi":
            texture.feature = str(rng.choice(["F1", "F2", "DISTANCE_TO_EDGE"]))
        coordinates = nodes.new("ShaderNodeTexCoord")
        mapping = nodes.new("ShaderNodeMapping")
        mapping.inputs["Rotation"].default_value = rng.uniform(0, 6.3, 3).tolist()
        stretch = np.exp(rng.normal(0, 0.5, 3)) if rng.random() < 0.4 else np.ones(3)
        mapping.inputs["Scale"].default_value = stretch.tolist()
        links.new(coordinates.outputs["Object"], mapping.inputs["Vector"])
        links.new(mapping.outputs["Vector"], texture.inputs["Vector"])
        return texture

    def _value(self, texture):
        if texture.bl_idname == "ShaderNodeTexVoronoi" and texture.feature == "F1":
            return texture.outputs["Color" if self.rng.random() < 0.5 else "Distance"]
        fac = texture.outputs.get("Fac") or texture.outputs.get("Distance")
        return fac or texture.outputs[0]

    def _ramp(self, ramp, base: Colour, cloth: bool) -> None:
        rng = self.rng
        first, last = ramp.elements
        strong = rng.random() < (0.7 if cloth else 0.35)
        other = colour(rng) if strong else colour(rng, base)
        first.color, last.color = _rgba(base), _rgba(other)
        if rng.random() < 0.5:  # a hard step: a print rather than a stain
            middle = rng.uniform(0.3, 0.7)
            first.position, last.position = middle - 0.02, middle + 0.02
        if rng.random() < 0.4:
            ramp.elements.new(float(rng.random())).color = _rgba(colour(rng, base))

    def _bump(self, nodes, links, texture, surface) -> None:
        bump = nodes.new("ShaderNodeBump")
        bump.inputs["Strength"].default_value = float(self.rng.random())
        bump.inputs["Distance"].default_value = 0.05
        links.new(self._value(texture), bump.inputs["Height"])
        links.new(bump.outputs["Normal"], surface.inputs["Normal"])
