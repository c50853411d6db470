"""A bank of grey texture tiles, from which every material takes its pattern.

All tiles are computed from a fixed seed, but for three photographed ones that come with
scikit-image and are in the public domain (CC0): `brick`, `grass`, `gravel`.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

TILE = 256
Grey = NDArray[np.uint8]
Field = NDArray[np.float32]


def _to_grey(field: NDArray, spread: float = 50.0) -> Grey:
    """Any field to mean 128 and standard deviation `spread`, cut to 0..255."""
    field = (field - field.mean()) / (field.std() + 1e-6)
    return np.clip(field * spread + 128, 0, 255).astype(np.uint8)


def fractal(rng: np.random.Generator, beta: float, stretch: float = 1.0) -> Field:
    """Periodic noise with a power spectrum that falls as frequency to the power -2 beta."""
    fy = np.fft.fftfreq(TILE)[:, None] * stretch
    fx = np.fft.rfftfreq(TILE)[None] / stretch
    radius = np.hypot(fy, fx)
    radius[0, 0] = 1.0
    radius = radius + rng.uniform(0, 0.02)
    spectrum = (rng.normal(size=radius.shape) + 1j * rng.normal(size=radius.shape)) / radius**beta
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, s=(TILE, TILE))
    return ((field - field.mean()) / field.std()).astype(np.float32)


def _wrapped(position: NDArray, reach: float) -> list[NDArray]:
    """Copies of a point on the neighbouring tiles as far as something of size `reach` shows."""
    shifts = [(0, 0)]
    x, y = position
    dx = TILE if x < reach else -TILE if x > TILE - reach else 0
    dy = TILE if y < reach else -TILE if y > TILE - reach else 0
    shifts += [s for s in ((dx, 0), (0, dy), (dx, dy)) if s != (0, 0)]
    return [position + np.array(s) for s in dict.fromkeys(shifts)]


def _leaves(rng: np.random.Generator) -> Grey:
    """Dead leaves: overlapping ellipses of power-law sizes, as foliage and pebbles look."""
    tile = np.full((TILE, TILE), 128, np.uint8)
    big = rng.uniform(10, 40)
    aspect = rng.uniform(0.25, 1.0)
    aligned = rng.random() < 0.4
    for _ in range(int(rng.integers(500, 1500))):
        radius = min(big, 2.5 * (1 - rng.random()) ** -0.6)
        angle = 30 + 15 * rng.normal() if aligned else rng.uniform(0, 180)
        grey = int(np.clip(rng.normal(128, 50), 0, 255))
        for p in _wrapped(rng.uniform(0, TILE, 2), radius + 2):
            axes = (round(radius * 16), max(16, round(radius * aspect * 16)))
            centre = (round(p[0] * 16), round(p[1] * 16))
            cv2.ellipse(tile, centre, axes, angle, 0, 360, grey, -1, cv2.LINE_AA, 4)
    return tile


def _strokes(rng: np.random.Generator) -> Grey:
    """Short strokes along a flow, as fur, grass and brushed metal look."""
    tile = np.full((TILE, TILE), 128, np.uint8)
    flow = fractal(rng, 2.2) * rng.uniform(0.0, 0.9) + rng.uniform(0, np.pi)
    length = rng.uniform(6, 40)
    for _ in range(2500):
        p = rng.uniform(0, TILE, 2)
        angle = flow[int(p[1]) % TILE, int(p[0]) % TILE] + 0.15 * rng.normal()
        step = np.array([np.cos(angle), np.sin(angle)]) * length * rng.uniform(0.5, 1)
        grey = int(np.clip(rng.normal(128, 55), 0, 255))
        for q in _wrapped(p, length):
            a, b = (tuple(int(v) for v in np.round(e * 16)) for e in (q, q + step))
            cv2.line(tile, a, b, grey, 1, cv2.LINE_AA, 4)
    return tile


def _cells(rng: np.random.Generator) -> Grey:
    """Distances to scattered points: pebbles, cracked ground, scales, leather."""
    count = int(rng.integers(30, 300))
    points = rng.uniform(0, TILE, (count, 2))
    yx = np.stack(np.meshgrid(np.arange(TILE), np.arange(TILE), indexing="ij"), -1).reshape(-1, 2)
    distance, _ = cKDTree(points, boxsize=TILE).query(yx, k=2)
    field = distance[:, 1] - distance[:, 0] if rng.random() < 0.6 else -distance[:, 0]
    field = np.minimum(field, np.quantile(field, rng.uniform(0.4, 1.0)))
    return _to_grey(field.reshape(TILE, TILE))


def _ridges(rng: np.random.Generator) -> Grey:
    """Folded noise: wrinkles, marble, bark, ripples."""
    field = fractal(rng, rng.uniform(1.3, 2.2), np.exp(rng.normal(0, 0.6)))
    if rng.random() < 0.5:
        return _to_grey(-np.abs(field))
    return _to_grey(np.sin(field * rng.uniform(2, 7)))


def _grid(rng: np.random.Generator) -> Grey:
    """Man-made patterns: stripes, checks, dots, bricks, windows, plaid."""
    y, x = np.mgrid[0:TILE, 0:TILE].astype(np.float32)
    n, m = (int(v) for v in rng.integers(3, 16, 2))
    if rng.random() < 0.6:
        m = n
    u, v = x * n / TILE, y * m / TILE
    duty = rng.uniform(0.2, 0.6)
    wave_u, wave_v = np.abs(u % 1 - 0.5) * 2, np.abs(v % 1 - 0.5) * 2
    kind = rng.choice(["stripe", "check", "dots", "brick", "window", "plaid", "sine"])
    if kind == "stripe":
        field = np.clip((wave_u - duty) * 8, -1, 1)
    elif kind == "check":
        field = np.clip((wave_u - 0.5) * 8, -1, 1) * np.clip((wave_v - 0.5) * 8, -1, 1)
    elif kind == "dots":
        field = np.clip((duty - np.hypot(u % 1 - 0.5, v % 1 - 0.5)) * 10, -1, 1)
    elif kind == "brick":
        shifted = np.abs((u + 0.5 * (np.floor(v) % 2)) % 1 - 0.5) * 2
        field = np.clip((0.85 - np.maximum(shifted, wave_v)) * 12, -1, 1)
    elif kind == "window":
        field = np.clip((duty + 0.3 - np.maximum(wave_u, wave_v)) * 10, -1, 1)
    elif kind == "plaid":
        field = np.sin(2 * np.pi * u) + np.sin(2 * np.pi * v) + np.clip((wave_u - duty) * 8, -1, 1)
    else:
        field = np.sin(2 * np.pi * u)
    if rng.random() < 0.5:
        field = field + fractal(rng, 1.2) * rng.uniform(0.05, 0.4)
    return _to_grey(field, 45)


def _photographed() -> list[Grey]:
    from skimage import data

    tiles = []
    for name in ("brick", "grass", "gravel"):
        photo = getattr(data, name)()
        grey = photo if photo.ndim == 2 else cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (TILE, TILE), interpolation=cv2.INTER_AREA)
        tiles += [_to_grey(grey[:TILE, :TILE].astype(np.float32)), _to_grey(small.astype(float))]
    return tiles


@lru_cache(maxsize=1)
def tiles() -> dict[str, list[Grey]]:
    """All tiles by family, each (256, 256) uint8; made once per process, in about 1.5 s."""
    rng = np.random.default_rng(20240)
    bank: dict[str, list[Grey]] = {
        "noise": [
            _to_grey(fractal(rng, rng.uniform(0.6, 2.2), np.exp(rng.normal(0, 0.35))))
            for _ in range(28)
        ],
        "leaves": [_leaves(rng) for _ in range(12)],
        "strokes": [_strokes(rng) for _ in range(10)],
        "cells": [_cells(rng) for _ in range(10)],
        "ridges": [_ridges(rng) for _ in range(10)],
        "grid": [_grid(rng) for _ in range(20)],
        "photo": _photographed(),
        "smooth": [_to_grey(fractal(rng, rng.uniform(2.2, 3.0))) for _ in range(12)],
    }
    return bank


def warp(
    tile: Grey,
    height: int,
    width: int,
    scale: float,
    angle: float,
    offset: tuple[float, float],
    tilt: float = 0.0,
) -> Grey:
    """Part of the endless plane paved with a tile, (height, width) uint8.

    scale: tile pixels per picture pixel. tilt > 0 lets the pattern shrink towards the top, as on a
    floor that runs away from the viewer.
    """
    c, s = np.cos(angle) * scale, np.sin(angle) * scale
    if tilt > 0:
        # A plane seen at an angle: with depth d = 1 / (1 + tilt * y / height), one pixel covers
        # (1 + tilt) d tile units across and the square of that along; 1 at the bottom row.
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        depth = (1 + tilt) / (1 + tilt * y / height)
        u = (x - width / 2) * depth
        v = -depth * height * (1 + tilt) / tilt
        return cv2.remap(
            tile,
            np.float32(c * u - s * v + offset[0]),
            np.float32(s * u + c * v + offset[1]),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )
    return cv2.warpAffine(
        tile,
        np.float32([[c, -s, offset[0]], [s, c, offset[1]]]),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )
