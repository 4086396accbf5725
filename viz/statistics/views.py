"""Three views of a circuit's links: P itself, the links with P > 0.5, and graphs drawn from P."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nacgraph.viz.statistics.binary import (
    Binary,
    check_adjacency,
    components,
    core_numbers,
    degree_ccdf,
    gini,
    hubs,
    largest,
    local_clustering,
    path_lengths,
)
from nacgraph.viz.statistics.nulls import null_graphs, small_world
from nacgraph.viz.statistics.partitions import Leiden, communities
from nacgraph.viz.statistics.values import (
    Statistic,
    against_nulls,
    defined,
    over_draws,
    undefined,
)
from nacgraph.viz.statistics.weighted import (
    Weight,
    algebraic_connectivity,
    check_weight,
    local_values,
    modularity,
    spectral_embedding,
    spectral_gap,
    weighted_assortativity,
    weighted_clustering,
    weighted_local_clustering,
    weighted_path_lengths,
)

View = dict[str, Statistic]
Step = Callable[[str], None] | None

WEIGHTED = "P is weighted: see the views threshold and sampled"


def probability_view(probability: np.ndarray, found: Statistic) -> View:
    r"""Statistics of P, its diagonal left out; degrees are expected ones, :math:`\sum_j P_{ij}`.

    ``isolated`` is the expected number of modules without a link in a drawn graph,
    :math:`\sum_i \prod_j (1 - P_{ij})`; components are those of pairs with P > 0.

    Args:
        probability: P, (n, n).
        found: What :func:`communities` found in P.
    """
    w = check_weight(probability)
    paths = weighted_path_lengths(w)
    mean_local, ratio = weighted_clustering(w)
    local = local_values(*weighted_local_clustering(w))
    no_null = undefined("degree-preserving nulls need links that are there or not; " + WEIGHTED)
    cores = undefined("cores need links that are there or not; " + WEIGHTED)
    return {
        **_degrees(w.sum(1)),
        "isolated": defined(float(np.prod(1 - w, axis=1).sum())),
        **_components(w > 0),
        "local_clustering": defined(_with_gaps(local)),
        "clustering": mean_local,
        "transitivity": ratio,
        "path_length": paths.path_length,
        "diameter": paths.diameter,
        "global_efficiency": undefined(
            "1 / length is infinite for a link of probability 1: see reliability"
        ),
        "reliability": paths.reliability,
        "modularity": found["modularity"],
        "communities": found["count"],
        "assortativity": weighted_assortativity(w),
        "cores": cores,
        "core_max": cores,
        **_spectra(w),
        "spectral_embedding": spectral_embedding(w),
        "sigma": no_null,
        "sigma_efficiency": no_null,
        "omega": no_null,
    }


def binary_view(
    adjacency: np.ndarray,
    nulls: int,
    seeds: int,
    seed: int,
    step: Step = None,
    embedding: bool = True,
) -> View:
    """Statistics of one graph; those that mean something beside null graphs have them beside.

    ``modularity`` is the best over seeds; its ``z`` compares the mean over seeds with nulls that
    get one seed each, for the best of several would be compared unfairly.
    """
    links = check_adjacency(adjacency)
    degree = links.sum(1, dtype=np.int64)
    cores = core_numbers(links)
    found = communities(links, seeds=seeds, seed=seed)
    drawn = null_graphs(links, nulls, seed, step)
    best = found["modularity"]
    if best["value"] is not None:
        alone = [_one_modularity(null, seed + k) for k, null in enumerate(drawn)]
        best = against_nulls(best, alone, compared="mean")
    beside = small_world(links, drawn, seed, step)
    view = {
        **_degrees(degree),
        "isolated": defined(int((degree == 0).sum())),
        **_components(links),
        "local_clustering": defined(_with_gaps(local_clustering(links))),
        **{name: beside[name] for name in ("clustering", "transitivity", "path_length")},
        "diameter": path_lengths(links).diameter,
        "global_efficiency": beside["global_efficiency"],
        "modularity": best,
        "communities": found["count"],
        "assortativity": beside["assortativity"],
        "cores": defined(cores),
        "core_max": defined(int(cores.max())),
        **_spectra(links),
        "sigma": beside["sigma"],
        "sigma_efficiency": beside["sigma_efficiency"],
        "omega": beside["omega"],
    }
    if embedding:
        view["spectral_embedding"] = spectral_embedding(links)
    return view


def sampled_view(views: list[View], graphs: list[Binary]) -> View:
    """Means over the views of drawn graphs, each with its ``sd`` over draws.

    ``ccdf`` is of the degrees of all draws together; ``hubs`` counts them, and its ``share`` (n,)
    says in which part of the draws a module was one.
    """
    pooled = np.concatenate([graph.sum(1, dtype=np.int64) for graph in graphs])
    result = {}
    for name in views[0]:
        draws = [view[name] for view in views]
        if name == "ccdf":
            result[name] = defined(degree_ccdf(pooled))
        elif name == "hubs":
            share = np.zeros(len(graphs[0]))
            for draw in draws:
                share[draw["value"]] += 1 / len(draws)
            counts = [defined(draw["count"], threshold=draw["threshold"]) for draw in draws]
            result[name] = over_draws(counts) | {"share": share.tolist()}
        else:
            result[name] = over_draws(draws)
    result["spectral_embedding"] = undefined("every draw has its own: see the view probability")
    return result


def draw_graph(probability: Weight, seed: int, k: int) -> Binary:
    """Graph k: every link on its own with its probability, (n, n) uint8."""
    random = np.random.default_rng([seed, k]).random(probability.shape)
    upper = np.triu(random < probability, 1).astype(np.uint8)
    return upper + upper.T


def _one_modularity(links: Binary, seed: int) -> Statistic:
    return modularity(links, Leiden(links).labels(seed))


def _with_gaps(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _degrees(degree: np.ndarray) -> View:
    n, total = len(degree), degree.sum().item()
    few = undefined(f"a graph of {n} nodes has no pairs")
    return {
        "nodes": defined(n),
        "links": defined(total / 2 if isinstance(total, float) else total // 2),
        "density": few if n < 2 else defined(total / (n * (n - 1))),
        "mean_degree": defined(total / n),
        "degree_sd": defined(float(degree.std())),
        "degree_max": defined(degree.max()),
        "degree_gini": gini(degree),
        "degrees": defined(degree),
        "ccdf": defined(degree_ccdf(degree)),
        "hubs": hubs(degree),
    }


def _components(links: np.ndarray) -> View:
    component = components(links)
    size = largest(component)[1]
    return {
        "components": defined(int(component.max()) + 1),
        "largest_component": defined(size, share=size / len(component)),
    }


def _spectra(weight: np.ndarray) -> View:
    return {
        "spectral_gap": spectral_gap(weight),
        "algebraic_connectivity": algebraic_connectivity(weight),
    }
