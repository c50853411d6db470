"""Silhouettes: random shapes on a small canvas, and how they get into a picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training import textures

CANVAS = 192
HALF = CANVAS / 2
REACH = 88.0
"""Largest distance of a shape from the middle of its canvas."""

Mask = NDArray[np.uint8]
TURN = np.linspace(0, 2 * np.pi, 90, endpoint=False)


def _fill(mask: Mask, points: NDArray, value: int = 255) -> None:
    cv2.fillPoly(mask, [np.int32(np.round(points * 16))], value, cv2.LINE_AA, 4)


def _around(radius: NDArray | float, centre: tuple[float, float] = (HALF, HALF)) -> NDArray:
    return np.stack([centre[0] + radius * np.cos(TURN), centre[1] + radius * np.sin(TURN)], axis=1)


def _wobble(rng: np.random.Generator, roughness: float) -> NDArray:
    """A radius per direction, at most 1: a circle with random harmonics."""
    radius = np.ones_like(TURN)
    for k in range(1, 9):
        radius += roughness * rng.normal() / k**1.1 * np.cos(k * TURN + rng.uniform(0, 6.3))
    radius = np.clip(radius, 0.15, None)
    return radius / radius.max()


def _ellipse(rng: np.random.Generator, mask: Mask) -> None:
    _fill(mask, _around(REACH))


def _blob(rng: np.random.Generator, mask: Mask) -> None:
    _fill(mask, _around(REACH * _wobble(rng, rng.uniform(0.05, 0.4))))


def _polygon(rng: np.random.Generator, mask: Mask) -> None:
    n = int(rng.integers(3, 9))
    angles = np.sort(rng.uniform(0, 2 * np.pi, n))
    radius = rng.uniform(0.35, 1, n) if rng.random() < 0.5 else np.ones(n)
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * radius[:, None] * REACH + HALF
    _fill(mask, points)


def _rectangle(rng: np.random.Generator, mask: Mask) -> None:
    lean = rng.uniform(0, 0.35) if rng.random() < 0.35 else 0.0
    edge = REACH * 0.9
    points = np.array([(-1 + lean, -1), (1 - lean, -1), (1, 1), (-1, 1)]) * edge + HALF
    _fill(mask, points)
    rounding = float(rng.choice([0, 0, 6, 14]))
    if rounding:
        soft = cv2.GaussianBlur(mask, (0, 0), rounding)
        mask[:] = np.clip((soft.astype(np.int16) - 128) * 8 + 128, 0, 255)


def _star(rng: np.random.Generator, mask: Mask) -> None:
    petals = int(rng.integers(3, 10))
    depth = rng.uniform(0.1, 0.6)
    wave = np.cos(petals * TURN)
    if rng.random() < 0.5:
        wave = np.sign(wave) * np.abs(wave) ** 0.4
    _fill(mask, _around(REACH * (1 - depth * (0.5 - 0.5 * wave))))


def _ring(rng: np.random.Generator, mask: Mask) -> None:
    _fill(mask, _around(REACH * _wobble(rng, rng.uniform(0, 0.1))))
    shift = rng.normal(0, 6, 2)
    hole = REACH * rng.uniform(0.35, 0.8) * _wobble(rng, rng.uniform(0, 0.1))
    _fill(mask, _around(hole, (HALF + shift[0], HALF + shift[1])), 0)


def _curve(rng: np.random.Generator, knots: int) -> NDArray:
    """A smooth random curve, (60, 2) on the canvas."""
    points = np.cumsum(rng.normal(size=(knots, 2)), 0)
    t = np.linspace(0, knots - 1, 60)
    line = np.stack([np.interp(t, np.arange(knots), points[:, i]) for i in (0, 1)], 1)
    line = cv2.GaussianBlur(line.astype(np.float32), (1, 21), 6)
    line -= line.min(0)
    return line / (line.max() + 1e-6) * 125 + 33


def _stroke(rng: np.random.Generator, mask: Mask) -> None:
    line = _curve(rng, int(rng.integers(3, 7)))
    width = np.exp(rng.uniform(1.4, 3.6))
    taper = rng.random() < 0.5
    for i in range(len(line) - 1):
        thick = width * (1 - 0.8 * i / len(line) if taper else 1)
        a, b = (tuple(int(v * 16) for v in p) for p in (line[i], line[i + 1]))
        cv2.line(mask, a, b, 255, max(1, int(thick)), cv2.LINE_AA, 4)


def _vessel(rng: np.random.Generator, mask: Mask) -> None:
    """Something turned on a lathe: bottle, vase, spoon, lamp, pawn."""
    n = int(rng.integers(3, 7))
    y = np.linspace(-REACH, REACH, 80)
    profile = np.interp(y, np.linspace(-REACH, REACH, n), rng.uniform(0.12, 1.0, n))
    profile = cv2.GaussianBlur(profile.astype(np.float32)[None], (0, 0), rng.uniform(1, 7))[0]
    x = profile * REACH * rng.uniform(0.35, 0.9)
    _fill(mask, np.concatenate([np.stack([x, y], 1), np.stack([-x, y], 1)[::-1]]) + HALF)


def _creature(rng: np.random.Generator, mask: Mask) -> None:
    """A body with limbs: what animals, people and plants have in common."""
    body = np.array([rng.uniform(22, 46), rng.uniform(14, 32)])
    slant = rng.uniform(0, np.pi)
    turn = np.array([[np.cos(slant), -np.sin(slant)], [np.sin(slant), np.cos(slant)]])
    outline = (np.stack([np.cos(TURN), np.sin(TURN)], 1) * body) @ turn.T + HALF
    _fill(mask, outline)
    for _ in range(int(rng.integers(2, 7))):
        start = outline[rng.integers(len(outline))] * 0.8 + HALF * 0.2
        way = start - HALF + rng.normal(0, 12, 2)
        way /= np.linalg.norm(way) + 1e-6
        bend = np.array([-way[1], way[0]]) * rng.normal(0, 0.5)
        reach = rng.uniform(15, 55)
        thick = rng.uniform(3, 14)
        for t in np.linspace(0, 1, 14):
            p = start + reach * (way * t + bend * t * t)
            r = thick * (1 - 0.5 * t)
            cv2.circle(mask, (int(p[0] * 16), int(p[1] * 16)), int(r * 16), 255, -1, cv2.LINE_AA, 4)
        if rng.random() < 0.3:  # a head or hand at the end
            r = thick * rng.uniform(1.0, 2.0)
            cv2.circle(mask, (int(p[0] * 16), int(p[1] * 16)), int(r * 16), 255, -1, cv2.LINE_AA, 4)


def _letter(rng: np.random.Generator, mask: Mask) -> None:
    text = "".join(rng.choice(list("ABCDEFGHKLMNPRSTUVXYZ23456789&?"), int(rng.integers(1, 3))))
    scale = 6.5 / max(1.4, len(text) * 1.2)
    thick = int(rng.integers(8, 26))
    cv2.putText(mask, text, (30, 140), int(rng.integers(0, 8)), scale, 255, thick, cv2.LINE_AA)


def _cloud(rng: np.random.Generator, mask: Mask) -> None:
    """A piece of thresholded noise: puddle, patch of snow, map of an island."""
    field = textures.fractal(rng, rng.uniform(1.5, 2.4))[:CANVAS, :CANVAS]
    y, x = np.mgrid[0:CANVAS, 0:CANVAS]
    field = field + rng.uniform(1.0, 3.0) * (1 - np.hypot(x - HALF, y - HALF) / REACH * 1.6)
    level = np.clip(field * 200 + 128, 0, 255)
    level[np.hypot(x - HALF, y - HALF) > REACH] = 0
    mask[:] = level


def _union(rng: np.random.Generator, mask: Mask) -> None:
    """Several simple shapes together, or one cut out of the other."""
    for i in range(int(rng.integers(2, 5))):
        piece = np.zeros_like(mask)
        draw = (_ellipse, _rectangle, _blob, _polygon)[rng.integers(4)]
        draw(rng, piece)
        size = rng.uniform(0.3, 0.8)
        at = HALF + rng.uniform(-0.4, 0.4, 2) * CANVAS * 0.6
        angle = rng.choice([0, rng.uniform(0, 360)])
        matrix = cv2.getRotationMatrix2D((HALF, HALF), angle, size)
        matrix[:, 2] += at - HALF
        piece = cv2.warpAffine(piece, matrix, (CANVAS, CANVAS))
        if i and rng.random() < 0.2:
            mask[:] = np.minimum(mask, 255 - piece)
        else:
            mask[:] = np.maximum(mask, piece)


KINDS = (
    (_ellipse, 0.12), (_blob, 0.18), (_polygon, 0.08), (_rectangle, 0.13), (_star, 0.05),
    (_ring, 0.04), (_stroke, 0.05), (_vessel, 0.10), (_creature, 0.13), (_letter, 0.02),
    (_cloud, 0.04), (_union, 0.06),
)  # fmt: skip
_SHARES = np.array([share for _, share in KINDS])


def draw(rng: np.random.Generator) -> Mask:
    """One random silhouette, (192, 192) uint8, 255 inside, antialiased."""
    mask = np.zeros((CANVAS, CANVAS), np.uint8)
    kind = rng.choice(len(KINDS), p=_SHARES / _SHARES.sum())
    KINDS[kind][0](rng, mask)
    if rng.random() < 0.06:
        _fill(mask, _around(REACH * rng.uniform(0.1, 0.3), tuple(HALF + rng.normal(0, 20, 2))), 0)
    return mask


def place(mask: Mask, size: float, aspect: float, angle: float, limit: int) -> Mask:
    """The silhouette at about `size` pixels (square root of its box's area), turned by `angle`
    radians, at most `limit` pixels wide and high; the box fits the turned canvas."""
    zoom = size / (2 * REACH)
    fx, fy = zoom * np.sqrt(aspect), zoom / np.sqrt(aspect)
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.array([[c * fx, -s * fy], [s * fx, c * fy]])
    corners = (np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * HALF) @ matrix.T
    extent = np.minimum(np.ceil(np.ptp(corners, axis=0)).astype(int) + 2, limit)
    shift = extent / 2 - matrix @ np.array([HALF, HALF])
    source = cv2.GaussianBlur(mask, (0, 0), 0.4 / zoom) if zoom < 0.5 else mask
    affine = np.float32([[*matrix[0], shift[0]], [*matrix[1], shift[1]]])
    out = cv2.warpAffine(source, affine, (int(extent[0]), int(extent[1])))
    if zoom > 1.3:  # enlarging smears the outline; steepen it again
        out = np.clip((out.astype(np.float32) - 128) * zoom + 128, 0, 255).astype(np.uint8)
    return out


def fray(rng: np.random.Generator, mask: Mask, strength: float) -> Mask:
    """A rough outline, as fur, foliage and torn edges have; strength in pixels."""
    bank = textures.tiles()["noise"]
    noise = textures.warp(
        bank[rng.integers(len(bank))], *mask.shape, float(np.exp(rng.uniform(-0.5, 1.2))),
        rng.uniform(0, 6.3), tuple(rng.uniform(0, 256, 2)),
    )  # fmt: skip
    soft = cv2.GaussianBlur(mask, (0, 0), strength).astype(np.float32)
    return np.clip((soft - 128) * 3 + (noise.astype(np.float32) - 128) * 2.5 + 128, 0, 255).astype(
        np.uint8
    )
