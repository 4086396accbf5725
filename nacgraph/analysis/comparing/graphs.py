"""Distances between the graphs of two circuits, and what they would be by chance.

A circuit's modules carry no names, so graphs are compared after matching module to module where
both have as many, and by what needs no matching: degrees, spectrum, latent positions. Whatever is
undefined is ``{"value": None, "reason": …}``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from nacgraph.analysis.comparing.latent import BOOTSTRAPS, Value, latent_positions
from nacgraph.graph.links import link_probabilities
from nacgraph.priors import match, matched_loss
from nacgraph.viz.statistics import undefined


def compare_graphs(
    p_a: np.ndarray,
    p_b: np.ndarray,
    *,
    seed: int = 0,
    kernel: tuple[int, float] | None = None,
    nulls: int = 10,
    bootstraps: int = BOOTSTRAPS,
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Distances, overlaps and tests between two circuits' link probabilities.

    Args:
        p_a: Link probabilities among the processors of A, (U, U).
        p_b: Those of B, (V, V).
        seed: Seed of matchings, relabellings, communities, samples and bootstraps.
        kernel: Signature width and bandwidth of random circuits to compare with; None has none.
        nulls: Random relabellings, and random circuits.
        bootstraps: Of the test of latent positions.
        progress: Called with (what is measured, share done).

    Returns:
        "modules", "mean_degree" (of A and of B) and the values "matched_distance" (mean squared
        difference of link probabilities in matched order; "rms" its root, "permutation" the
        module of A that stands for each module of B), "raw_distance", "random_circuits",
        "communities", "degree_distance", "spectral_distance" and "latent_positions".

    Raises:
        ValueError: If a matrix is not one of link probabilities.
    """
    tell = progress or (lambda stage, share: None)
    a, b = check_links(p_a, "p_a"), check_links(p_b, "p_b")
    tell("matching", 0.0)
    found: dict[str, Any] = {
        "modules": [len(a), len(b)],
        "mean_degree": [float(_off(p).sum() / len(p)) for p in (a, b)],
    }
    order = None
    if len(a) == len(b):
        order, distance = matching(a, b, seed)
        found["matched_distance"] = {
            "value": distance,
            "rms": distance**0.5,
            "permutation": order.tolist(),
        }
        found["raw_distance"] = _against(
            _distance(a, b), [_distance(a, _relabelled(b, seed, k)) for k in range(nulls)]
        )
    else:
        reason = f"the circuits have {len(a)} and {len(b)} modules"
        found |= {"matched_distance": undefined(reason), "raw_distance": undefined(reason)}
    found["random_circuits"] = _random_circuits(a, b, found, seed, kernel, nulls, tell)
    tell("communities", 0.0)
    found["communities"] = community_overlap(a, b, order, seed)
    found["degree_distance"] = degree_distance(a, b)
    found["spectral_distance"] = spectral_distance(a, b)
    tell("latent positions", 0.0)
    found["latent_positions"] = latent_positions(a, b, order, seed, bootstraps)
    tell("done", 1.0)
    return found


def check_links(p: np.ndarray, name: str) -> np.ndarray:
    """Link probabilities (U, U) as float64, exactly symmetric, with diagonal 1."""
    p = np.asarray(p)
    if p.ndim != 2 or p.shape[0] != p.shape[1] or len(p) == 0:
        raise ValueError(f"{name}: expected a square matrix (U, U), got shape {p.shape}")
    if not np.issubdtype(p.dtype, np.floating):
        raise ValueError(f"{name}: expected link probabilities, got numbers of type {p.dtype}")
    p = p.astype(np.float64)
    if not np.isfinite(p).all() or p.min() < 0 or p.max() > 1 + 1e-6:
        raise ValueError(f"{name}: expected probabilities in [0, 1], got {p.min()} to {p.max()}")
    if np.abs(p - p.T).max() > 1e-5:
        raise ValueError(f"{name}: expected a symmetric matrix, got one that is not")
    p = np.minimum((p + p.T) / 2, 1.0)
    np.fill_diagonal(p, 1.0)
    return p


def matching(a: np.ndarray, b: np.ndarray, seed: int = 0) -> tuple[np.ndarray, float]:
    """The order of A's modules in which it is nearest B, and the distance left.

    Matched from both sides, since a search from one may end elsewhere; the better one counts.

    Returns:
        order (U,), module ``order[k]`` of A stands for module k of B; mean squared difference.
    """
    left, right = torch.from_numpy(a), torch.from_numpy(b)
    candidates = [match(left, right, seed=seed), match(right, left, seed=seed).argsort()]
    losses = [float(matched_loss(left, right, order)) for order in candidates]
    best = int(np.argmin(losses))
    return candidates[best].numpy(), losses[best]


def community_overlap(
    a: np.ndarray, b: np.ndarray, order: np.ndarray | None, seed: int = 0
) -> dict[str, Any]:
    """Leiden communities of both, weighed by P, and how far they agree in matched order.

    "ari" and "ami" are 0 by chance and 1 for equal communities, "nmi" is not adjusted for chance.
    """
    if order is not None:  # the same order, and the same seed: equal circuits, equal communities
        a = a[order][:, order]
    labels_a, labels_b = leiden_labels(a, seed), leiden_labels(b, seed)
    counts = [int(labels.max()) + 1 for labels in (labels_a, labels_b)]
    found: dict[str, Any] = {"counts": counts}
    reason = None
    if order is None:
        reason = f"the circuits have {len(a)} and {len(b)} modules"
    elif max(counts) == 1:
        reason = "neither circuit has more than one community"
    if reason is not None or order is None:
        none = undefined(reason or "")
        return found | {"ari": none, "ami": none, "nmi": none}
    from sklearn import metrics

    pair = labels_b, labels_a
    return found | {
        "ari": {"value": float(metrics.adjusted_rand_score(*pair))},
        "ami": {"value": float(metrics.adjusted_mutual_info_score(*pair))},
        "nmi": {"value": float(metrics.normalized_mutual_info_score(*pair))},
    }


def leiden_labels(p: np.ndarray, seed: int = 0) -> np.ndarray:
    """Community of each module, (U,), numbered by its first module.

    A module without links is a community of its own.
    """
    from graspologic.partition import leiden

    rows, columns = np.nonzero(np.triu(p, k=1))
    links = [(str(i), str(j), float(p[i, j])) for i, j in zip(rows, columns, strict=True)]
    found: dict[str, int] = {}
    if links:
        found = leiden(links, random_seed=seed + 1, trials=10)  # it takes no seed of 0
    keys = [found.get(str(k), -1 - k) for k in range(len(p))]
    number = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys])


def degree_distance(a: np.ndarray, b: np.ndarray) -> Value:
    """Kolmogorov-Smirnov statistic of expected degrees, as shares of all other modules."""
    if min(len(a), len(b)) < 2:
        return undefined("a single module has no degree")
    from scipy.stats import ks_2samp

    # Rounded: P is single precision, and equal degrees must tie.
    shares = [np.round(_off(p).sum(1) / (len(p) - 1), 6) for p in (a, b)]
    result = ks_2samp(*shares, method="asymp")
    return {"value": float(result.statistic), "p": float(result.pvalue)}


def spectral_distance(a: np.ndarray, b: np.ndarray) -> Value:
    """Wasserstein distance of the spectra of the normalised Laplacians, which lie in [0, 2]."""
    if min(len(a), len(b)) < 2:
        return undefined("a single module has no spectrum")
    from scipy.stats import wasserstein_distance

    spectra = []
    for p in map(_off, (a, b)):
        degree = p.sum(1)
        scale = np.where(degree > 0, 1 / np.sqrt(np.where(degree > 0, degree, 1)), 0)
        spectra.append(np.linalg.eigvalsh(np.diag((degree > 0) * 1.0) - scale[:, None] * p * scale))
    return {"value": float(wasserstein_distance(*spectra))}


def _random_circuits(
    a: np.ndarray,
    b: np.ndarray,
    found: dict[str, Any],
    seed: int,
    kernel: tuple[int, float] | None,
    nulls: int,
    tell: Callable[[str, float], None],
) -> Value:
    """The matched distance beside that of A to circuits of random signatures."""
    distance = found["matched_distance"]["value"]
    if distance is None:
        return undefined(found["matched_distance"]["reason"])
    if kernel is None:
        return undefined("no signature kernel to make random circuits with")
    distances = []
    for k in range(nulls):
        rng = np.random.default_rng([seed, k, 3])
        signatures = torch.from_numpy(rng.normal(size=(len(b), kernel[0])))
        random = link_probabilities(signatures, signatures, kernel[1]).numpy()
        distances.append(matching(a, check_links(random, "random"), seed)[1])
        tell("random circuits", (k + 1) / nulls)
    return _against(distance, distances)


def _against(value: float, nulls: list[float]) -> Value:
    """A value, the mean and sd of its null values, and z."""
    found: Value = {"value": value}
    if not nulls:
        return found | {"null_mean": None, "z": None, "reason": "no null model was drawn"}
    mean, sd = float(np.mean(nulls)), float(np.std(nulls, ddof=1)) if len(nulls) > 1 else 0.0
    found |= {"null_mean": mean, "null_sd": sd, "z": None}
    if sd <= 1e-12 * max(1.0, abs(mean)):
        return found | {"reason": "z: the null model does not vary"}
    return found | {"z": (value - mean) / sd}


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared difference over pairs i ≠ j."""
    return float(np.square(a - b).sum() / max(1, len(a) * (len(a) - 1)))


def _relabelled(p: np.ndarray, seed: int, draw: int) -> np.ndarray:
    order = np.random.default_rng([seed, draw, 1]).permutation(len(p))
    return p[order][:, order]


def _off(p: np.ndarray) -> np.ndarray:
    """P without self-links."""
    return p - np.diag(np.diag(p))
