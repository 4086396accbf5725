"""Corrupted images: blurred, noisy, faded, partly hidden.

All functions: image (H, W, C) float64 in [0, 1], strength 1 to 5, generator → the same shape.
"""

from __future__ import annotations

import numpy as np


def blur(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Out of focus: a Gaussian as wide as 2 to 12 hundredths of the side."""
    from scipy.ndimage import gaussian_filter

    width = (0.02, 0.04, 0.06, 0.09, 0.12)[strength - 1] * max(16, min(image.shape[:2]))
    return gaussian_filter(image, (width, width, 0), mode="nearest")


def pixelate(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Coarse squares, each the mean of what it covers: 17 to 4 twentieths as many a side."""
    share = (0.85, 0.65, 0.45, 0.33, 0.22)[strength - 1]
    for axis in (0, 1):
        size = image.shape[axis]
        cuts = np.round(np.linspace(0, size, max(2, round(share * size)) + 1)).astype(int)
        widths = np.diff(cuts)
        image = np.moveaxis(image, axis, -1)
        means = np.add.reduceat(image, cuts[:-1], axis=-1) / widths
        image = np.moveaxis(np.repeat(means, widths, axis=-1), -1, axis)
    return image


def noise(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of standard deviation 0.08 to 0.4."""
    return image + 0.08 * strength * rng.normal(size=image.shape)


def salt(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Single pixels, 4 to 20 of a hundred, black or white."""
    where, white = rng.random((2, *image.shape[:2], 1))
    return np.where(where < 0.04 * strength, np.round(white), image)


def contrast(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Faded towards its own mean, to 0.7 to 0.1 of its contrast."""
    kept = (0.7, 0.5, 0.35, 0.2, 0.1)[strength - 1]
    return kept * image + (1 - kept) * image.mean()


def fog(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Light clouds before it, 15 to 75 of a hundred thick."""
    from scipy.ndimage import gaussian_filter

    width = 0.15 * max(16, min(image.shape[:2]))
    clouds = gaussian_filter(rng.normal(size=image.shape[:2]), width, mode="wrap")
    spread = clouds.max() - clouds.min() + 1e-9
    thick = 0.15 * strength * (0.4 + 0.6 * (clouds - clouds.min()) / spread)
    return image + thick[..., None] * (1 - image)


def stripes(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Slanted bars of one grey before it, covering 10 to 50 of a hundred."""
    high, wide = image.shape[:2]
    y, x = np.mgrid[:high, :wide]
    angle, start, grey = rng.uniform(0, np.pi), rng.random(), rng.random()
    period = max(4.0, min(high, wide) / 5)
    place = (np.cos(angle) * x + np.sin(angle) * y) / period + start
    return np.where((place % 1 < 0.1 * strength)[..., None], grey, image)


def patch(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """A grey square before it, with sides of 20 to 60 hundredths of the image's."""
    high, wide = image.shape[:2]
    centre_y, centre_x, grey = rng.uniform(0.25, 0.75, 3)
    half = (0.05 + 0.05 * strength) * min(high, wide)
    near_y = np.abs(np.arange(high) + 0.5 - centre_y * high) <= half
    near_x = np.abs(np.arange(wide) + 0.5 - centre_x * wide) <= half
    return np.where((near_y[:, None] & near_x)[..., None], grey, image)
