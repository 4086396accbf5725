"""Renditions: images redrawn, deformed or corrupted in a fixed way, to measure robustness.

A rendition is a function of image, strength and (name, seed, row), so the same row looks the same
in every batch and for every model. Strengths 1 to 5 differ in amount, not in what is drawn: the
same noise grows, the same bars widen.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from nacgraph.tasks.images import corruption, drawings
from nacgraph.utils.check import check_choice

STRENGTHS = (1, 2, 3, 4, 5)

Rendition = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]

RENDITIONS: dict[str, Rendition] = {
    # redrawn
    "sketch": drawings.sketch,
    "cartoon": drawings.cartoon,
    "posterise": drawings.posterise,
    "halftone": drawings.halftone,
    "emboss": drawings.emboss,
    "invert": drawings.invert,
    "texture": drawings.texture,
    # deformed
    "rotate": drawings.rotate,
    "zoom": drawings.zoom,
    "elastic": drawings.elastic,
    # corrupted
    "blur": corruption.blur,
    "pixelate": corruption.pixelate,
    "noise": corruption.noise,
    "salt": corruption.salt,
    "contrast": corruption.contrast,
    "fog": corruption.fog,
    "stripes": corruption.stripes,
    "patch": corruption.patch,
}
"""Rendition by name: image (H, W, C) float64 in [0, 1], strength 1 to 5, generator → the same."""


def check(name: str, strength: int) -> None:
    """Raise ValueError unless there is such a rendition and strength."""
    check_choice(RENDITIONS, rendition=name)
    if strength not in STRENGTHS:
        raise ValueError(f"strength: expected 1 to 5, got {strength!r}")


def render(
    images: np.ndarray, name: str, strength: int, rows: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Images (N, H, W, C) uint8 as one rendition of them, in the same form.

    Args:
        images: Grey or RGB images.
        name: A key of ``RENDITIONS``.
        strength: 1 to 5.
        rows: The row of each image in its split (N); row, name and seed fix all randomness.
        seed: Another seed gives other noise.

    Raises:
        ValueError: If an argument is out of range.
    """
    check(name, strength)
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(
            f"images: expected uint8 (N, H, W, C), got {images.dtype} of shape {images.shape}"
        )
    if len(rows) != len(images):
        raise ValueError(f"rows: expected {len(images)}, as many as images, got {len(rows)}")
    draw, key = RENDITIONS[name], zlib.crc32(name.encode())
    result = np.empty_like(images)
    for place, image, row in zip(result, images, rows, strict=True):
        rng = np.random.default_rng((seed, key, int(row)))
        place[...] = np.round(255 * np.clip(draw(image / 255.0, strength, rng), 0, 1))
    return result
