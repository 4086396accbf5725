"""Augmentation of training images: NumPy on whole batches, one explicit generator."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images, in this order.

    Attributes:
        randaugment: Operations drawn for each image out of fourteen; 0: none.
        magnitude: How strong they are, in [0, 10].
        crop: Pixels by which an image is shifted at most, either way; its edge fills the gap.
        flip: Mirror half of the images left to right.
        erase: Probability that a rectangle is overwritten by noise.
        mixup: Parameter a of the Beta(a, a) that images are mixed by; 0: none.
        cutmix: Parameter a of the Beta(a, a) that gives the share of a pasted box; 0: none.
            With both, each batch gets one or the other.
        smoothing: Share of a target that is spread over all classes.

    Raises:
        ValueError: If one is out of range.
    """

    randaugment: int = 0
    magnitude: float = 6.0
    crop: int = 0
    flip: bool = False
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        most = {"magnitude": 10.0, "erase": 1.0, "smoothing": 0.999}
        for field in fields(self):
            value, high = getattr(self, field.name), most.get(field.name, 1000.0)
            if field.name != "flip" and not 0 <= value <= high:
                raise ValueError(f"{field.name}: expected 0 to {high:g}, got {value!r}")


def augmented(images: np.ndarray, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Each image augmented independently: uint8 (B, H, W, C) → uint8 (B, H, W, C)."""
    if how.randaugment:
        from nacgraph.tasks.images.randaugment import randaugmented

        drawn = [randaugmented(image, how.randaugment, how.magnitude, rng) for image in images]
        images = np.stack(drawn)
    if how.crop:
        images = _shifted(images, how.crop, rng)
    if how.flip:
        turned = rng.random(len(images)) < 0.5
        images = np.where(turned[:, None, None, None], images[:, :, ::-1], images)
    if how.erase:
        images = _erased(images, how.erase, rng)
    return images


def mixed(
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    how: Augmentation,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Images mixed in pairs, and the share of each class in them.

    Shapes:
        images (B, H, W, C) float32 · labels (B) · targets (B, classes) float32, rows that sum
        to one; None where labels say it all
    """
    if not (how.mixup or how.cutmix or how.smoothing):
        return images, None
    targets = np.eye(classes, dtype=np.float32)[labels]
    if how.mixup or how.cutmix:
        boxes = rng.random() < 0.5 if how.mixup and how.cutmix else bool(how.cutmix)
        partner = rng.permutation(len(images))
        alpha = how.cutmix if boxes else how.mixup
        share = rng.beta(alpha, alpha, len(images)).astype(np.float32)
        if boxes:
            images, share = _pasted(images, images[partner], share, rng)
        else:
            w = share[:, None, None, None]
            images = w * images + (1 - w) * images[partner]
        targets = share[:, None] * targets + (1 - share[:, None]) * targets[partner]
    return images, (1 - how.smoothing) * targets + np.float32(how.smoothing / classes)


def _shifted(images: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    count, high, wide, _ = images.shape
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    top, left = rng.integers(0, 2 * most + 1, (2, count, 1, 1))
    rows = top + np.arange(high)[:, None]
    columns = left + np.arange(wide)
    return padded[np.arange(count)[:, None, None], rows, columns]


def _erased(images: np.ndarray, probability: float, rng: np.random.Generator) -> np.ndarray:
    images = images.copy()
    high, wide = images.shape[1:3]
    area, aspect = rng.uniform(0.02, 0.33, len(images)), np.exp(rng.uniform(-1.2, 1.2, len(images)))
    for k in np.flatnonzero(rng.random(len(images)) < probability):
        side = np.sqrt(area[k] * high * wide)
        rows, columns = (
            _interval(high, side * np.sqrt(aspect[k]), rng),
            _interval(wide, side / np.sqrt(aspect[k]), rng),
        )
        part = images[k, rows, columns]
        part[...] = rng.integers(0, 256, part.shape, np.uint8)
    return images


def _pasted(
    images: np.ndarray, others: np.ndarray, share: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of ``others`` over ``images``; what is left of each image, in [0, 1]."""
    result, left = images.copy(), np.ones(len(images), np.float32)
    high, wide = images.shape[1:3]
    for k, kept in enumerate(share):
        side = np.sqrt(1 - kept)
        rows, columns = _interval(high, side * high, rng), _interval(wide, side * wide, rng)
        result[k, rows, columns] = others[k, rows, columns]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        left[k] = 1 - area / (high * wide)
    return result, left


def _interval(size: int, length: float, rng: np.random.Generator) -> slice:
    whole = min(size, round(float(length)))
    start = int(rng.integers(0, size - whole + 1))
    return slice(start, start + whole)
