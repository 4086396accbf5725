"""Means over episodes with their intervals, and differences of models on the same episodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def mean_interval(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation and 95 % interval by Student's t; the last two take two values.

    Raises:
        ValueError: If there is no value.
    """
    from scipy.stats import t

    if not values:
        raise ValueError("values: expected at least one, got none")
    array, n = np.asarray(values, dtype=np.float64), len(values)
    found: dict[str, Any] = {"n": n, "mean": float(array.mean())}
    if n < 2:
        return found | {"sd": None, "ci95": None, "reason": "one episode has no spread"}
    deviation = float(array.std(ddof=1))
    half = float(t.ppf(0.975, n - 1)) * deviation / n**0.5
    return found | {"sd": deviation, "ci95": [found["mean"] - half, found["mean"] + half]}


def paired_difference(right: Sequence[int], other: Sequence[int], asked: int) -> dict[str, Any]:
    """How much more often one model is right than another on the same episodes.

    Args:
        right: Right answers of the model in each episode.
        other: Those of the other model.
        asked: Questions in each.

    Returns:
        :func:`mean_interval` of the differences of accuracy, and ``p`` of :func:`sign_flip_p`.
    """
    apart = [a - b for a, b in zip(right, other, strict=True)]
    return mean_interval([d / asked for d in apart]) | {"p": sign_flip_p(apart)}


def sign_flip_p(differences: Sequence[int]) -> float:
    r"""Two-sided p-value of the sign-flip test, exactly.

    If neither model is better, each difference could as well have the other sign:

    .. math:: p = 2^{-n}\,\#\{s \in \{-1, 1\}^n : |\sum_i s_i d_i| \ge |\sum_i d_i|\}

    Differences are whole numbers, so that sums are counted rather than signs: adding one
    difference splits the distribution of sums in two.
    """
    sizes = [abs(int(d)) for d in differences]
    shares = np.ones(1)  # of sums from -reach to reach
    for size in sizes:
        grown = np.zeros(len(shares) + 2 * size)
        grown[: len(shares)] += shares / 2
        grown[2 * size :] += shares / 2
        shares = grown
    sums = np.arange(len(shares)) - sum(sizes)
    return float(min(1.0, shares[np.abs(sums) >= abs(int(sum(differences)))].sum()))
