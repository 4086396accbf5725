"""Clouds as arrays: what is wrong with them, the unit sphere, fewer points, augmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nacgraph.tasks.data_report import DataReport

AXES = ("x", "y", "z")


def sound_rows(path: Path, points: np.ndarray, found: DataReport) -> np.ndarray:
    """Which rows (N) of points (N, P, 3) are clouds; ``found`` hears about the others."""
    good = np.ones(len(points), bool)
    for row, cloud in enumerate(points):
        if problem := cloud_problem(cloud):
            found.damaged(f"{path}, row {row}", problem)
            good[row] = False
    return good


def cloud_problem(cloud: np.ndarray) -> str | None:
    """What is wrong with a cloud (P, 3), or None."""
    finite = np.isfinite(cloud)
    if not finite.all():
        point, axis = np.argwhere(~finite)[0]
        value = cloud[point, axis]
        return f"expected finite coordinates, got {value} as {AXES[axis]} of point {point}"
    wide = cloud.astype(np.float64)
    size = max(np.abs(wide).max(), np.finfo(np.float64).tiny)
    if (wide / size).ptp(axis=0).max() < 1e-6:
        return f"expected points apart from each other, got all {len(cloud)} at one place"
    return None


def sound_labels(
    path: Path, labels: np.ndarray, classes: int | None, found: DataReport, good: np.ndarray
) -> np.ndarray:
    """``good`` (N) without the rows whose label is none of the ``classes``, if that is known."""
    wrong = labels < 0 if classes is None else (labels < 0) | (labels >= classes)
    allowed = "of at least 0" if classes is None else f"from 0 to {classes - 1}"
    for row in np.flatnonzero(wrong):
        found.damaged(f"{path}, row {row}", f"expected a label {allowed}, got {labels[row]}")
    return good & ~wrong


def normalised(points: np.ndarray) -> np.ndarray:
    """Clouds (…, P, 3) moved and scaled into the unit sphere, float32.

    The mean of a cloud's points comes to the origin, its farthest point to distance 1.
    """
    out = np.empty(points.shape, np.float32)
    flat, into = points.reshape(-1, *points.shape[-2:]), out.reshape(-1, *points.shape[-2:])
    for row, cloud in enumerate(flat):  # row by row: half precision would overflow, all need room
        moved = cloud.astype(np.float64)
        moved /= np.abs(moved).max()  # squares of large numbers overflow, of small ones vanish
        moved -= moved.mean(axis=0)
        into[row] = moved / np.sqrt((moved**2).sum(axis=1).max())
    return out


def shuffled(points: np.ndarray, seed: tuple[int, ...], keep: int) -> np.ndarray:
    """``keep`` points of every cloud (N, P, 3) in an order drawn by seed and row.

    The first ``count`` of them are then a fair choice of ``count``, whatever the order on disk.
    """
    out = np.empty((len(points), keep, 3), points.dtype)
    for row, cloud in enumerate(points):
        order = np.random.default_rng((*seed, row)).permutation(len(cloud))
        out[row] = cloud[order[:keep]]
    return out


def resampled(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Another ``count`` points of every cloud (B, P, 3), without repetition."""
    rank = rng.random(points.shape[:2])
    chosen = np.argpartition(rank, count - 1, axis=1)[:, :count]
    return np.take_along_axis(points, chosen[..., None], axis=1)


def rotated(points: np.ndarray, axis: str, rng: np.random.Generator) -> np.ndarray:
    """Every cloud (B, P, 3) turned about ``axis`` by an angle of its own."""
    first, second = (k for k in range(3) if k != AXES.index(axis))
    angle = rng.uniform(0, 2 * np.pi, (len(points), 1))
    cosine, sine = np.cos(angle), np.sin(angle)
    out = np.array(points)
    out[..., first] = cosine * points[..., first] - sine * points[..., second]
    out[..., second] = sine * points[..., first] + cosine * points[..., second]
    return out


def scaled(points: np.ndarray, most: float, rng: np.random.Generator) -> np.ndarray:
    """Every cloud (B, P, 3) times a factor from 1 / (1 + most) to 1 + most."""
    factor = (1 + most) ** rng.uniform(-1, 1, (len(points), 1, 1))
    return points * factor.astype(points.dtype)


def jittered(points: np.ndarray, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Every point moved by normal noise of this standard deviation."""
    return points + spread * rng.standard_normal(points.shape, dtype=np.float32)
