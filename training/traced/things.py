"""Things: turned, carved, cut, put together from parts, in one material or several."""

from __future__ import annotations

import bmesh
import bpy
import numpy as np

from training.traced import meshes
from training.traced.shaders import colour
from training.traced.stage import Stage

Point = tuple[float, float, float]


def solid(rng: np.random.Generator) -> tuple[meshes.Mesh, bool, float]:
    """A simple body about one unit large, whether it is smooth, and its bevel."""
    kind = rng.choice(["ball", "lathe", "lathe", "blob", "blob", "prism", "prism", "box", "box"])
    bevel = float(rng.choice([0, rng.uniform(0.01, 0.12)]))
    if kind == "ball":
        return meshes.ball(), True, 0.0
    if kind == "lathe":
        return meshes.lathe(rng), bool(rng.random() < 0.8), 0.0
    if kind == "blob":
        return meshes.blob(rng), True, 0.0
    if kind == "prism":
        return meshes.prism(rng), False, bevel * 0.5
    return meshes.box(), False, bevel


def _height(mesh: meshes.Mesh) -> float:
    return float(mesh[0][:, 2].max() - mesh[0][:, 2].min())


def bands(thing: bpy.types.Object, rng: np.random.Generator, count: int) -> None:
    """Give the faces of a thing its materials by height, by angle or by patches."""
    data = thing.data
    centres = np.zeros(3 * len(data.polygons))
    data.polygons.foreach_get("center", centres)
    centres = centres.reshape(-1, 3)
    mode = rng.choice(["height", "side", "patch"])
    if mode == "height":
        value = centres[:, 2]
    elif mode == "side":
        value = centres @ rng.normal(size=3)
    else:
        value = meshes.waves(rng, 5, rng.uniform(2, 6), 3)(centres)
    cuts = np.quantile(value, np.sort(rng.uniform(0.1, 0.9, count - 1)))
    data.polygons.foreach_set("material_index", np.searchsorted(cuts, value).astype(np.int32))
    data.update()


def cut(thing: bpy.types.Object, rng: np.random.Generator) -> None:
    """Slice a piece off; the cut face gets the second material."""
    mesh = bmesh.new()
    mesh.from_mesh(thing.data)
    normal = rng.normal(size=3)
    normal[2] = abs(normal[2])
    found = bmesh.ops.bisect_plane(
        mesh,
        geom=[*mesh.verts, *mesh.edges, *mesh.faces],
        clear_outer=True,
        plane_co=(rng.normal(size=3) * 0.05).tolist(),
        plane_no=(normal / np.linalg.norm(normal)).tolist(),
    )
    edges = [e for e in found["geom_cut"] if isinstance(e, bmesh.types.BMEdge)]
    filled = bmesh.ops.contextual_create(mesh, geom=edges)
    for face in filled["faces"]:
        face.material_index, face.smooth = 1, False
    mesh.to_mesh(thing.data)
    mesh.free()


class Template:
    """A kind of thing: every `place` is a copy, alike but for size and pose."""

    def __init__(self, stage: Stage, size: float) -> None:
        rng = stage.rng
        self.stage, self.size, self.kind = stage, size, None
        self.mesh, self.smooth, self.bevel = solid(rng)
        self.style = str(rng.choice(["one", "one", "bands", "cut", "built"]))
        base = stage.shaders.pick()
        second = colour(rng, base) if rng.random() < 0.4 else None
        make = stage.shaders.make
        self.materials = [make(base, size=1.0), make(second, size=1.0), make(size=1.0)]
        self.seed = int(rng.integers(1 << 30))
        self.stretch = np.exp(rng.normal(0, 0.3, 3))
        self.height = _height(self.mesh) * float(self.stretch[2])

    def place(self, at: Point, turn: Point, size: float | None = None) -> None:
        """A copy standing with its foot at `at`."""
        rng = np.random.default_rng(self.seed)  # copies are built alike
        stage, size = self.stage, size or self.size
        whole = stage.whole(self.kind)
        self.kind = stage.kind[whole]
        lift = -float(self.mesh[0][:, 2].min()) * float(self.stretch[2]) * size
        scale = tuple((self.stretch * size).tolist())
        place = (at[0], at[1], at[2] + lift)
        count = int(rng.integers(2, 4)) if self.style in ("bands", "cut") else 1
        thing = stage.add(
            self.mesh,
            self.materials[:count],
            whole,
            at=place,
            scale=scale,
            turn=turn,
            smooth=self.smooth,
            bevel=self.bevel,
        )
        if self.style == "bands":
            bands(thing, rng, count)
        elif self.style == "cut":
            cut(thing, rng)
        elif self.style == "built":
            self._attach(rng, whole, place, np.array(scale), turn)

    def _attach(self, rng, whole: int, at: Point, scale, turn: Point) -> None:
        """Further bodies on the first: lid, handle, knob, wheel, head."""
        stage = self.stage
        for _ in range(int(rng.integers(1, 5))):
            mesh, smooth, bevel = solid(rng)
            way = rng.normal(size=3)
            way = way / np.linalg.norm(way) * 0.5 * scale * rng.uniform(0.7, 1.1)
            c, s = np.cos(turn[2]), np.sin(turn[2])
            spot = (
                at[0] + c * way[0] - s * way[1],
                at[1] + s * way[0] + c * way[1],
                at[2] + abs(way[2]),
            )
            material = self.materials[int(rng.integers(3))]
            stage.add(
                mesh,
                [material],
                whole,
                at=spot,
                smooth=smooth,
                bevel=bevel * 0.5,
                turn=turn,
                scale=tuple(
                    (scale * rng.uniform(0.2, 0.6) * np.exp(rng.normal(0, 0.3, 3))).tolist()
                ),
            )


def creature(stage: Stage, at: Point, size: float, turn: float) -> None:
    """Something like an animal or a person: body, head, limbs; coat in one to three materials."""
    rng = stage.rng
    whole, make = stage.whole(), stage.shaders.make
    coat = [make(size=0.6, plain=0.4) for _ in range(3)]
    upright = rng.random() < 0.5
    c, s = np.cos(turn), np.sin(turn)

    def limb(x: float, y: float, z: float, sx: float, sy: float, sz: float, which: int) -> None:
        mesh = meshes.ball() if rng.random() < 0.7 else meshes.lathe(rng)
        spot = (at[0] + size * (c * x - s * y), at[1] + size * (s * x + c * y), at[2] + size * z)
        lean = rng.normal(0, 0.25, 2)
        stage.add(
            mesh,
            [coat[which]],
            whole,
            at=spot,
            turn=(lean[0], lean[1], turn),
            scale=(size * sx, size * sy, size * sz),
        )

    trunk, legs, top = (int(k) for k in rng.integers(0, 3, 3))
    if upright:
        limb(0, 0, 0.62, 0.3, 0.2, 0.45, trunk)
        limb(0, 0, 0.95, 0.18, 0.18, 0.22, top)
        for side in (-1, 1):
            limb(0.07 * side, 0, 0.22, 0.11, 0.12, 0.5, legs)
            limb(0.19 * side, 0, 0.6, 0.08, 0.09, 0.42, trunk)
        if rng.random() < 0.5:
            limb(0, 0, 1.05, 0.2, 0.2, 0.1, legs)
    else:
        limb(0, 0, 0.5, 0.9, 0.3, 0.32, trunk)
        limb(0.5, 0, 0.7, 0.28, 0.2, 0.24, top)
        limb(-0.5, 0, 0.55, 0.3, 0.06, 0.07, trunk)
        for x in (-0.3, 0.3):
            for side in (-1, 1):
                limb(x, 0.1 * side, 0.2, 0.1, 0.1, 0.45, legs)


def boxes(
    stage: Stage, parts: list[tuple[Point, Point, int]], at: Point, size: float, turn: float
) -> None:
    """Furniture and houses: boxes (centre, extent, which of three materials) as one whole."""
    rng = stage.rng
    whole = stage.whole()
    used = [stage.shaders.make(size=size) for _ in range(3)]
    c, s = np.cos(turn), np.sin(turn)
    bevel = float(rng.choice([0, rng.uniform(0.005, 0.04)]))
    for (x, y, z), extent, which in parts:
        spot = (at[0] + size * (c * x - s * y), at[1] + size * (s * x + c * y), at[2] + size * z)
        stage.add(
            meshes.box(),
            [used[which]],
            whole,
            at=spot,
            turn=(0, 0, turn),
            smooth=False,
            scale=tuple(size * e for e in extent),
            bevel=bevel,
        )


def table(rng: np.random.Generator, width: float = 1.6, deep: float = 0.9) -> list:
    legs = [
        ((x * width * 0.46, y * deep * 0.44, 0.36), (0.06, 0.06, 0.72), 1)
        for x in (-1, 1)
        for y in (-1, 1)
    ]
    return [((0, 0, 0.74), (width, deep, 0.05), 0), *legs]


def seat(rng: np.random.Generator) -> list:
    legs = [((x * 0.2, y * 0.2, 0.22), (0.05, 0.05, 0.44), 1) for x in (-1, 1) for y in (-1, 1)]
    if rng.random() < 0.5:  # a sofa
        wide = rng.uniform(0.8, 2)
        return [
            ((0, 0, 0.25), (wide, 0.8, 0.35), 0),
            ((0, 0.35, 0.6), (wide, 0.2, 0.6), 0),
            ((-wide / 2, 0, 0.4), (0.18, 0.8, 0.5), 0),
            ((wide / 2, 0, 0.4), (0.18, 0.8, 0.5), 0),
            ((rng.uniform(-0.3, 0.3) * wide, 0.15, 0.6), (0.4, 0.15, 0.35), 1),
        ]
    return [((0, 0, 0.46), (0.46, 0.46, 0.05), 0), ((0, 0.22, 0.75), (0.46, 0.04, 0.6), 2), *legs]


def shelf(rng: np.random.Generator) -> list:
    boards = [
        ((0, 0, z), (1.0, 0.3, 0.03), 0) for z in np.linspace(0.05, 1.7, int(rng.integers(3, 6)))
    ]
    sides = [((x, 0, 0.87), (0.03, 0.3, 1.74), 0) for x in (-0.5, 0.5)]
    return [*boards, *sides, ((0, 0.14, 0.87), (1.0, 0.02, 1.74), 1)]


def house(rng: np.random.Generator) -> list:
    wide, deep, tall = rng.uniform(0.8, 2), rng.uniform(0.6, 1.2), rng.uniform(0.5, 2.2)
    parts = [
        ((0, 0, tall / 2), (wide, deep, tall), 0),
        ((0, 0, tall + 0.06), (wide * 1.08, deep * 1.1, 0.12), 1),
    ]
    columns, rows = int(rng.integers(2, 6)), int(rng.integers(1, 5))
    for i in range(columns):
        for j in range(rows):
            x, z = (i + 0.5) / columns * wide - wide / 2, (j + 0.55) / rows * tall
            parts.append(((x, -deep / 2, z), (0.45 * wide / columns, 0.02, 0.5 * tall / rows), 2))
    return parts


FURNITURE = (table, seat, seat, shelf)
