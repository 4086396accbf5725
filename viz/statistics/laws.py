"""Laws that a tail of degrees may follow, fitted by maximum likelihood: x whole, x >= xmin.

The power law's exponent is found for many thresholds at once (a bootstrap asks thousands of
times); the others have a closed form or one or two numbers to search.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Numbers = NDArray[np.float64]

STEEPEST = 60.0  # exponent; beyond, a tail is a drop and the sums underflow


class Law(NamedTuple):
    """A fitted law: its parameters, and log p(x | x >= xmin) of every x, (n,)."""

    parameters: dict[str, float]
    log_likelihood: Numbers


def zeta_exponents(mean_log: Numbers, xmin: Numbers) -> Numbers:
    r"""Maximum likelihood exponents of discrete power laws, each with its own xmin.

    .. math:: p(x) = x^{-\alpha} / \zeta(\alpha, x_{\min}), \qquad
        -\zeta'(\hat\alpha, x_{\min}) / \zeta(\hat\alpha, x_{\min}) = \overline{\log x}

    The left side falls in α, so it is bisected, in (1, 60] or as far as ζ can be told from 0.

    Shapes:
        mean_log, xmin (m,) · output (m,)

    Source: Clauset, Shalizi & Newman, SIAM Review 51 (2009), eq. B.7.
    """
    low = np.full(len(xmin), 1.0 + 1e-6)
    high = np.minimum(STEEPEST, 280 / np.log10(np.maximum(xmin, 2)))
    step = 1e-5
    for _ in range(32):  # to 2e-8
        middle = (low + high) / 2
        h = np.minimum(step, (middle - 1) / 2)
        slope = np.log(special.zeta(middle + h, xmin)) - np.log(special.zeta(middle - h, xmin))
        flatter = -slope / (2 * h) > mean_log  # the law's mean log is above the data's: steeper
        low, high = np.where(flatter, middle, low), np.where(flatter, high, middle)
    return (low + high) / 2


def power_law(x: Numbers, xmin: int) -> Law:
    """Discrete power law; see :func:`zeta_exponents`."""
    alpha = float(zeta_exponents(np.array([np.log(x).mean()]), np.array([float(xmin)]))[0])
    norm = math.log(special.zeta(alpha, xmin))
    return Law({"alpha": alpha}, -alpha * np.log(x) - norm)


def exponential(x: Numbers, xmin: int) -> Law:
    r"""Geometric: :math:`p(x) = (1 - e^{-\lambda}) e^{-\lambda (x - x_{\min})}`, closed form."""
    rate = math.log1p(1 / max(float(x.mean()) - xmin, 1e-12))
    return Law({"rate": rate}, math.log(-math.expm1(-rate)) - rate * (x - xmin))


def poisson(x: Numbers, xmin: int) -> Law:
    """Poisson, cut below xmin: what links drawn independently at one rate give."""

    def whole(at: Numbers | int, mean: float) -> Numbers:
        return special.xlogy(at, mean) - mean - special.gammaln(np.asarray(at) + 1.0)

    def log_likelihood(mean: float) -> Numbers:
        # P(X >= xmin) is a gamma function's; its logarithm where it is not rounded to 0.
        tail = special.gammainc(xmin, mean) if xmin > 0 else 1.0
        log_tail = math.log(tail) if tail > 1e-290 else float(whole(xmin, mean))
        return whole(x, mean) - log_tail

    top = float(x.max()) + 1.0
    found = optimize.minimize_scalar(
        lambda log_mean: -log_likelihood(math.exp(log_mean)).sum(),
        bounds=(math.log(1e-3), math.log(top)),
        method="bounded",
        options={"xatol": 1e-8},
    )
    mean = math.exp(float(found.x))
    return Law({"mean": mean}, log_likelihood(mean))


def lognormal(x: Numbers, xmin: int) -> Law:
    r"""Lognormal, each x holding what falls on :math:`x \pm 1/2`, cut below xmin.

    The power law is its limit, μ to -∞ along with σ to ∞: the cut is kept within 20 σ above μ.
    """
    upper, lower, cut = np.log(x + 0.5), np.log(x - 0.5), math.log(xmin - 0.5)

    def log_likelihood(theta: Numbers) -> Numbers:
        # theta = (how many σ the cut lies above μ, log σ): nearly independent of each other.
        sigma = math.exp(min(max(theta[1], -6.0), 6.0))
        at = min(max(theta[0], -50.0), 20.0)
        a, b = at + (lower - cut) / sigma, at + (upper - cut) / sigma
        # On the side where Φ is small, differences keep their digits.
        far, near = special.log_ndtr(-a), special.log_ndtr(-b)
        left = a < 0
        far, near = (
            np.where(left, special.log_ndtr(b), far),
            np.where(left, special.log_ndtr(a), near),
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = far + np.log(-np.expm1(np.minimum(near - far, -1e-300)))
        return np.maximum(inside, -1e6) - special.log_ndtr(-at)

    logs = np.log(x)
    wide = max(float(logs.std()), 0.05)
    starts = [((cut - float(logs.mean())) / wide, math.log(wide)), (2.0, math.log(2 * wide))]
    found = min(
        (
            optimize.minimize(
                lambda theta: -log_likelihood(theta).sum(),
                start,
                method="Nelder-Mead",
                options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000},
            )
            for start in starts
        ),
        key=lambda result: result.fun,
    )
    sigma = math.exp(min(max(float(found.x[1]), -6.0), 6.0))
    mu = cut - min(max(float(found.x[0]), -50.0), 20.0) * sigma
    return Law({"mu": mu, "sigma": sigma}, log_likelihood(found.x))


ALTERNATIVES: dict[str, Callable[[Numbers, int], Law]] = {
    "exponential": exponential,
    "lognormal": lognormal,
    "poisson": poisson,
}


def draw_power_law(
    alpha: float, xmin: int, count: int, rng: np.random.Generator, most: float = 1e12
) -> Numbers:
    """``count`` numbers of a discrete power law, by exact inversion of ζ(α, x) / ζ(α, xmin).

    Beyond ``most`` they are cut off there, which no floating point number tells apart.
    """
    wanted = rng.random(count) * special.zeta(alpha, xmin)
    low, high = np.full(count, float(xmin)), np.full(count, 2.0 * xmin)
    while (open_ := (special.zeta(alpha, high) >= wanted) & (high < most)).any():
        low = np.where(open_, high, low)
        high = np.where(open_, 2 * high, high)
    # The largest x with P(X >= x) >= u: it lies in [low, high).
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        above = special.zeta(alpha, middle) >= wanted
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return low
