"""The statistics of results, each once: proportions, means and paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Mean:
    r"""A mean of n independent values and how well it is known.

    Attributes:
        n: Number of values.
        mean: Their mean.
        sd: Their standard deviation (n - 1 below); None of a single value.
        ci95: 95 % interval by Student's t, :math:`\bar x \pm t_{0.975, n-1}\, s / \sqrt n`; None
            of a single value.
        p: Two-sided p-value of Student's t-test against 0; None of a single value, and where the
            values do not vary.
    """

    n: int
    mean: float
    sd: float | None = None
    ci95: tuple[float, float] | None = None
    p: float | None = None

    @property
    def error(self) -> float | None:
        r"""Standard error, :math:`s / \sqrt n`."""
        return None if self.sd is None else self.sd / self.n**0.5

    def as_dict(self) -> dict[str, Any]:
        """n, mean, sd and ci95 as JSON holds them, with a ``reason`` where they are None."""
        found = {"n": self.n, "mean": self.mean, "sd": self.sd}
        if self.ci95 is None:
            return found | {"ci95": None, "reason": "a single value has no spread"}
        return found | {"ci95": list(self.ci95)}


def mean_interval(values: Sequence[float] | np.ndarray) -> Mean:
    """The mean of independent values, with its 95 % interval and p-value by Student's t.

    Example:
        >>> found = mean_interval([0.5, 0.7, 0.6])
        >>> f"{found.mean:.2f} ± {found.ci95[1] - found.mean:.2f}"
        '0.60 ± 0.25'

    Raises:
        ValueError: If there is no value.
    """
    from scipy.stats import t

    array = np.asarray(values, dtype=np.float64)
    n = array.size
    if n == 0:
        raise ValueError("values: expected at least one, got none")
    mean = float(array.mean())
    if n == 1:
        return Mean(n, mean)
    sd = float(array.std(ddof=1))
    error = sd / n**0.5
    half = float(t.ppf(0.975, n - 1)) * error
    p = float(2 * t.sf(abs(mean) / error, n - 1)) if error > 0 else None
    return Mean(n, mean, sd, (mean - half, mean + half), p)


def paired_difference(
    one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray
) -> Mean:
    """The mean of ``one - other``, value by value: Student's paired t-test.

    Both sides of a pair answer the same sample, or have the same seed, so what makes samples easy
    or hard cancels.

    Raises:
        ValueError: If the two differ in length, or are empty.
    """
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"pairs: expected as many values, got {first.size} and {second.size}")
    return mean_interval(first - second)


def mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    r"""Means over the last axis and their standard errors :math:`s / \sqrt n`.

    A single value has no standard error: None.

    Shapes:
        values (*, n) · output (*), (*)
    """
    n = values.shape[-1]
    error = values.std(axis=-1, ddof=1) / n**0.5 if n > 1 else None
    return values.mean(axis=-1), error


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of the proportion ``right / n``.

    Example:
        >>> low, high = wilson(10, 50)
        >>> f"{low:.3f} to {high:.3f}"
        '0.112 to 0.330'

    Raises:
        ValueError: If not ``0 <= right <= n`` with ``n >= 1``.

    Source: Wilson, Probable inference, the law of succession (JASA 1927).
    """
    from scipy.stats import binomtest

    if not 0 <= right <= n or n < 1:
        raise ValueError(f"expected 0 <= right <= n and n >= 1, got right {right}, n {n}")
    found = binomtest(right, n).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def sign_flip_p(differences: Sequence[int]) -> float:
    r"""Two-sided p-value of the sign-flip test of paired whole numbers, exactly.

    If neither side is better, each difference could as well have the other sign:

    .. math:: p = 2^{-n}\,\#\{s \in \{-1, 1\}^n : |\sum_i s_i d_i| \ge |\sum_i d_i|\}

    Sums are counted rather than signs: adding one difference splits the distribution of sums in
    two.
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
