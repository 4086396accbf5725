"""Groups of nodes: Leiden from several seeds, and how far the seeds agree."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from nacgraph.utils.check import check_at_least
from nacgraph.viz.statistics.binary import by_size
from nacgraph.viz.statistics.values import Statistic, defined, spread, undefined
from nacgraph.viz.statistics.weighted import Weight, check_weight, modularity

Labels = NDArray[np.int64]


class Leiden:
    """Leiden by modularity on one graph, from as many seeds as are given.

    graspologic's ``leiden`` hands a list of links to its compiled part, graspologic-native.
    Doing that ourselves makes the list once for all seeds (at 1024 modules 0.1 s of 1.9 s), and
    spares the import of graspologic.

    Args:
        weight: (n, n), symmetric, 0 to 1; nodes without links are groups of their own.

    Source: Traag, Waltman & van Eck, Sci. Rep. 9 (2019).
    """

    def __init__(self, weight: np.ndarray) -> None:
        self.weight: Weight = check_weight(weight)
        row, column = np.nonzero(np.triu(self.weight, 1))
        names = np.array([str(node) for node in range(len(self.weight))], dtype=object)
        values = self.weight[row, column].tolist()
        self._links = list(zip(names[row].tolist(), names[column].tolist(), values, strict=True))

    def labels(self, seed: int) -> Labels:
        """Group of every node, (n,), numbered from the largest."""
        from graspologic_native import leiden  # type: ignore[import-untyped]

        group = np.arange(len(self.weight))
        if self._links:
            _, found = leiden(
                edges=self._links,
                starting_communities=None,
                resolution=1.0,
                randomness=0.001,
                iterations=1,
                use_modularity=True,
                seed=seed + 1,
                trials=1,
            )
            nodes = np.fromiter((int(node) for node in found), np.int64, len(found))
            # Beyond the numbers of nodes left alone, which keep their own.
            group[nodes] = len(group) + np.fromiter(found.values(), np.int64, len(found))
        return by_size(group)


def communities(weight: np.ndarray, *, seeds: int = 10, seed: int = 0) -> Statistic:
    """The most modular of ``seeds`` groupings by Leiden, and how much it varies between seeds.

    Returns:
        ``labels`` (n,), the largest group 0; ``count`` of groups; ``modularity`` with the best
        ``value``, and ``mean``, ``sd``, ``seeds`` over seeds; ``agreement``, the mean adjusted
        Rand index of two seeds' groupings. Without links all of them are undefined.

    Raises:
        ValueError: If the matrix or ``seeds`` is out of range.
    """
    check_at_least(1, seeds=seeds)
    graph = Leiden(weight)
    if not graph.weight.any():
        none = undefined("no links")
        return {
            "labels": None,
            "count": none,
            "modularity": none,
            "agreement": none,
            "reason": none["reason"],
        }
    found = [graph.labels(_seed(seed, k)) for k in range(seeds)]
    scores = [modularity(graph.weight, labels)["value"] for labels in found]
    # Of equal scores the first, and no digit of rounding decides.
    best = int(np.argmax(np.round(scores, 12)))
    pairs = [adjusted_rand(one, other)["value"] for one, other in combinations(found, 2)]
    known = [value for value in pairs if value is not None]
    return {
        "labels": found[best].tolist(),
        "count": defined(int(found[best].max()) + 1),
        "modularity": defined(
            scores[best], mean=float(np.mean(scores)), sd=spread(scores), seeds=seeds
        ),
        "agreement": defined(float(np.mean(known)), sd=spread(known), pairs=len(known))
        if known
        else undefined("one seed alone has nothing to agree with"),
    }


def _seed(seed: int, k: int) -> int:
    return int(np.random.SeedSequence([seed, k]).generate_state(1)[0])


def adjusted_rand(one: np.ndarray, other: np.ndarray) -> Statistic:
    """Adjusted Rand index of two groupings: 1 if they are the same, 0 on average by chance.

    Raises:
        ValueError: If they are not of the same nodes.

    Source: Hubert & Arabie, J. Classif. 2 (1985).
    """
    a, b = np.unique(one, return_inverse=True)[1], np.unique(other, return_inverse=True)[1]
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"other: expected as many labels as in one, {a.shape}, got {b.shape}")
    if len(a) < 2:
        return undefined(f"{len(a)} nodes make no pairs")
    table = np.zeros((a.max() + 1, b.max() + 1), np.int64)
    np.add.at(table, (a, b), 1)

    def pairs(count: np.ndarray) -> int:
        return int((count * (count - 1) // 2).sum())

    both, first, second = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    whole = len(a) * (len(a) - 1) // 2
    chance = first * second / whole
    if first == second == both:
        return defined(1.0)  # also where all are together, or all apart, in both
    return defined((both - chance) / ((first + second) / 2 - chance))
