"""All network statistics of a circuit from its link probabilities, in one call."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacgraph.utils.check import check_at_least
from nacgraph.viz.statistics.blocks import block_models
from nacgraph.viz.statistics.nulls import LATTICES
from nacgraph.viz.statistics.partitions import communities
from nacgraph.viz.statistics.tails import degree_tail
from nacgraph.viz.statistics.values import Counter, Progress
from nacgraph.viz.statistics.views import binary_view, draw_graph, probability_view, sampled_view
from nacgraph.viz.statistics.weighted import check_weight

THRESHOLD = 0.5


def circuit_statistics(
    probability: np.ndarray,
    *,
    nulls: int = 20,
    samples: int = 5,
    seeds: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Network statistics of P, of the links with P > 0.5, and of graphs drawn from P.

    Every number is an object with ``value``, which is None with a ``reason`` where the statistic
    is not defined. Equal arguments give equal numbers.

    Args:
        probability: Link probabilities among processors, (U, U), symmetric; the diagonal is not
            looked at.
        nulls: Degree-preserving null graphs of every binary graph.
        samples: Graphs drawn.
        seeds: Seeds of every search for communities.
        seed: Of everything random.
        progress: Called often, with what was done and the fraction of all from 0 to 1.

    Returns:
        ``views`` {"probability", "threshold", "sampled"}, see views.py; ``communities`` of P
        (:func:`communities`); ``block_models`` of P > 0.5 (:func:`block_models`);
        ``degree_tail`` of P > 0.5, and under its ``"sampled"`` of the first graph drawn
        (:func:`degree_tail`).

    Raises:
        ValueError: If P is empty, not square, not symmetric or not within [0, 1], or a number
            is too small.
    """
    w = check_weight(probability)
    if not len(w):
        raise ValueError("probability: expected at least one module, got none")
    check_at_least(0, nulls=nulls)
    check_at_least(1, samples=samples, seeds=seeds)
    each = nulls + LATTICES + 4
    counter = Counter(progress, (samples + 1) * each + 20)

    found = communities(w, seeds=seeds, seed=seed)
    counter.step("communities of P", 5)
    views = {"probability": probability_view(w, found)}
    counter.step("statistics of P", 5)

    strong = (w > THRESHOLD).astype(np.uint8)
    views["threshold"] = binary_view(
        strong, nulls, seeds, seed, lambda what: counter.step(f"P > {THRESHOLD}: {what}")
    )
    graphs = [draw_graph(w, seed, k) for k in range(samples)]
    drawn = []
    for k, graph in enumerate(graphs):
        name = f"drawn graph {k + 1} of {samples}"
        drawn.append(
            binary_view(
                graph,
                nulls,
                seeds,
                seed + 1 + k,
                lambda what, name=name: counter.step(f"{name}: {what}"),  # type: ignore[misc]
                embedding=False,
            )
        )
    views["sampled"] = sampled_view(drawn, graphs)

    counter.step("degree tails")
    tail = degree_tail(strong.sum(1), seed=seed)
    tail["sampled"] = degree_tail(graphs[0].sum(1), seed=seed)
    counter.step("block models")
    blocks = block_models(strong, seed=seed)
    if progress is not None:
        progress("network statistics", 1.0)
    return {"views": views, "communities": found, "block_models": blocks, "degree_tail": tail}
