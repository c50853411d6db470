"""Places: table tops, rooms, meadows, streets, heaps; each returns where the camera looks.

A place fills the stage and answers (target, distance range, elevation range in radians, indoors).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.traced import meshes, things
from training.traced.stage import Stage


@dataclass(frozen=True)
class View:
    """What the camera is to look at, from how far, and how steeply from above."""

    target: tuple[float, float, float]
    distance: tuple[float, float]
    elevation: tuple[float, float]
    indoors: bool = False
    turn: tuple[float, float] = (-0.9, 0.9)
    """Around the vertical; 0 looks along +y."""


def _flat(stage: Stage, half: float, at=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0), **kind) -> None:
    stage.add(
        meshes.grid(2, 2),
        [stage.shaders.make(**kind)],
        stage.whole(),
        at=at,
        turn=turn,
        scale=(half, half, 1),
        smooth=False,
    )


def _scatter(
    stage: Stage,
    count: int,
    spread: float,
    sizes: tuple[float, float],
    floor: float = 0.0,
    kinds: int | None = None,
    on: Callable[[float, float], float] | None = None,
) -> None:
    """Things on a floor, hardly ever inside one another; `kinds` templates in copies."""
    rng = stage.rng
    kinds = kinds or int(rng.integers(1, 8))
    shelf = [
        things.Template(stage, float(np.exp(rng.uniform(*np.log(sizes))))) for _ in range(kinds)
    ]
    taken: list[tuple[float, float, float, float]] = []
    close = rng.uniform(0.25, 0.6)
    for _ in range(count):
        kind = shelf[rng.integers(kinds)]
        size = kind.size * float(np.exp(rng.normal(0, 0.08)))
        x, y = rng.normal(0, spread, 2)
        height = floor if on is None else floor + on(x, y)
        for other in taken:
            if np.hypot(other[0] - x, other[1] - y) < close * (other[2] + size):
                height = max(height, other[3]) if rng.random() < 0.35 else np.inf
        if not np.isfinite(height):
            continue
        lying = rng.random() < 0.25
        turn = (rng.uniform(-1.6, 1.6) if lying else 0.0, 0.0, rng.uniform(0, 6.3))
        kind.place((x, y, height + (0.1 * size if lying else 0)), turn, size)
        taken.append((x, y, size, height + kind.height * size))


def _spread_cloth(stage: Stage, size: float, at: tuple[float, float, float], bumps: bool) -> None:
    """A cloth on the floor, over hidden things if `bumps`."""
    rng = stage.rng
    over = None
    if bumps:
        centres, wide = rng.uniform(-0.7, 0.7, (int(rng.integers(1, 6)), 2)), rng.uniform(0.1, 0.35)
        tall = rng.uniform(0.1, 0.5)

        def over(points):
            gap = np.linalg.norm(points[:, None] - centres, axis=2).min(1)
            return tall / (1 + np.exp((gap - wide) / 0.06))

    material = stage.shaders.make(cloth=True, plain=0.2, size=rng.uniform(0.5, 2))
    stage.add(
        meshes.cloth(rng, over),
        [material],
        stage.whole(),
        at=at,
        turn=(0, 0, rng.uniform(0, 6.3)),
        scale=(size, size * rng.uniform(0.5, 1), size),
    )


def _hang(stage: Stage, at: tuple[float, float, float], width: float, height: float) -> None:
    material = stage.shaders.make(cloth=True, plain=0.3, size=0.5)
    stage.add(
        meshes.curtain(stage.rng), [material], stage.whole(), at=at, scale=(width, width, height)
    )


def _tiles(stage: Stage, spread: float, count: int, wide: float) -> None:
    """Flat things laid out in rows: keys, tiles, books, packets."""
    rng = stage.rng
    template = things.Template(stage, wide)
    step = wide * rng.uniform(1.0, 1.6)
    side = int(np.sqrt(count)) + 1
    for i in range(side):
        for j in range(side):
            x, y = (i - side / 2) * step, (j - side / 2) * step
            template.place((x + rng.normal(0, 0.03) * wide, y, 0.0), (0, 0, rng.normal(0, 0.1)))


def tabletop(stage: Stage) -> View:
    """Many things on a table before a wall, seen from the side or from above."""
    rng = stage.rng
    _flat(stage, 40, plain=0.25, size=2)
    if rng.random() < 0.7:
        _flat(stage, 40, at=(0, rng.uniform(1.2, 4), 0), turn=(np.pi / 2, 0, 0), plain=0.5, size=3)
    if rng.random() < 0.45:
        _spread_cloth(
            stage,
            rng.uniform(0.8, 2),
            (rng.normal(0, 0.4), rng.normal(0, 0.3), 0.005),
            rng.random() < 0.4,
        )
    if rng.random() < 0.2:
        _hang(stage, (rng.uniform(-1.5, 1.5), 1.1, 0), rng.uniform(1, 3), rng.uniform(1, 3))
    _scatter(stage, int(rng.integers(2, 36)), rng.uniform(0.4, 0.9), (0.12, 0.8))
    return View((0, 0.1, 0.15), (1.6, 4.5), (0.15, 1.1))


def heap(stage: Stage) -> View:
    """Many small things of few kinds, from above: coins, fruit, screws, sweets."""
    rng = stage.rng
    _flat(stage, 40, plain=0.3, size=2)
    if rng.random() < 0.3:
        _spread_cloth(stage, 2.0, (0, 0, 0.0), False)
    if rng.random() < 0.3:
        _tiles(stage, 1.0, int(rng.integers(6, 60)), float(rng.uniform(0.12, 0.35)))
    else:
        _scatter(
            stage,
            int(rng.integers(20, 110)),
            rng.uniform(0.5, 1.0),
            (0.1, 0.3),
            kinds=int(rng.integers(1, 4)),
        )
    return View((0, 0, 0), (1.6, 4), (0.7, 1.55), turn=(-3, 3))


def room(stage: Stage) -> View:
    """Floor, walls, furniture, rugs, pictures, curtains, small things on the table."""
    rng = stage.rng
    wide, deep, tall = rng.uniform(2, 3.5), rng.uniform(2, 3.5), rng.uniform(2.3, 3)
    up = np.pi / 2
    _flat(stage, 6, plain=0.2, size=1.5)
    _flat(stage, 6, at=(0, deep, 0), turn=(up, 0, 0), plain=0.6, size=1.5)
    for side in (-1, 1):
        if rng.random() < 0.75:
            _flat(stage, 6, at=(side * wide, 0, 0), turn=(up, 0, up), plain=0.6, size=1.5)
    if rng.random() < 0.6:
        rug = stage.shaders.make(cloth=True, plain=0.15, size=1)
        stage.add(
            meshes.grid(2, 2),
            [rug],
            stage.whole(),
            at=(rng.normal(0, 0.5), rng.normal(0.5, 0.5), 0.01),
            scale=(rng.uniform(0.6, 1.6), rng.uniform(0.5, 1.2), 1),
            turn=(0, 0, rng.normal(0, 0.3)),
        )
    for _ in range(int(rng.integers(2, 7))):
        kind = things.FURNITURE[rng.integers(len(things.FURNITURE))]
        spot = (rng.uniform(-wide, wide) * 0.8, rng.uniform(-0.6, 0.85) * deep, 0)
        things.boxes(
            stage,
            kind(rng),
            spot,
            rng.uniform(0.8, 1.2),
            rng.choice([0, 0, up, -up, rng.uniform(0, 6)]),
        )
    for _ in range(int(rng.integers(0, 5))):  # pictures, windows, switches
        size = rng.uniform(0.15, 0.6)
        frame = [((0, 0, 0), (1, 0.05, 0.8), 0), ((0, -0.02, 0), (0.85, 0.05, 0.65), 1)]
        things.boxes(
            stage,
            frame,
            (rng.uniform(-wide, wide), deep - 0.02, rng.uniform(1, tall - 0.4)),
            size * 2,
            0,
        )
    for _ in range(int(rng.integers(0, 3))):
        _hang(stage, (rng.uniform(-wide, wide), deep - 0.15, 0.02), rng.uniform(0.6, 1.6), tall)
    if rng.random() < 0.6:
        things.creature(
            stage,
            (rng.uniform(-1, 1), rng.uniform(-0.5, 1.5), 0),
            rng.uniform(0.8, 1.8),
            rng.uniform(0, 6),
        )
    _scatter(stage, int(rng.integers(2, 14)), 1.2, (0.1, 0.5))
    return View((0, 0.6 * deep, 0.8), (2.5, 5), (0.0, 0.5), indoors=True, turn=(-0.6, 0.6))


def meadow(stage: Stage) -> View:
    """Ground with hills, grass or stones; bushes, trees, rocks, creatures."""
    rng = stage.rng
    stones = rng.random() < 0.25
    relief = rng.uniform(0, 0.5)
    size = 12.0
    earth, shader = meshes.ground(rng, relief / size, 4.0, stones), stage.shaders
    hsv = (
        float(rng.uniform(0.2, 0.32)),
        float(rng.uniform(0.3, 0.7)),
        float(rng.uniform(0.06, 0.3)),
    )
    grass = not stones and rng.random() < 0.7
    soil = shader.make(hsv if grass else None, plain=0.2, size=2)
    floor = stage.whole()
    thing = stage.add(earth, [soil], floor, scale=(size, size, size))
    if grass:
        blade = shader.make(hsv, plain=0.5, size=2, index=soil.pass_index)
        count = int(rng.integers(4000, 16000))
        spread = rng.choice(len(earth[0]), count)
        roots = (
            earth[0][spread] * size + np.c_[rng.uniform(-0.07, 0.07, (count, 2)), np.zeros(count)]
        )
        near = np.linalg.norm(roots[:, :2] - [0, -2], axis=1) < rng.uniform(4, 9)
        stage.add(
            meshes.blades(rng, int(near.sum()), rng.uniform(0.05, 0.3), roots[near]),
            [blade],
            floor,
            same_as=thing.pass_index,
            smooth=False,
        )
    for _ in range(int(rng.integers(0, 4))):  # hills behind
        hill = meshes.blob(rng)
        stage.add(
            hill,
            [shader.make(size=6)],
            stage.whole(),
            at=(rng.normal(0, 12), rng.uniform(10, 25), 0),
            scale=(rng.uniform(8, 25), 8, rng.uniform(2, 12)),
        )
    for _ in range(int(rng.integers(0, 6))):
        _plant(stage, (rng.normal(0, 3), rng.uniform(-1, 8), 0))
    if rng.random() < 0.25:  # water
        still = shader.make((0.57, 0.4, 0.1), plain=1.0, size=1)
        still.node_tree.nodes["Principled BSDF"].inputs["Roughness"].default_value = 0.05
        stage.add(
            meshes.ground(rng, 0.003, 60.0, False),
            [still],
            stage.whole(),
            scale=(size, size, size),
            at=(0, rng.uniform(2, 12), relief * 0.2),
        )
    for _ in range(int(rng.integers(0, 4))):
        things.creature(
            stage,
            (rng.normal(0, 1.5), rng.normal(0, 1.5), 0),
            rng.uniform(0.6, 1.6),
            rng.uniform(0, 6),
        )
    if rng.random() < 0.6:
        _scatter(stage, int(rng.integers(1, 12)), 1.8, (0.2, 1.2))
    return View((0, 0.5, 0.5), (2.5, 7), (0.0, 0.5))


def _plant(stage: Stage, at: tuple[float, float, float]) -> None:
    """A bush, or a tree of trunk and crown."""
    rng, whole = stage.rng, stage.whole()
    hsv = (
        float(rng.uniform(0.15, 0.38)),
        float(rng.uniform(0.3, 0.8)),
        float(rng.uniform(0.05, 0.35)),
    )
    leaves = stage.shaders.make(hsv, plain=0.5)
    size = float(np.exp(rng.uniform(-0.7, 1.2)))
    crown, lift = meshes.foliage(rng, int(rng.integers(500, 2500)), rng.uniform(0.03, 0.1)), 0.35
    if rng.random() < 0.6:
        lift = rng.uniform(0.8, 1.6)
        trunk = meshes.lathe(rng)
        stage.add(
            trunk,
            [stage.shaders.make((0.07, 0.4, 0.12), plain=0.2, size=0.3)],
            whole,
            at=(at[0], at[1], at[2] + lift * size / 2),
            scale=(0.2 * size, 0.2 * size, 1.3 * lift * size),
        )
    stage.add(
        crown,
        [leaves],
        whole,
        at=(at[0], at[1], at[2] + lift * size),
        scale=(size * rng.uniform(0.8, 1.6), size, size * rng.uniform(0.6, 1.2)),
        smooth=False,
    )


def street(stage: Stage) -> View:
    """Houses with windows along a road, creatures, poles, boxes on wheels."""
    rng = stage.rng
    _flat(stage, 60, plain=0.3, size=3)
    road = stage.shaders.make((0, 0, float(rng.uniform(0.05, 0.3))), plain=0.5, size=2)
    stage.add(
        meshes.grid(2, 2),
        [road],
        stage.whole(),
        at=(rng.normal(0, 1), 10, 0.01),
        scale=(rng.uniform(1, 3), 40, 1),
    )
    for side in (-1, 1):
        for k in range(int(rng.integers(1, 5))):
            spot = (side * rng.uniform(3.5, 6), 1.5 + 4 * k, 0)
            things.boxes(
                stage,
                things.house(rng),
                spot,
                rng.uniform(1.5, 3),
                side * np.pi / 2 * rng.choice([0, 1]),
            )
    for _ in range(int(rng.integers(0, 5))):
        things.creature(
            stage,
            (rng.normal(0, 2), rng.uniform(-1, 8), 0),
            rng.uniform(1.2, 1.8),
            rng.uniform(0, 6),
        )
    for _ in range(int(rng.integers(0, 4))):
        car = [
            ((0, 0, 0.45), (1.8, 0.8, 0.5), 0),
            ((-0.1, 0, 0.85), (1.0, 0.7, 0.4), 2),
            *(((x, y, 0.2), (0.36, 0.1, 0.36), 1) for x in (-0.6, 0.6) for y in (-0.4, 0.4)),
        ]
        things.boxes(
            stage,
            car,
            (rng.normal(0, 2), rng.uniform(-1, 8), 0),
            1.3,
            rng.choice([1.57, rng.uniform(0, 6)]),
        )
    for _ in range(int(rng.integers(0, 5))):
        if rng.random() < 0.5:
            _plant(stage, (rng.choice([-1, 1]) * rng.uniform(2, 4), rng.uniform(0, 12), 0))
        else:
            pole = [((0, 0, 1.4), (0.08, 0.08, 2.8), 1), ((0, -0.05, 2.6), (0.5, 0.04, 0.5), 0)]
            things.boxes(
                stage,
                pole,
                (rng.choice([-1, 1]) * rng.uniform(1.5, 3), rng.uniform(-1, 8), 0),
                1,
                0,
            )
    return View((0, 3, 1.2), (4, 8), (0.0, 0.35), turn=(-0.35, 0.35))


def portrait(stage: Stage) -> View:
    """One creature or thing large in the picture, little behind it."""
    rng = stage.rng
    _flat(stage, 40, plain=0.3, size=2)
    if rng.random() < 0.7:
        _flat(stage, 40, at=(0, rng.uniform(1.5, 6), 0), turn=(np.pi / 2, 0, 0), plain=0.3, size=3)
    if rng.random() < 0.4:
        _spread_cloth(stage, 1.2, (0, 0, 0.005), rng.random() < 0.5)
    for _ in range(int(rng.integers(0, 3))):
        _plant(stage, (rng.normal(0, 2), rng.uniform(1.5, 4), 0))
    if rng.random() < 0.6:
        things.creature(stage, (0, 0, 0), 1.2, rng.uniform(0, 6))
    _scatter(stage, int(rng.integers(1, 5)), 0.5, (0.4, 1.2))
    return View((0, 0, 0.5), (1.4, 3), (0.0, 0.6))


PLACES = (tabletop, tabletop, heap, room, room, meadow, meadow, street, portrait)
