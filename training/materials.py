"""What surfaces look like: colours and textures of a material, and how light falls on a shape."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from training import textures

Image = NDArray[np.float32]

# Colours that large parts of photos have (RGB), the author's own choice by eye.
NATURAL = np.array(
    [
        (135, 175, 220), (190, 210, 230), (225, 230, 235), (90, 130, 180), (60, 90, 110),
        (50, 75, 35), (90, 115, 50), (130, 145, 80), (35, 50, 30), (165, 160, 110),
        (110, 85, 60), (75, 55, 40), (150, 120, 85), (205, 180, 140), (230, 215, 190),
        (125, 120, 115), (165, 162, 158), (85, 85, 88), (45, 42, 42), (20, 20, 22),
        (245, 245, 240), (200, 150, 120), (225, 180, 150), (145, 95, 70), (160, 70, 50),
        (190, 45, 40), (210, 170, 60), (225, 130, 50), (40, 60, 120), (110, 60, 110),
    ],
    np.float32,
)  # fmt: skip

FAMILIES = ("flat", "smooth", "noise", "leaves", "strokes", "cells", "ridges", "grid", "photo")
FAMILY_SHARE = (0.14, 0.12, 0.24, 0.13, 0.10, 0.06, 0.08, 0.08, 0.05)
BUSY_SHARE = (0.05, 0.08, 0.18, 0.22, 0.15, 0.11, 0.10, 0.06, 0.05)
CONTRASTS = (0.08, 0.2, 0.45, 0.9)
CONTRAST_SHARE = (0.3, 0.3, 0.25, 0.15)
BUSY_CONTRAST_SHARE = (0.12, 0.25, 0.35, 0.28)


def colour(rng: np.random.Generator) -> NDArray[np.float32]:
    """One plausible colour, RGB float32 (3,) in 0..255."""
    kind = rng.random()
    if kind < 0.5:
        base = NATURAL[rng.integers(len(NATURAL))] + rng.normal(0, 14, 3)
    elif kind < 0.82:
        hsv = (rng.random() * 360, rng.beta(1.2, 2.0), rng.uniform(0.06, 1.0))
        base = cv2.cvtColor(np.float32([[hsv]]), cv2.COLOR_HSV2RGB)[0, 0] * 255
    else:
        base = rng.uniform(5, 250) + rng.normal(0, 6, 3)
    return np.clip(base, 0, 255).astype(np.float32)


@dataclass(frozen=True)
class Material:
    """A texture and its colours. `key` names the material kind in `Scene.materials`."""

    key: int
    family: str
    tile: int
    scale: float
    angle: float
    table: NDArray[np.float32]
    """(256, 3) colour of every grey level of the tile."""
    detail: float
    """Strength in grey levels of a second, finer texture on top."""
    blotch: float
    """Strength of slow changes of brightness, relative."""
    gloss: float
    """Strength of highlights, 0 (matt) to 1."""
    second: str = ""
    """Another family that the texture slowly changes into from place to place, if any."""


def make(
    rng: np.random.Generator, key: int, near: Material | None = None, busy: bool = False
) -> Material:
    """A random material; with `near` given often of similar colour, for weak outlines.

    busy: more and stronger texture, often of two kinds that change into each other, as foliage,
    rocks and water have it: many edges, none of which is an outline.
    """
    family = str(rng.choice(FAMILIES, p=BUSY_SHARE if busy else FAMILY_SHARE))
    base = colour(rng)
    if near is not None and rng.random() < 0.5:
        base = near.table[128] + rng.normal(0, rng.choice([8, 16, 30]), 3)
    contrast = rng.choice(CONTRASTS, p=BUSY_CONTRAST_SHARE if busy else CONTRAST_SHARE)
    stops = [base]
    for _ in range(2):
        if rng.random() < 0.65:  # mostly brightness alone, as shading of small relief makes it
            stops.append(base * np.exp(rng.normal() * contrast) + rng.normal(0, 6 * contrast, 3))
        else:
            stops.append(base + (colour(rng) - base) * contrast)
    order = rng.permutation(3)
    levels = np.stack(
        [np.interp(np.arange(256), [40, 128, 216], [stops[k][c] for k in order]) for c in range(3)],
        axis=1,
    )
    return Material(
        key=key,
        family=family,
        tile=int(rng.integers(1 << 30)),
        scale=float(np.exp(rng.uniform(-1.5, 0.9))),
        angle=float(rng.uniform(0, 2 * np.pi)),
        table=np.clip(levels, 0, 255).astype(np.float32),
        detail=float(rng.choice([0, 4, 12, 25], p=[0.35, 0.35, 0.22, 0.08])),
        blotch=float(rng.choice([0, 0.08, 0.2, 0.35], p=[0.4, 0.3, 0.2, 0.1])),
        gloss=float(rng.uniform(0.2, 1.0)) if rng.random() < 0.25 else 0.0,
        second=str(rng.choice(FAMILIES[1:])) if busy and rng.random() < 0.5 else "",
    )


def vary(rng: np.random.Generator, material: Material) -> Material:
    """The same material on another object: a little lighter or darker, turned, other offset."""
    gain = np.exp(rng.normal() * 0.12)
    tint = rng.normal(0, 3, 3)
    return replace(material, table=np.clip(material.table * gain + tint, 0, 255).astype(np.float32))


def albedo(
    rng: np.random.Generator,
    material: Material,
    height: int,
    width: int,
    zoom: float,
    turn: float = 0.0,
    tilt: float = 0.0,
) -> Image:
    """The material's colour, (height, width, 3) float32 in 0..255, before any light.

    zoom: pixels of the picture per pixel of a 512-pixel one; turn: rotation of the object.
    """
    bank = textures.tiles()

    def look(family: str, index: int, scale: float, lean: float = 0.0) -> NDArray[np.uint8]:
        tile = bank[family][index % len(bank[family])]
        offset = (float(rng.uniform(0, 256)), float(rng.uniform(0, 256)))
        return textures.warp(tile, height, width, scale / zoom, material.angle + turn, offset, lean)

    if material.family == "flat":
        out = np.empty((height, width, 3), np.float32)
        out[:] = material.table[128]
    else:
        scale = material.scale * (0.4 if material.family == "smooth" else 1.0)
        out = material.table[look(material.family, material.tile, scale, tilt)]
    if material.second:
        other = material.table[look(material.second, material.tile // 3, material.scale * 0.8)]
        where = look("smooth", material.tile // 5, 0.3).astype(np.float32)
        share = np.clip((where - 128) / 60 + 0.5, 0, 1)[..., None]
        out = out + (other - out) * share
    if material.detail:
        fine = look("noise", material.tile // 7, material.scale * 1.7)
        out += ((fine.astype(np.float32) - 128) * (material.detail / 50))[..., None]
    if material.blotch:
        slow = look("smooth", material.tile // 11, 0.35)
        out *= (1 + (slow.astype(np.float32) - 128) * (material.blotch / 100))[..., None]
    return out


def relief(
    rng: np.random.Generator, hard: NDArray[np.bool_], light: NDArray, gloss: float, zoom: float
) -> tuple[Image, Image | None]:
    """Light on a shape that bulges: (shade, highlight), both (h, w) float32.

    hard: (h, w) the shape. light: unit vector towards the light, z towards the viewer. The colour
    is multiplied by shade; highlight (0..1, None on matt ones) is added as white.
    """
    height, width = hard.shape
    padded = np.pad(hard.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    inner = float(distance.max())
    bulge = inner * rng.choice([0.15, 0.5, 1.0], p=[0.25, 0.3, 0.45]) + 1e-3
    t = np.clip(distance / bulge, 0, 1)
    surface = bulge * np.sqrt(np.maximum(0, 1 - (1 - t) ** 2)) * rng.uniform(0.4, 1.3)
    surface = cv2.GaussianBlur(surface.astype(np.float32), (0, 0), max(0.8, bulge * 0.15))
    if rng.random() < 0.5:  # folds and bumps
        bank = textures.tiles()
        family = "smooth" if rng.random() < 0.7 else "ridges"
        tile = bank[family][rng.integers(len(bank[family]))]
        scale = np.exp(rng.uniform(-1.0, 0.7)) / zoom
        bumps = textures.warp(
            tile, height, width, scale, rng.uniform(0, 6.3), tuple(rng.uniform(0, 256, 2))
        )
        bumps = cv2.GaussianBlur(bumps.astype(np.float32), (0, 0), 1.5)
        surface += bumps * (rng.uniform(0.01, 0.12) / scale)
    nx = -cv2.Sobel(surface, cv2.CV_32F, 1, 0, scale=0.125)
    ny = -cv2.Sobel(surface, cv2.CV_32F, 0, 1, scale=0.125)
    length = 1.0 / np.sqrt(nx * nx + ny * ny + 1)
    facing = (nx * light[0] + ny * light[1] + light[2]) * length
    ambient = rng.uniform(0.15, 0.75)
    shade = ambient + (1 - ambient) * np.maximum(facing, 0) * rng.uniform(1.0, 1.5)
    highlight = None
    if gloss > 0:
        half = light + np.array([0, 0, 1.0])
        half /= np.linalg.norm(half)
        toward = np.clip((nx * half[0] + ny * half[1] + half[2]) * length, 0, 1)
        highlight = (gloss * toward ** rng.uniform(8, 80)).astype(np.float32)
    return shade.astype(np.float32), highlight
