"""Procedural scenes: layers of things with parts, and the true hierarchy of everything visible.

`render(seed, size)` paints a picture from back to front. Every painted thing is a node of a tree:

- node 0 is the root, the whole picture; no material, almost never a leaf itself;
- children of the root are the *wholes*: background regions (sky, floor, wall) and objects. A whole
  hidden in parts by others is still one node, and each of the repeated objects is its own;
- below a whole lie its parts (made of another material, or attached), below these sub-parts.

The same seed and size give the same scene, on every machine with the same versions of NumPy and
OpenCV.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training import camera, materials, shapes, textures
from training.materials import Material

MAX_NODES = 240
"""Leaf numbers fit into a byte."""

MIN_PIXELS = 12
"""Things smaller than this are not painted."""


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it.

    image: uint8 (S, S, 3) RGB. leaf: int32 (S, S), the deepest node at each pixel. parents: int32
    (K,), the parent of each node, smaller than the node's own number; the root's is 0. materials:
    int32 (K,), equal for things of the same kind; 0 for the root alone.
    """

    image: NDArray[np.uint8]
    leaf: NDArray[np.int32]
    parents: NDArray[np.int32]
    materials: NDArray[np.int32]


@dataclass
class Layer:
    """Something painted: where it is visible at the moment of painting, and the light on it."""

    node: int
    material: Material
    hard: NDArray[np.bool_]
    x: int
    y: int
    light: NDArray[np.float32] | None
    highlight: NDArray[np.float32] | None


class Painter:
    """Canvas and tree of one scene in the making."""

    def __init__(self, rng: np.random.Generator, size: int, busy: bool = False) -> None:
        self.rng = rng
        self.busy = busy
        self.size = size
        self.zoom = size / 512
        self.canvas = np.zeros((size, size, 3), np.float32)
        self.leaf = np.zeros((size, size), np.int32)
        self.parents = [0]
        self.kinds = [0]
        self.last_kind = 0
        around, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 1.2)
        sun = np.array([np.cos(around), np.sin(around), height])
        self.sun = sun / np.linalg.norm(sun)
        self.shaded = rng.choice([0.25, 0.7, 1.0])
        """Share of things with relief: flat posters to strongly lit rooms."""

    def material(self, near: Material | None = None) -> Material:
        self.last_kind += 1
        return materials.make(self.rng, self.last_kind, near, self.busy)

    def node(self, parent: int, material: Material) -> int:
        self.parents.append(parent)
        self.kinds.append(material.key)
        return len(self.parents) - 1

    @property
    def full(self) -> bool:
        return len(self.parents) >= MAX_NODES

    def paint(
        self,
        mask: shapes.Mask,
        x: int,
        y: int,
        material: Material,
        parent: int,
        *,
        own_node: bool = True,
        on: Layer | None = None,
        soft: float = 0.6,
        turn: float = 0.0,
        tilt: float = 0.0,
        lit: bool = True,
    ) -> Layer | None:
        """Paint `mask` with its corner at (x, y); None where too little of it is visible.

        on: a layer that clips the mask and lends its light (a part painted on a thing); its frame
        must be the mask's. own_node False: the pixels stay the parent's.
        """
        rng, (height, width) = self.rng, mask.shape
        alpha = mask
        if on is not None:
            alpha = np.where(on.hard, mask, 0).astype(np.uint8)
        hard = alpha > 127
        if self.full or np.count_nonzero(hard) < MIN_PIXELS:
            return None
        albedo = materials.albedo(rng, material, height, width, self.zoom, turn, tilt)
        light = highlight = None
        if on is not None:
            light, highlight = on.light, on.highlight
        elif lit and rng.random() < self.shaded:
            light, highlight = materials.relief(rng, hard, self.sun, material.gloss, self.zoom)
        if light is not None:
            albedo *= light[..., None]
        if highlight is not None:
            albedo += 255 * highlight[..., None]
        if rng.random() < 0.08:  # a drawn or darkened outline
            rim = cv2.morphologyEx(alpha, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
            albedo *= (1 - rim * np.float32(rng.uniform(0.1, 0.6) / 255))[..., None]
        if soft > 0.3:
            edge = cv2.GaussianBlur(alpha, (0, 0), soft).astype(np.float32)
            if on is not None:
                edge *= on.hard
        else:
            edge = alpha.astype(np.float32)
        target = self.canvas[y : y + height, x : x + width]
        target += (albedo - target) * (edge / 255)[..., None]
        node = self.node(parent, material) if own_node else parent
        self.leaf[y : y + height, x : x + width][hard] = node
        return Layer(node, material, hard, x, y, light, highlight)

    def clip(self, mask: shapes.Mask, cx: float, cy: float) -> tuple[shapes.Mask, int, int] | None:
        """The part of a mask centred at (cx, cy) that lies on the canvas, and its corner."""
        height, width = mask.shape
        left, top = int(cx - width / 2), int(cy - height / 2)
        x0, y0 = max(0, left), max(0, top)
        x1, y1 = min(self.size, left + width), min(self.size, top + height)
        if x1 - x0 < 4 or y1 - y0 < 4:
            return None
        return np.ascontiguousarray(mask[y0 - top : y1 - top, x0 - left : x1 - left]), x0, y0

    def shadow(self, mask: shapes.Mask, x: int, y: int) -> None:
        """Darken the canvas beside a thing that will be painted there."""
        rng, (height, width) = self.rng, mask.shape
        throw = rng.choice([1.0, 3.0]) * rng.uniform(2, 8) * self.zoom
        dx, dy = -self.sun[:2] * throw
        pad = int(3 * throw) + 4
        x0, y0 = max(0, x - pad), max(0, y - pad)
        x1, y1 = min(self.size, x + width + pad), min(self.size, y + height + pad)
        move = np.float32([[1, 0, x - x0 + dx], [0, 1, y - y0 + dy]])
        cast = cv2.warpAffine(mask, move, (x1 - x0, y1 - y0))
        cast = cv2.GaussianBlur(cast, (0, 0), 0.8 + rng.uniform(0, 1) * throw).astype(np.float32)
        depth = np.float32(rng.uniform(0.1, 0.65) / 255)
        self.canvas[y0:y1, x0:x1] *= (1 - depth * cast)[..., None]


def _background(painter: Painter) -> Material | None:
    """One to six regions that fill the picture; returns the last material."""
    rng, size = painter.rng, painter.size
    count = int(rng.choice([1, 2, 3, 4, 6], p=[0.28, 0.30, 0.2, 0.14, 0.08]))
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    labels = np.zeros((size, size), np.int32)
    floor = False
    style = rng.choice(["horizons", "noise", "cells"], p=[0.62, 0.13, 0.25])
    if style == "horizons":
        floor = rng.random() < 0.6
        for level in np.sort(rng.uniform(0.08, 0.92, count - 1)):
            skyline = textures.fractal(rng, rng.uniform(1.2, 2.6))[0]
            stretch = np.linspace(0, 255 * rng.uniform(0.1, 1), size)
            bend = np.interp(stretch, np.arange(256), skyline)
            smooth = np.exp(rng.uniform(0, 3))
            bend = cv2.GaussianBlur(bend.astype(np.float32)[None], (0, 0), smooth)[0]
            line = (level + bend * rng.uniform(0, 0.06)) * size
            line = line + (x[0] - size / 2) * rng.normal() * 0.1
            labels += y > line[None]
        if rng.random() < 0.2:
            labels, floor = np.ascontiguousarray(labels.T), False
    elif style == "noise":
        bank = textures.tiles()["smooth"]
        fields = [
            textures.warp(
                bank[rng.integers(len(bank))],
                size,
                size,
                rng.uniform(0.1, 0.35) / painter.zoom,
                rng.uniform(0, 6.3),
                tuple(rng.uniform(0, 256, 2)),
            )
            for _ in range(count)
        ]
        smooth = rng.uniform(3, 16) * painter.zoom
        fields = [cv2.GaussianBlur(field, (0, 0), smooth) for field in fields]
        labels = np.argmax(np.stack(fields), 0)
    else:
        seeds = rng.uniform(0, size, (count, 2))
        weight = np.exp(rng.normal(0, 0.2, count))
        labels = np.argmin(
            [w * np.hypot(x - a, y - b) for (a, b), w in zip(seeds, weight, strict=True)], 0
        )
    last = None
    for region in range(count):
        mask = np.uint8(labels == region) * 255
        last = painter.material(last)
        tilt = rng.uniform(0.5, 5) if floor and region >= count // 2 and rng.random() < 0.7 else 0.0
        soft = rng.uniform(0.4, 1.3) if rng.random() < 0.8 else rng.uniform(1.5, 4)
        painter.paint(mask, 0, 0, last, 0, soft=soft, tilt=tilt, lit=False)
    return last


def _inside(mask: shapes.Mask, host: Layer, px: float, py: float) -> shapes.Mask:
    """A mask centred at (px, py) of the host's frame, in a frame of the host's size."""
    height, width = host.hard.shape
    out = np.zeros((height, width), np.uint8)
    left, top = int(px - mask.shape[1] / 2), int(py - mask.shape[0] / 2)
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(width, left + mask.shape[1]), min(height, top + mask.shape[0])
    if x1 > x0 and y1 > y0:
        out[y0:y1, x0:x1] = mask[y0 - top : y1 - top, x0 - left : x1 - left]
    return out


def _cut(painter: Painter, host: Layer, spread: float) -> shapes.Mask:
    """A half plane with a curved border, or a stripe, through a random point of the host."""
    rng = painter.rng
    ys, xs = np.nonzero(host.hard)
    i, angle = rng.integers(len(ys)), rng.uniform(0, 2 * np.pi)
    y, x = np.indices(host.hard.shape, dtype=np.float32)
    x, y = x - xs[i], y - ys[i]
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if rng.random() < 0.6:
        u = u + rng.normal() * 0.5 * v * v / spread
        u = u + rng.uniform(0, 0.04) * spread * np.sin(v / spread * rng.uniform(4, 25))
    depth = u if rng.random() < 0.6 else spread * rng.uniform(0.06, 0.2) - np.abs(u)
    return np.clip(depth * 128 + 128, 0, 255).astype(np.uint8)


def _parts(painter: Painter, host: Layer, depth: int) -> None:
    """Paint parts on a thing: cut-off areas, a core, single patches, or many equal ones."""
    rng = painter.rng
    spread = float(np.sqrt(np.count_nonzero(host.hard)))
    if spread < 22 * painter.zoom or depth > 2 or painter.full:
        return
    ys, xs = np.nonzero(host.hard)

    def add(mask: shapes.Mask, material: Material, deeper: bool) -> None:
        layer = painter.paint(
            mask, host.x, host.y, material, host.node, on=host, soft=rng.uniform(0.3, 1.0)
        )
        if layer is not None and deeper and rng.random() < 0.3:
            _parts(painter, layer, depth + 1)

    mode = rng.choice(["cut", "core", "patches", "many"], p=[0.35, 0.15, 0.3, 0.2])
    if mode == "cut":
        for _ in range(int(rng.integers(1, 4))):
            add(_cut(painter, host, spread), painter.material(host.material), True)
    elif mode == "core":
        framed = np.pad(host.hard.astype(np.uint8), 1)
        distance = cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1]
        rim = distance.max() * rng.uniform(0.12, 0.5)
        mask = np.clip((distance - rim) * 128 + 128, 0, 255).astype(np.uint8)
        add(mask, painter.material(host.material), True)
    elif mode == "patches":
        for i in rng.integers(0, len(ys), int(rng.integers(1, 4))):
            size, aspect = spread * rng.uniform(0.12, 0.5), np.exp(rng.normal() * 0.4)
            piece = shapes.place(shapes.draw(rng), size, aspect, rng.uniform(0, 6.3), painter.size)
            add(_inside(piece, host, xs[i], ys[i]), painter.material(host.material), True)
    else:
        _many_parts(painter, host, spread, xs, ys, add)


def _many_parts(
    painter: Painter,
    host: Layer,
    spread: float,
    xs: NDArray[np.int64],
    ys: NDArray[np.int64],
    add: Callable[[shapes.Mask, Material, bool], None],
) -> None:
    """Equal small parts, at random or on a grid: buttons, windows, spots, seeds."""
    rng = painter.rng
    material, shape = painter.material(host.material), shapes.draw(rng)
    size, aspect = spread * rng.uniform(0.08, 0.22), np.exp(rng.normal() * 0.4)
    angle, grid = rng.uniform(0, 6.3), rng.random() < 0.45
    if grid:
        step = size * rng.uniform(1.3, 2.2)
        height, width = host.hard.shape
        gx, gy = np.meshgrid(np.arange(step / 2, width, step), np.arange(step / 2, height, step))
        points = np.stack([gx.ravel(), gy.ravel()], 1)[:30]
    else:
        chosen = rng.integers(0, len(ys), int(rng.integers(3, 16)))
        points = np.stack([xs[chosen], ys[chosen]], 1)
    taken = np.zeros(host.hard.shape, bool)
    for px, py in points:
        turn = 0.0 if grid else rng.uniform(0, 6.3)
        piece = shapes.place(
            shape, max(5, size * np.exp(rng.normal() * 0.1)), aspect, angle + turn, painter.size
        )
        mask = _inside(piece, host, px, py)
        solid = mask > 100
        if np.count_nonzero(taken & solid) > 0.15 * np.count_nonzero(solid):
            continue
        taken |= solid
        add(mask, material, False)


def _attach(painter: Painter, whole: Layer, spread: float, behind: bool) -> None:
    """Parts that stick out of a thing: handle, crown, wheel, hat."""
    rng = painter.rng
    outline = np.argwhere(whole.hard)
    for _ in range(int(rng.integers(1, 4))):
        py, px = outline[rng.integers(len(outline))]
        mask = shapes.place(
            shapes.draw(rng),
            spread * rng.uniform(0.25, 0.8),
            np.exp(rng.normal() * 0.4),
            rng.uniform(0, 6.3),
            painter.size,
        )
        clipped = painter.clip(mask, whole.x + px, whole.y + py)
        if clipped is None:
            continue
        piece, x, y = clipped
        same = rng.random() < 0.3
        material = whole.material if same else painter.material(whole.material)
        if behind:
            own = painter.leaf[y : y + piece.shape[0], x : x + piece.shape[1]] >= whole.node
            piece = np.where(own, 0, piece).astype(np.uint8)
        layer = painter.paint(piece, x, y, material, whole.node, own_node=not same)
        if layer is not None and not same and rng.random() < 0.3:
            _parts(painter, layer, 2)


def _soft(rng: np.random.Generator) -> float:
    return float(rng.uniform(0.35, 1.2) if rng.random() < 0.88 else rng.uniform(1.5, 3.5))


def _object(painter: Painter, size: float, near: Material | None) -> None:
    """One thing of about `size` pixels somewhere in the picture, with its parts."""
    rng = painter.rng
    angle = rng.uniform(0, 6.3) if rng.random() < 0.6 else 0.0
    mask = shapes.place(
        shapes.draw(rng), size, np.exp(rng.normal() * 0.45), angle, 2 * painter.size
    )
    cx, cy = rng.uniform(-0.05, 1.05, 2) * painter.size
    if size > 0.5 * painter.size:
        cx, cy = rng.uniform(0.2, 0.8, 2) * painter.size
    clipped = painter.clip(mask, cx, cy)
    if clipped is None:
        return
    piece, x, y = clipped
    if rng.random() < 0.2:
        piece = shapes.fray(rng, piece, np.exp(rng.uniform(0, 1.6)) * painter.zoom)
    material = painter.material(near)
    if rng.random() < 0.5:
        painter.shadow(piece, x, y)
    layer = painter.paint(piece, x, y, material, 0, soft=_soft(rng), turn=angle)
    if layer is None:
        return
    if rng.random() < 0.5:
        _parts(painter, layer, 1)
    spread = float(np.sqrt(np.count_nonzero(layer.hard)))
    if rng.random() < 0.25 and spread > 24 * painter.zoom:
        _attach(painter, layer, spread, behind=rng.random() < 0.5)


def _spots(rng: np.random.Generator, size: int, pitch: float) -> NDArray[np.float64]:
    """Where repeated things stand, (n, 2): a grid, spread evenly, or in a heap."""
    count = int(np.clip(rng.uniform(0.15, 0.9) * (size / pitch) ** 2, 3, 60))
    if rng.random() < 0.3:
        step = pitch * rng.uniform(1.1, 1.9)
        start = rng.uniform(-0.2, 0.4, 2) * size
        gx, gy = np.meshgrid(np.arange(start[0], size, step), np.arange(start[1], size, step))
        spots = np.stack([gx.ravel(), gy.ravel()], 1)[:64]
        return spots + rng.normal(size=spots.shape) * rng.choice([0, 0.05]) * pitch
    if rng.random() < 0.7:
        return rng.uniform(0, size, (count, 2))
    return rng.normal(size=(count, 2)) * size * 0.2 + rng.uniform(0.2, 0.8, 2) * size


def _repeated(painter: Painter, near: Material | None) -> None:
    """Many things of one kind: coins, berries, bricks, birds."""
    rng = painter.rng
    shape, material, inner = shapes.draw(rng), painter.material(near), painter.material(near)
    size = painter.size * np.exp(rng.uniform(np.log(0.04), np.log(0.24)))
    aspect, spread = np.exp(rng.normal() * 0.35), rng.choice([0.03, 0.12, 0.3])
    turned, angle = rng.random() < 0.6, rng.uniform(0, 6.3)
    has_core, overlap = rng.random() < 0.3, rng.choice([0.05, 0.15, 0.6])
    shadow, soft = rng.random() < 0.5, _soft(rng)
    taken = np.zeros((painter.size, painter.size), bool)
    for cx, cy in _spots(rng, painter.size, size):
        turn = rng.uniform(0, 6.3) if turned else angle
        mask = shapes.place(
            shape, max(6, size * np.exp(rng.normal() * spread)), aspect, turn, painter.size
        )
        clipped = painter.clip(mask, cx, cy)
        if clipped is None:
            continue
        piece, x, y = clipped
        solid = piece > 127
        window = taken[y : y + piece.shape[0], x : x + piece.shape[1]]
        if np.count_nonzero(window & solid) > overlap * np.count_nonzero(solid):
            continue
        window |= solid
        if shadow:
            painter.shadow(piece, x, y)
        layer = painter.paint(piece, x, y, materials.vary(rng, material), 0, soft=soft, turn=turn)
        if layer is not None and has_core:
            framed = np.pad(layer.hard.astype(np.uint8), 1)
            distance = cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1]
            if distance.max() > 5:
                core = np.clip((distance - distance.max() * 0.45) * 128 + 128, 0, 255)
                painter.paint(core.astype(np.uint8), x, y, inner, layer.node, on=layer)


def _plan(rng: np.random.Generator) -> list[float]:
    """Sizes, relative to the picture, of the things to come, largest mostly first; 0 stands for
    a group of repeated things."""
    style = rng.choice(["few", "mixed", "dense", "scattered"], p=[0.36, 0.34, 0.1, 0.2])
    low, high, counts = {
        "few": (0.25, 1.0, (1, 5)),
        "mixed": (0.08, 0.6, (3, 14)),
        "dense": (0.05, 0.35, (18, 45)),
        "scattered": (0.1, 0.6, (0, 4)),
    }[style]
    sizes = list(np.exp(rng.uniform(np.log(low), np.log(high), int(rng.integers(*counts)))))
    groups = rng.integers(1, 3) if style == "scattered" else rng.choice([0, 1], p=[0.75, 0.25])
    sizes += [0.0] * int(groups)
    if style != "dense":
        sizes.sort(key=lambda s: -s + 0.3 * rng.random())
    return sizes


def _compact(painter: Painter) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Leaf map, parents and materials without the nodes of which nothing is visible."""
    parents = np.array(painter.parents)
    seen = np.zeros(len(parents), bool)
    seen[np.unique(painter.leaf)] = True
    for node in range(len(parents) - 1, 0, -1):
        seen[parents[node]] |= seen[node]
    seen[0] = True
    number = np.cumsum(seen) - 1
    leaf = number[painter.leaf].astype(np.int32)
    kept = np.flatnonzero(seen)
    kinds = np.array(painter.kinds)[kept]
    return leaf, number[parents[kept]].astype(np.int32), kinds.astype(np.int32)


def render(seed: int, size: int = 512, *, busy: bool = False) -> Scene:
    """The scene of a seed as a square picture of `size` pixels; busy ones have more texture.

    >>> scene = render(3, 96)
    >>> scene.image.shape, scene.leaf.shape, len(scene.parents) == len(scene.materials)
    ((96, 96, 3), (96, 96), True)
    """
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, 71])
    painter = Painter(rng, size, busy)
    ground = _background(painter)
    plan = _plan(rng)
    blurred_after = int(rng.integers(0, 3)) if rng.random() < 0.25 else -1
    for i, part in enumerate(plan):
        if i == blurred_after:  # what lies farther away is out of focus
            sigma = float(np.exp(rng.uniform(np.log(1.5), np.log(9)))) * painter.zoom
            painter.canvas = cv2.GaussianBlur(painter.canvas, (0, 0), sigma)
        near = ground if rng.random() < 0.35 else None
        if part:
            _object(painter, part * size, near)
        else:
            _repeated(painter, near)
    leaf, parents, kinds = _compact(painter)
    return Scene(camera.photograph(rng, painter.canvas), leaf, parents, kinds)
