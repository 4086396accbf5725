"""RandAugment by Pillow: a few random operations, one strength, on one image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

OPERATIONS = (
    "identity", "rotate", "shear_x", "shear_y", "shift_x", "shift_y", "brightness", "contrast",
    "sharpness", "colour", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip


def randaugmented(
    image: np.ndarray, count: int, magnitude: float, rng: np.random.Generator
) -> np.ndarray:
    """``count`` operations, drawn with replacement, at ``magnitude`` of 10, with random sign.

    Its own generator, where torchvision's version draws from PyTorch's global one; so it needs
    no torchvision either.

    Shapes:
        image (H, W, C) uint8, C of 1 or 3 → the same

    Source: RandAugment (NeurIPS 2020).
    """
    from PIL import Image

    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    names = rng.choice(OPERATIONS, count)
    signs = rng.choice((-1.0, 1.0), count)
    for name, sign in zip(names, signs, strict=True):
        picture = _apply(str(name), picture, sign * magnitude / 10)
    return np.asarray(picture).reshape(image.shape)


def _apply(name: str, picture: Image, amount: float) -> Image:
    """One operation at a signed strength in [-1, 1]."""
    from PIL import Image, ImageEnhance, ImageOps

    enhance: dict[str, Any] = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "sharpness": ImageEnhance.Sharpness,
        "colour": ImageEnhance.Color,
    }
    if name in enhance:
        return enhance[name](picture).enhance(1 + 0.9 * amount)
    if name == "rotate":
        return picture.rotate(30 * amount, Image.Resampling.BILINEAR)
    if name == "posterize":
        return ImageOps.posterize(picture, 8 - round(4 * abs(amount)))
    if name == "solarize":
        return ImageOps.solarize(picture, round(255 * (1 - abs(amount))))
    if name == "autocontrast":
        return ImageOps.autocontrast(picture)
    if name == "equalize":
        return ImageOps.equalize(picture)
    wide, high = picture.size
    moved = {
        "shear_x": (1, 0.3 * amount, -0.15 * amount * high, 0, 1, 0),
        "shear_y": (1, 0, 0, 0.3 * amount, 1, -0.15 * amount * wide),
        "shift_x": (1, 0, 0.3 * amount * wide, 0, 1, 0),
        "shift_y": (1, 0, 0, 0, 1, 0.3 * amount * high),
    }
    if name not in moved:
        return picture
    affine, bilinear = Image.Transform.AFFINE, Image.Resampling.BILINEAR
    return picture.transform(picture.size, affine, moved[name], bilinear)
