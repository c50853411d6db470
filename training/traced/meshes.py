"""Shapes as meshes: lathe work, blobs, prisms, cut things, cloth, blades of grass, foliage.

All functions return vertices (n, 3) float and faces (lists of vertex numbers), around the origin
and about one unit large, z upwards.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vertices = NDArray[np.float64]
Faces = list[list[int]]
Mesh = tuple[Vertices, Faces]


def waves(rng: np.random.Generator, count: int, rough: float, dims: int = 2):
    """A smooth random function of points (n, dims): a sum of sines, about -1..1."""
    waves_ = rng.normal(size=(count, dims)) * np.exp(rng.normal(0, 0.5, (count, 1))) * rough
    phase, size = rng.uniform(0, 6.3, count), rng.uniform(0.3, 1, count)
    size = size / np.sqrt((size**2).sum() / 2) / 1.5

    def field(points: Vertices) -> NDArray[np.float64]:
        return np.sin(points @ waves_.T + phase) @ size

    return field


def grid(columns: int, rows: int) -> Mesh:
    """A square -1..1 of quads."""
    x, y = np.meshgrid(np.linspace(-1, 1, columns), np.linspace(-1, 1, rows))
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1)
    start = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = np.stack([start, start + 1, start + columns + 1, start + columns], 1)
    return vertices, faces.tolist()


def lathe(rng: np.random.Generator, around: int = 40, along: int = 24) -> Mesh:
    """Turned: cups, bottles, bowls, fruit. Closed at both ends."""
    t = np.linspace(0, 1, along)
    bends = rng.uniform(0.15, 1, int(rng.integers(2, 6)))
    radius = np.interp(t, np.linspace(0, 1, len(bends)), bends)
    if rng.random() < 0.6:
        radius = np.convolve(np.pad(radius, 3, mode="edge"), np.ones(7) / 7, "valid")
    if rng.random() < 0.4:
        radius = np.sqrt(np.maximum(1 - (2 * t - 1) ** 2, 0)) * (0.5 + 0.5 * radius)
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    body = np.concatenate(
        [np.c_[ring * r, np.full(around, z)] for r, z in zip(radius, t, strict=True)]
    )
    vertices = np.r_[body, [[0, 0, 0], [0, 0, 1]]] - [0, 0, 0.5]
    faces: Faces = []
    for k in range(along - 1):
        for i in range(around):
            j = (i + 1) % around
            a, b = k * around, (k + 1) * around
            faces.append([a + i, a + j, b + j, b + i])
    bottom, top = len(body), len(body) + 1
    faces += [[bottom, (i + 1) % around, i] for i in range(around)]
    last = (along - 1) * around
    faces += [[top, last + i, last + (i + 1) % around] for i in range(around)]
    return vertices * [0.5, 0.5, rng.uniform(0.3, 1.3)], faces


def ball(around: int = 40, along: int = 24) -> Mesh:
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    tilt = np.linspace(0, np.pi, along)[1:-1]
    rings = [
        np.stack(
            [np.sin(t) * np.cos(angle), np.sin(t) * np.sin(angle), np.full(around, np.cos(t))], 1
        )
        for t in tilt
    ]
    vertices = np.r_[np.concatenate(rings), [[0, 0, 1], [0, 0, -1]]] / 2
    faces: Faces = []
    for k in range(len(tilt) - 1):
        for i in range(around):
            j = (i + 1) % around
            faces.append(
                [(k + 1) * around + i, (k + 1) * around + j, k * around + j, k * around + i]
            )
    north, last = len(vertices) - 2, (len(tilt) - 1) * around
    faces += [[north, i, (i + 1) % around] for i in range(around)]
    faces += [[north + 1, last + (i + 1) % around, last + i] for i in range(around)]
    return vertices, faces


def blob(rng: np.random.Generator) -> Mesh:
    """A stone, a loaf, a potato: a ball pushed in and out."""
    vertices, faces = ball(48, 32)
    strength, rough = rng.uniform(0.05, 0.4), np.exp(rng.uniform(0.3, 2.2))
    push = waves(rng, 10, rough, 3)(vertices)
    return vertices * (1 + strength * push[:, None]), faces


def prism(rng: np.random.Generator) -> Mesh:
    """A flat shape with thickness: star, leaf, letter-like polygon, coin."""
    corners = int(rng.integers(3, 40))
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    if rng.random() < 0.6:
        angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = rng.uniform(0.35, 1, corners) if rng.random() < 0.5 else np.ones(corners)
    if rng.random() < 0.3:
        radius = 0.7 + 0.3 * np.cos(angle * rng.integers(2, 7))
    flat = np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None] / 2
    thick = float(np.exp(rng.uniform(-3, 0))) / 2
    vertices = np.r_[np.c_[flat, np.full(corners, -thick)], np.c_[flat, np.full(corners, thick)]]
    faces: Faces = [list(range(corners))[::-1], list(range(corners, 2 * corners))]
    for i in range(corners):
        j = (i + 1) % corners
        faces.append([i, j, corners + j, corners + i])
    return vertices, faces


def box() -> Mesh:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
    faces = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    return corners.astype(float), faces


def cloth(rng: np.random.Generator, over=None) -> Mesh:
    """A folded sheet, -1..1. over: a function of points (n, 2) that says how high it lies."""
    vertices, faces = grid(90, 90)
    bent = waves(rng, 5, rng.uniform(1, 5))
    fold = waves(rng, 4, rng.uniform(4, 14))
    flat = vertices[:, :2]
    height = rng.uniform(0.02, 0.25) * bent(flat) + rng.uniform(0, 0.06) * fold(flat)
    if over is not None:
        height = height + over(flat)
    sides = np.stack([waves(rng, 4, 3.0)(flat), waves(rng, 4, 3.0)(flat)], 1)
    vertices[:, :2] += sides * rng.uniform(0, 0.12)
    vertices[:, 2] = height - height.min()
    return vertices, faces


def curtain(rng: np.random.Generator) -> Mesh:
    """A hanging sheet with vertical folds, -0.5..0.5 wide, 0..1 high, facing -y."""
    vertices, faces = grid(120, 30)
    across, along = vertices[:, 0], vertices[:, 1]
    folds = waves(rng, 4, rng.uniform(8, 25), 1)(across[:, None])
    bend = waves(rng, 3, 2.0)(vertices[:, :2])
    depth = (folds * (0.03 + 0.02 * (1 - along)) + 0.02 * bend) * rng.uniform(0.5, 1.5)
    return np.stack([across / 2, depth, (along + 1) / 2], 1), faces


def blades(rng: np.random.Generator, count: int, height: float, spread: Vertices) -> Mesh:
    """Grass: bent blades of two quads at points `spread` (count, 3)."""
    tall = height * rng.uniform(0.4, 1.2, count)[:, None]
    wide = height * rng.uniform(0.03, 0.09)
    turn, lean = rng.uniform(0, 2 * np.pi, count), rng.normal(0, 0.35, (count, 2))
    side = np.stack([np.cos(turn), np.sin(turn), np.zeros(count)], 1) * wide
    half = np.c_[lean * 0.35, np.full(count, 0.55)] * tall
    tip = np.c_[lean, np.full(count, 0.95)] * tall
    rows = [spread - side, spread + side, spread + half + side, spread + half - side, spread + tip]
    vertices = np.stack(rows, 1).reshape(-1, 3)
    start = 5 * np.arange(count)
    quads = np.stack([start, start + 1, start + 2, start + 3], 1).tolist()
    tips = np.stack([start + 3, start + 2, start + 4], 1).tolist()
    return vertices, quads + tips


def foliage(rng: np.random.Generator, count: int, leaf: float) -> Mesh:
    """Leaves (quads) in a lumpy ball of about one unit."""
    centre = rng.normal(size=(count, 3))
    centre /= np.linalg.norm(centre, axis=1, keepdims=True)
    lumps = 1 + 0.35 * waves(rng, 6, 4.0, 3)(centre)
    centre *= (rng.uniform(0.5, 1, count) ** 0.4 * lumps)[:, None] / 2
    a, b = rng.normal(size=(2, count, 3))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b -= (a * b).sum(1, keepdims=True) * a
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    long, wide = leaf * rng.uniform(0.6, 1.3, (2, count, 1)) * [[[1.0]], [[0.5]]]
    rows = [centre - a * long, centre + b * wide, centre + a * long, centre - b * wide]
    vertices = np.stack(rows, 1).reshape(-1, 3)
    start = 4 * np.arange(count)
    return vertices, np.stack([start, start + 1, start + 2, start + 3], 1).tolist()


def ground(rng: np.random.Generator, relief: float, rough: float, stones: bool) -> Mesh:
    """Uneven ground, -1..1: hills and hollows, or close-packed stones."""
    vertices, faces = grid(180, 180)
    flat = vertices[:, :2]
    vertices[:, 2] = relief * waves(rng, 12, rough)(flat)
    if stones:
        count = int(rng.integers(60, 500))
        seeds = rng.uniform(-1.05, 1.05, (count, 2))
        from scipy.spatial import cKDTree

        near, _ = cKDTree(seeds).query(flat, k=2)
        gap = np.clip((near[:, 1] - near[:, 0]) * np.sqrt(count) / 0.8, 0, 1)
        vertices[:, 2] += np.sqrt(gap) * 0.6 / np.sqrt(count)
    return vertices, faces
