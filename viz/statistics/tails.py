"""Is a tail of degrees a power law? After Clauset, Shalizi and Newman.

A power law is fitted where it fits best, held against its own samples, and then against other
laws on the same tail. The answer is never that it is one: at best the data cannot tell.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from nacgraph.viz.statistics.laws import (
    ALTERNATIVES,
    Law,
    Numbers,
    draw_power_law,
    power_law,
    zeta_exponents,
)
from nacgraph.viz.statistics.values import defined, undefined

ENOUGH = 50  # nodes of a tail; below, simulated tails of these laws are mostly confused
LEVEL = 0.1  # of both tests, as in the source


def degree_tail(degrees: np.ndarray, *, bootstrap: int = 200, seed: int = 0) -> dict[str, Any]:
    r"""Fits a power law to the tail of the degrees and compares it with other laws.

    The threshold xmin is the degree from which the fit's Kolmogorov–Smirnov distance is least.
    ``goodness`` is the share of ``bootstrap`` samples of the fit (below xmin: of the data) that,
    fitted anew, lie further from their fit: under 0.1 speaks against a power law; not asked of
    fewer than 50 nodes. Each law of
    ``alternatives`` is compared by Vuong's test: ``ratio`` R, the summed difference of the log
    likelihoods, positive for the power law, and ``p`` that a difference of this size is chance.

    .. math:: p = \mathrm{erfc}\big(|R| / (\sqrt{2n}\,\sigma)\big)

    Degrees end at n - 1 in a graph of n nodes while every law here goes on: in small dense
    graphs all of them may be wrong.

    Args:
        degrees: Whole numbers, (n,); those of 0 are left out.
        bootstrap: Samples, 0 for none.
        seed: Of the samples.

    Returns:
        ``alpha`` (with its standard error ``sd``), ``xmin``, ``tail`` (number of nodes), ``ks``,
        ``goodness``, ``alternatives`` {law: {"ratio", "p", "parameters"}} and ``verdict``, a
        sentence. Undefined where fewer than two different degrees above 0 occur.

    Raises:
        ValueError: If a degree is negative or no whole number.

    Source: Clauset, Shalizi & Newman, SIAM Review 51 (2009); Vuong, Econometrica 57 (1989).
    """
    given = np.asarray(degrees, dtype=float).ravel()
    if not ((given >= 0) & (given == np.round(given))).all():
        raise ValueError("degrees: expected whole numbers of at least 0, got others")
    x = np.sort(given[given > 0])
    if len(np.unique(x)) < 2:
        reason = f"{len(np.unique(x))} distinct degree(s) above 0: no tail to speak of"
        names = ("alpha", "xmin", "tail", "ks", "goodness")
        none = {name: undefined(reason) for name in names}
        return {**none, "alternatives": {}, "verdict": f"No answer: {reason}."}
    alpha, xmin, distance = _fit(x)
    tail = x[x >= xmin]
    law = power_law(tail, xmin)
    compared = {}
    for name, fit in ALTERNATIVES.items():
        other = fit(tail, xmin)
        compared[name] = _vuong(law, other) | {"parameters": defined(other.parameters)["value"]}
    if len(tail) < ENOUGH:  # a high p would only show that nothing could be ruled out
        goodness = undefined(f"a tail of fewer than {ENOUGH} nodes rules nothing out")
    else:
        goodness = _goodness(x, alpha, xmin, distance, bootstrap, seed)
    return {
        "alpha": defined(alpha, sd=_error(alpha, xmin, len(tail))),
        "xmin": defined(xmin),
        "tail": defined(len(tail), share=len(tail) / max(1, len(given))),
        "ks": defined(distance),
        "goodness": goodness,
        "alternatives": compared,
        "verdict": _verdict(len(tail), len(given), goodness["value"], compared),
    }


def _fit(x: Numbers) -> tuple[float, int, float]:
    """Exponent, threshold and distance of the best fitting tail of sorted degrees."""
    values, first, count = np.unique(x, return_index=True, return_counts=True)
    # A tail of one value has no exponent: the two largest values are the last threshold's.
    xmin, start = values[:-1], first[:-1]
    sizes = len(x) - start
    logs = np.log(x)[::-1].cumsum()[::-1][start] / sizes
    alpha = zeta_exponents(logs, xmin)
    # P(X >= v) of law (rows: thresholds) and data at every value that occurs, and one above it.
    above = (len(x) - first)[None, :] / sizes[:, None]
    after = (len(x) - first - count)[None, :] / sizes[:, None]
    norm = special.zeta(alpha, xmin)[:, None]
    law = special.zeta(alpha[:, None], values[None, :]) / norm
    law_after = special.zeta(alpha[:, None], values[None, :] + 1) / norm
    apart = np.maximum(abs(law - above), abs(law_after - after))
    apart[values[None, :] < xmin[:, None]] = 0
    distance = apart.max(1)
    best = int(distance.argmin())
    return float(alpha[best]), int(xmin[best]), float(distance[best])


def _error(alpha: float, xmin: int, count: int) -> float | None:
    """Standard error of the exponent, from the curvature of log ζ (eq. 3.6 of the source)."""
    h = min(1e-3, (alpha - 1) / 2)
    one, two, three = (math.log(special.zeta(a, xmin)) for a in (alpha - h, alpha, alpha + h))
    curvature = (one - 2 * two + three) / h**2
    return 1 / math.sqrt(count * curvature) if curvature > 0 else None


def _goodness(
    x: Numbers, alpha: float, xmin: int, distance: float, samples: int, seed: int
) -> dict[str, Any]:
    if samples < 1:
        return undefined("no bootstrap was asked for")
    rng = np.random.default_rng(seed)
    body = x[x < xmin]
    further = 0
    for _ in range(samples):
        inside = int(rng.binomial(len(x), 1 - len(body) / len(x)))
        drawn = np.concatenate(
            [
                rng.choice(body, len(x) - inside) if len(body) else body,
                draw_power_law(alpha, xmin, inside if len(body) else len(x), rng),
            ]
        )
        drawn.sort()
        # A sample of one value is fitted without any distance.
        further += len(np.unique(drawn)) > 1 and _fit(drawn)[2] >= distance
    return defined(further / samples, samples=samples)


def _vuong(law: Law, other: Law) -> dict[str, Any]:
    difference = law.log_likelihood - other.log_likelihood
    ratio, sigma = float(difference.sum()), float(difference.std())
    if sigma <= 1e-9 * max(1.0, abs(ratio)):
        return {"ratio": defined(ratio), "p": undefined("the likelihoods do not vary")}
    p = float(special.erfc(abs(ratio) / (math.sqrt(2 * len(difference)) * sigma)))
    return {"ratio": defined(ratio), "p": defined(p)}


def _verdict(
    tail: int, nodes: int, goodness: float | None, compared: dict[str, dict[str, Any]]
) -> str:
    size = f"n = {tail} of {nodes} nodes in the tail"
    better = [name for name, c in compared.items() if _decided(c) and c["ratio"]["value"] < 0]
    worse = [name for name, c in compared.items() if _decided(c) and c["ratio"]["value"] > 0]
    open_ = [name for name in compared if name not in better and name not in worse]
    if tail < ENOUGH:
        return f"Too few to tell one law from another ({size}; {ENOUGH} would be a beginning)."
    if better:
        return f"Fitted better by {_names(better)} than by a power law ({size})."
    if goodness is not None and goodness < LEVEL:
        return f"Not a power law: its own samples lie closer (p = {goodness:.2g}; {size})."
    if open_:
        return f"A power law cannot be told from {_names(open_)} ({size})."
    return (
        f"Consistent with a power law, which fits better than {_names(worse)} ({size}); "
        "other laws may fit as well."
    )


def _decided(comparison: dict[str, Any]) -> bool:
    p = comparison["p"]["value"]
    return p is not None and p < LEVEL


def _names(laws: list[str]) -> str:
    shown = [
        {"poisson": "a Poisson law", "exponential": "an exponential"}.get(n, f"a {n}") for n in laws
    ]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " or " + shown[-1]
