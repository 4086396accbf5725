"""How circuits go with tags of their samples: how compact groups are, how well one can guess."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacgraph.analysis.populations.points import Floats, lower_triangles, principal_components

COMPONENTS = 64
NEIGHBOURS = 5
ALIKE = 1e-5  # links that differ less than this from circuit to circuit do not differ

Labels = NDArray[np.int64]


def components(links: NDArray[np.float32], count: int = COMPONENTS) -> Floats:
    """Principal components of the lower triangles of P: ``count`` of them, or all there are.

    Shapes:
        links (m, U, U) · output (m, at most ``count``)

    Raises:
        ValueError: If there are fewer than three circuits, fewer than two modules, or all circuits
            are equal.
    """
    m, n = links.shape[:2]
    if m < 3 or n < 2:
        raise ValueError(
            f"circuits: expected at least 3 different ones of at least 2 modules, got {m} of {n}"
        )
    flat = lower_triangles(links)
    if np.abs(flat - flat.mean(0, dtype=np.float64)).max() < ALIKE:
        raise ValueError(
            "circuits: expected circuits that differ, got the same for every sample: the generator "
            "ignores its condition"
        )
    return principal_components(flat, count)


def variation(links: NDArray[np.float32]) -> dict[str, float]:
    """How much circuits differ: spread of P over samples, and links that only some of them have."""
    lower = lower_triangles(links)
    there = lower > 0.5
    degrees = 2 * lower.sum(1, dtype=np.float64) / links.shape[1]
    return {
        "mean_link_sd": float(lower.std(0, dtype=np.float64).mean()),
        "links_in_all": float(there.all(0).mean()),
        "links_in_some": float((there.any(0) & ~there.all(0)).mean()),
        "mean_degree": float(degrees.mean()),
        "degree_sd": float(degrees.std()),
    }


def separation(
    points: Floats, words: Sequence[str], permutations: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """How circuits go with one tag, against the same tag in permuted order.

    ``silhouette`` (Euclidean) and ``silhouette_cosine`` say how compact groups are: 1 at best, 0
    where they overlap. ``neighbours`` and ``centroid`` are accuracies of guessing the tag of a
    circuit from the others alone: by vote of its five nearest, and by the nearest mean. Each comes
    with ``p``, the share of permutations that do as well, and ``chance``, their mean.
    ``majority`` is the accuracy of always guessing the most common word.

    Args:
        points: Circuits, as :func:`components` gives them.
        words: The tag of each.
        permutations: Number of permutations of the tag.
        seed: Seed of the permutations.

    Returns:
        The measures; ``value`` is null with a ``reason`` where the tag does not make groups.

    Shapes:
        points (m, d) · words (m,)

    Source: Rousseeuw, Silhouettes (1987).
    """
    if len(words) != len(points):
        raise ValueError(f"words: expected {len(points)}, got {len(words)}")
    if permutations < 1:
        raise ValueError(f"permutations: expected at least 1, got {permutations}")
    names, labels = np.unique(list(words), return_inverse=True)
    labels, m = labels.astype(np.int64), len(points)
    if len(names) < 2 or 2 * len(names) > m:
        why = "all samples have the same" if len(names) < 2 else "there are few samples of each"
        reason = f"{why}: {len(names)} values among {m} circuits"
        return {"groups": len(names), "value": None, "reason": reason}
    counts = np.bincount(labels)
    euclid, cosine = _distances(points), _distances(_directions(points))
    near = _nearest(euclid)

    def measured(given: Labels) -> Floats:
        member = np.eye(len(names))[given]
        return np.array(
            [
                _silhouette(euclid, given, member),
                _silhouette(cosine, given, member),
                _by_neighbours(near, given, member),
                _by_centroid(points, given, member),
            ]
        )

    true = measured(labels)
    rng = np.random.default_rng(seed)
    permuted = np.array([measured(rng.permutation(labels)) for _ in range(permutations)])
    # Sums are rounded, so an equally good permutation may fall short by that much.
    p = (1 + (permuted >= true - 1e-12).sum(0)) / (1 + permutations)
    chance = permuted.mean(0)
    kinds = ("silhouette", "silhouette_cosine", "neighbours", "centroid")
    return {
        "groups": len(names),
        "counts": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "majority": float(counts.max() / m),
        **{
            kind: {"value": float(true[k]), "p": float(p[k]), "chance": float(chance[k])}
            for k, kind in enumerate(kinds)
        },
    }


def _directions(points: Floats) -> Floats:
    """Deviations from the mean circuit, at length one."""
    centred = points - points.mean(0)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)


def _distances(points: Floats) -> Floats:
    squares = (points**2).sum(1)
    apart = squares[:, None] + squares[None] - 2 * points @ points.T
    np.fill_diagonal(apart, 0.0)
    return np.sqrt(apart.clip(0))


def _silhouette(distance: Floats, labels: Labels, member: Floats) -> float:
    """Mean of (b - a) / max(a, b), a the mean distance to the own group and b to the nearest other;
    0 for a circuit that is alone."""
    rows, counts = np.arange(len(labels)), member.sum(0)
    sums = distance @ member
    own = counts[labels]
    inside = sums[rows, labels] / np.maximum(own - 1, 1)
    means = sums / counts
    means[rows, labels] = np.inf
    outside = means.min(1)
    larger = np.maximum(inside, outside)
    worth = np.divide(outside - inside, larger, out=np.zeros(len(labels)), where=larger > 0)
    return float(np.where(own > 1, worth, 0.0).mean())


def _nearest(distance: Floats) -> Labels:
    """The nearest others of each circuit, nearest first."""
    apart = distance.copy()
    np.fill_diagonal(apart, np.inf)
    return np.argsort(apart, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(apart) - 1)]


def _by_neighbours(near: Labels, labels: Labels, member: Floats) -> float:
    # A tie goes to the group of the nearest among them; no two sums of halvings are equal.
    weights = 1 + 1e-3 * 0.5 ** np.arange(near.shape[1])
    votes = np.einsum("mkc,k->mc", member[near], weights)
    return float((votes.argmax(1) == labels).mean())


def _by_centroid(points: Floats, labels: Labels, member: Floats) -> float:
    """Accuracy of the nearest group mean; a circuit is left out of its own group's mean."""
    rows, counts = np.arange(len(labels)), member.sum(0)
    means = (member.T @ points) / counts[:, None]
    apart = (points**2).sum(1)[:, None] + (means**2).sum(1) - 2 * points @ means.T
    own = counts[labels]
    # x - (S - x)/(n - 1) = (x - S/n) · n/(n - 1)
    factor = np.divide(own, own - 1, out=np.full(len(labels), np.inf), where=own > 1)
    with np.errstate(invalid="ignore"):
        apart[rows, labels] = np.where(own > 1, apart[rows, labels].clip(0) * factor**2, np.inf)
    return float((apart.argmin(1) == labels).mean())
