"""The objects of one scene and what belongs to what: wholes, their objects, their materials."""

from __future__ import annotations

from dataclasses import dataclass, field

import bpy
import numpy as np

from training.traced.meshes import Mesh
from training.traced.shaders import Shaders


@dataclass
class Stage:
    """A scene in the making.

    owner: whole of each object index (0 is the sky); kind: of each whole, equal for copies.
    """

    rng: np.random.Generator
    shaders: Shaders = field(init=False)
    owner: list[int] = field(default_factory=lambda: [0])
    kind: list[int] = field(default_factory=lambda: [1])

    def __post_init__(self) -> None:
        self.shaders = Shaders(self.rng)

    def whole(self, kind: int | None = None) -> int:
        """A new thing; kind: that of a copy, None for one of its own."""
        self.kind.append(max(self.kind) + 1 if kind is None else kind)
        return len(self.kind) - 1

    def add(
        self,
        mesh: Mesh,
        materials: list[bpy.types.Material],
        whole: int,
        *,
        at: tuple[float, float, float] = (0, 0, 0),
        scale: float | tuple[float, float, float] = 1.0,
        turn: tuple[float, float, float] = (0, 0, 0),
        smooth: bool = True,
        bevel: float = 0.0,
        same_as: int | None = None,
    ) -> bpy.types.Object:
        """Put a mesh into the scene. same_as: index of an object that this one is a piece of."""
        data = bpy.data.meshes.new("mesh")
        data.from_pydata(mesh[0].tolist(), [], mesh[1])
        thing = bpy.data.objects.new("thing", data)
        bpy.context.scene.collection.objects.link(thing)
        if smooth:
            data.polygons.foreach_set("use_smooth", np.ones(len(data.polygons), bool))
        for material in materials:
            data.materials.append(material)
        thing.location, thing.rotation_euler = at, turn
        thing.scale = (scale,) * 3 if isinstance(scale, (int, float)) else scale
        if bevel:
            modifier = thing.modifiers.new("bevel", "BEVEL")
            modifier.width, modifier.segments = bevel, 3
        if same_as is None:
            self.owner.append(whole)
            thing.pass_index = len(self.owner) - 1
        else:
            thing.pass_index = same_as
        return thing
