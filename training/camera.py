"""What a camera and a file format do to a scene: light, focus, sensor, scaling, compression."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training import textures

Image = NDArray[np.float32]


def uneven_light(rng: np.random.Generator, image: Image) -> Image:
    """Slow changes of brightness over the picture, and shadows of things outside of it."""
    height, width = image.shape[:2]
    bank = textures.tiles()["smooth"]

    def field(scale: float) -> Image:
        tile = bank[rng.integers(len(bank))]
        return textures.warp(
            tile, height, width, scale, rng.uniform(0, 6.3), tuple(rng.uniform(0, 256, 2))
        ).astype(np.float32)

    if rng.random() < 0.5:
        slow = (field(rng.uniform(0.1, 0.4) * 512 / height) - 128) / 128
        image = image * (1 + slow * rng.uniform(0, 0.6))[..., None]
    if rng.random() < 0.3:
        outline = field(rng.uniform(0.2, 1.2) * 512 / height) - 140
        cast = np.clip(outline * rng.uniform(2, 20), 0, 255)
        cast = cv2.GaussianBlur(cast, (0, 0), rng.uniform(0.8, 8)) / 255
        image = image * (1 - rng.uniform(0.15, 0.6) * cast)[..., None]
    if rng.random() < 0.25:
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        image = image * (1 - rng.uniform(0.05, 0.35) * (x * x + y * y))[..., None]
    return image


def _tone(rng: np.random.Generator, image: Image) -> Image:
    """Exposure (clipping what is too light), gamma, colour cast, haze."""
    image = image * np.exp(rng.normal(0.15, 0.25))
    if rng.random() < 0.5:
        image = image * np.exp(rng.normal(0, 0.07, 3)).astype(np.float32)
    if rng.random() < 0.15:
        veil = rng.uniform(0.05, 0.4)
        image = image * (1 - veil) + np.float32(rng.uniform(90, 240, 3)) * veil
    image = np.clip(image, 0, 255)
    return 255 * (image / 255) ** np.float32(np.exp(rng.normal(0, 0.25)))


def _sensor(rng: np.random.Generator, image: Image) -> Image:
    """Noise of the sensor, brighter where it is lighter, sometimes in clumps."""
    if rng.random() < 0.65:
        strength = np.exp(rng.uniform(np.log(0.7), np.log(10)))
        shape = (*image.shape[:2], rng.choice([1, 3]))
        noise = rng.normal(0, strength, shape).astype(np.float32)
        if rng.random() < 0.4:
            clumps = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.4, 1.0))
            noise = clumps.reshape(noise.shape) * 1.5
        # Sharpening can leave values far below zero; the noise of those is none.
        image = image + noise * np.sqrt(np.maximum(0.4 + image / 180, 0))
    return np.clip(image, 0, 255)


def _jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def photograph(rng: np.random.Generator, image: Image) -> NDArray[np.uint8]:
    """The scene (S, S, 3) float32 as a picture file would show it, uint8 of the same size."""
    size = image.shape[0]
    image = _tone(rng, uneven_light(rng, image))
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), np.exp(rng.uniform(np.log(0.35), np.log(1.6))))
    if rng.random() < 0.06:  # the camera moved
        length = int(rng.integers(3, 9))
        kernel = np.diag(np.ones(length, np.float32)) / length
        if rng.random() < 0.5:
            kernel = np.ones((1, length), np.float32) / length
        image = cv2.filter2D(image, -1, kernel)
    small = int(size * rng.uniform(0.35, 0.8)) if rng.random() < 0.4 else size
    if small < size:  # an enlarged small photo
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.25:  # sharpened, as most cameras do
        blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.7, 2.0))
        image = image + (image - blurred) * rng.uniform(0.2, 1.2)
    out = _sensor(rng, image).astype(np.uint8)
    if rng.random() < 0.06:
        out = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.5:
        out = _jpeg(out, int(rng.integers(30, 96)))
    if small < size:
        how = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR
        out = cv2.resize(out, (size, size), interpolation=how)
    return out


def recorded(rng: np.random.Generator, image: Image) -> NDArray[np.uint8]:
    """A picture with true light (S, S, 3) float32 as sensor and file leave it, uint8."""
    out = _sensor(rng, image).astype(np.uint8)
    return _jpeg(out, int(rng.integers(40, 96))) if rng.random() < 0.6 else out
