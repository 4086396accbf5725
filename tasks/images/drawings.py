"""Images redrawn or deformed.

All functions: image (H, W, C) float64 in [0, 1], strength 1 to 5, generator → the same shape.
Lengths grow with the image, so that 8 × 8 and 64 × 64 images change equally.
"""

from __future__ import annotations

import numpy as np


def sketch(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Dark pencil lines on white where brightness changes, laid over a fading original."""
    lines = 1 - np.clip(3 * _edges(_grey(image)), 0, 1)
    return _blend(image, lines[..., None], strength / 5)


def cartoon(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Flat colours within dark outlines."""
    from scipy.ndimage import median_filter

    flat = median_filter(image, size=(3, 3, 1), mode="nearest")
    flat = np.round(3 * flat) / 3
    ink = 1 - np.clip(2 * _edges(_grey(image)), 0, 1)
    return _blend(image, flat * ink[..., None], strength / 5)


def posterise(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Fewer and fewer shades: 8, 6, 4, 3, 2."""
    steps = (8, 6, 4, 3, 2)[strength - 1] - 1
    return np.round(image * steps) / steps


def halftone(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Print in dots that are larger where it is darker, on a slanted screen."""
    high, wide = image.shape[:2]
    y, x = np.mgrid[:high, :wide] + rng.uniform(0, 8, (2, 1, 1))
    turn = 2 * np.pi / max(2.5, _side(image) / 16)
    screen = np.sin(turn * (x + y) / np.sqrt(2)) * np.sin(turn * (x - y) / np.sqrt(2))
    dots = (image > 0.5 + 0.5 * screen[..., None]).astype(np.float64)
    return _blend(image, dots, strength / 5)


def emboss(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """A grey relief, lit from the upper left."""
    grey = _grey(image)
    down, right = np.gradient(np.pad(grey, 1, mode="edge"))
    relief = 0.5 + 1.5 * (down + right)[1:-1, 1:-1]
    return _blend(image, np.clip(relief, 0, 1)[..., None], strength / 5)


def invert(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """A negative: first of the brightest parts (solarised), at last of all."""
    threshold = (0.8, 0.6, 0.4, 0.2, 0.0)[strength - 1]
    return np.where(image >= threshold, 1 - image, image)


def texture(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """The shapes stay; their own fine structure gives way to checks, stripes, rings or clouds."""
    from scipy.ndimage import gaussian_filter

    high, wide = image.shape[:2]
    y, x = np.mgrid[:high, :wide] - rng.uniform(0, _side(image), (2, 1, 1))
    angle, turn = rng.uniform(0, np.pi), 2 * np.pi / max(3.0, _side(image) / 6)
    along = np.cos(angle) * x + np.sin(angle) * y
    across = np.cos(angle) * y - np.sin(angle) * x
    kind = int(rng.integers(4))
    clouds = gaussian_filter(rng.normal(size=(high, wide)), _length(image, 0.04), mode="wrap")
    wave = (
        np.sign(np.sin(turn * along) * np.sin(turn * across)),
        np.sin(turn * along),
        np.sin(turn * np.hypot(x, y)),
        np.clip(clouds / (clouds.std() + 1e-9), -1, 1),
    )[kind]
    smooth = gaussian_filter(image, (_length(image, 0.03), _length(image, 0.03), 0))
    return _blend(image, smooth * (0.65 + 0.6 * wave[..., None]), strength / 5)


def rotate(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Turned about its middle by 9 to 45 degrees, left or right."""
    angle = np.deg2rad(9 * strength) * rng.choice((-1, 1))
    y, x = _from_middle(image)
    return _sampled(
        image, np.cos(angle) * y - np.sin(angle) * x, np.sin(angle) * y + np.cos(angle) * x
    )


def zoom(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Seen from further away, 0.9 to 0.5 times as large; the edge goes on beyond the image."""
    from scipy.ndimage import gaussian_filter

    scale = 1 - 0.1 * strength
    width = 0.5 * (1 / scale - 1)  # of the blur that keeps fine lines from breaking up
    y, x = _from_middle(image)
    return _sampled(gaussian_filter(image, (width, width, 0)), y / scale, x / scale)


def elastic(image: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Deformed like rubber by a smooth random field."""
    from scipy.ndimage import gaussian_filter

    field = rng.normal(size=(2, *image.shape[:2]))
    width = _length(image, 0.1)
    field = gaussian_filter(field, (0, width, width), mode="wrap")
    field /= np.abs(field).max() + 1e-9
    y, x = _from_middle(image)
    moved = 0.035 * strength * _side(image) * field
    return _sampled(image, y + moved[0], x + moved[1])


def _side(image: np.ndarray) -> int:
    return min(image.shape[:2])


def _length(image: np.ndarray, share: float) -> float:
    """A share of the side; of 16 pixels at least, or the smallest images would not change."""
    return share * max(16, _side(image))


def _grey(image: np.ndarray) -> np.ndarray:
    """Brightness (H, W)."""
    return image[..., 0] if image.shape[-1] == 1 else image @ np.array([0.299, 0.587, 0.114])


def _edges(grey: np.ndarray) -> np.ndarray:
    """Length of the gradient of brightness (H, W)."""
    down, right = np.gradient(np.pad(grey, 1, mode="edge"))
    return np.hypot(down, right)[1:-1, 1:-1]


def _blend(image: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    return (1 - share) * image + share * other


def _from_middle(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, counted from the middle of the image."""
    high, wide = image.shape[:2]
    y, x = np.mgrid[:high, :wide].astype(np.float64)
    return y - (high - 1) / 2, x - (wide - 1) / 2


def _sampled(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The image at these places from its middle, between pixels linearly, beyond them its edge."""
    from scipy.ndimage import map_coordinates

    high, wide, channels = image.shape
    at = np.stack([y + (high - 1) / 2, x + (wide - 1) / 2])
    parts = [map_coordinates(image[..., c], at, order=1, mode="nearest") for c in range(channels)]
    return np.stack(parts, axis=-1)
