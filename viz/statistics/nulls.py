"""Null graphs with the degrees of a given one: at random, and as a lattice; small-worldness.

networkx's ``sigma`` and ``omega`` rewire in Python (its issue 3380: minutes a graph), stop after
a number of swaps *made*, which favours some graphs over others, and omega hides a lattice that
failed. Here tries count, whether or not they change anything, and failures are reported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from nacgraph.viz.statistics.binary import (
    Binary,
    assortativity,
    check_adjacency,
    clustering,
    path_lengths,
    transitivity,
)
from nacgraph.viz.statistics.values import Statistic, against_nulls, defined, undefined

SWAPS = 20  # per link, as if all were made
LATTICE_TRIES = 6  # per link, by when clustering is within 2 % of a ring lattice's
LEAST_TRIES = 100_000
LATTICES = 3
COMPARABLE = 0.9  # of the nulls' largest component, that of the graph must hold

Step = Callable[[str], None] | None


def degree_preserving_null(adjacency: np.ndarray, seed: int, swaps: float = SWAPS) -> Binary:
    r"""A graph drawn at random among the simple ones in which every node has its degree.

    Ends of two links at random are exchanged, a number of tries that is fixed beforehand:
    ``swaps`` a link over the share :math:`(1 - \mathrm{density})^2` of tries that can succeed.
    A graph denser than 1/2 has the links of its complement swapped: the same thing, sooner.

    Args:
        adjacency: (n, n) of 0 and 1.
        seed: Equal seeds, equal graphs.
        swaps: Exchanges per link, about; at least 10 forget where they began (Milo et al. 2003).

    Shapes:
        output (n, n) uint8

    Source: Taylor (1981): the swaps reach every such graph; Fosdick et al., SIAM Review 60 (2018).
    """
    from nacgraph.ops.numba.networks import swap

    links = check_adjacency(adjacency)
    n = len(links)
    full = n * (n - 1) // 2
    flip = 2 * int(links.sum()) > n * (n - 1)
    work = _complement(links) if flip else links
    ends = np.argwhere(np.triu(work, 1))
    if len(ends) > 1:
        tries = math.ceil(swaps * len(ends) / (1 - len(ends) / full) ** 2) if full else 0
        swap(work, ends, tries, np.uint64(_key(seed)))
    return _complement(work) if flip else work


def _complement(links: Binary) -> Binary:
    other: Binary = np.logical_not(links).astype(np.uint8)
    np.fill_diagonal(other, 0)
    return other


def _key(seed: int) -> int:
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])


def lattice_null(adjacency: np.ndarray, seed: int) -> Binary:
    """A graph with the same degrees whose links are drawn towards neighbours on a ring.

    The nodes take places on a ring at random, then ends of links are exchanged where that does
    not lengthen the two together.

    Shapes:
        output (n, n) uint8, in the order of ``adjacency``

    Source: Sporns & Zwi, Neuroinformatics 2 (2004).
    """
    from nacgraph.ops.numba.networks import latticise

    links = check_adjacency(adjacency)
    place = np.random.default_rng(seed).permutation(len(links))
    work = np.ascontiguousarray(links[place][:, place])
    tries = max(LEAST_TRIES, LATTICE_TRIES * int(links.sum()) // 2)
    if links.any():
        latticise(work, tries, np.uint64(_key(seed)))
    back = place.argsort()
    return work[back][:, back]


def measured(links: Binary) -> dict[str, Statistic]:
    """The statistics that are compared with null graphs."""
    paths = path_lengths(links)
    return {
        "clustering": clustering(links),
        "transitivity": transitivity(links),
        "path_length": paths.path_length,
        "global_efficiency": paths.global_efficiency,
        "assortativity": assortativity(links),
    }


def null_graphs(
    adjacency: np.ndarray, nulls: int = 20, seed: int = 0, step: Step = None
) -> list[Binary]:
    """``nulls`` graphs of :func:`degree_preserving_null`; ``step`` is called after each."""
    graphs = []
    for k in range(nulls):
        graphs.append(degree_preserving_null(adjacency, _seed(seed, k)))
        if step is not None:
            step(f"null graph {k + 1} of {nulls}")
    return graphs


def small_world(
    adjacency: np.ndarray, nulls: Sequence[np.ndarray], seed: int = 0, step: Step = None
) -> dict[str, Statistic]:
    r"""The graph against degree-preserving nulls, and two numbers for small worlds.

    .. math:: \sigma = \frac{C / C_0}{L / L_0} \qquad \omega = \frac{L_0}{L} - \frac{C}{C_\ell}

    C is the mean local clustering, L the path length of the largest component, 0 marks the mean
    over nulls and ℓ the most clustered of three lattices with the same degrees. ω is within
    [-1, 1] only if the lattice is indeed more clustered than the graph, and says so if not
    (networkx's issue 5064). Swaps join what was apart, so in a graph of several components L and
    L_0 are of unlike parts: then both are undefined, and ``sigma_efficiency``,
    :math:`(C / C_0)(E / E_0)` with the global efficiency E, is given instead.

    Args:
        adjacency: (n, n) of 0 and 1.
        nulls: Graphs of :func:`null_graphs`.
        seed: Seed of the lattices.
        step: Called after each lattice.

    Returns:
        ``clustering``, ``transitivity``, ``path_length``, ``global_efficiency``,
        ``assortativity``, each beside its nulls, ``sigma``, ``sigma_efficiency``, ``omega``.

    Source: Humphries & Gurney, PLoS ONE 3 (2008); Telesford et al., Brain Connect. 1 (2011).
    """
    links = check_adjacency(adjacency)
    found = [measured(check_adjacency(null)) for null in nulls]
    result = {
        name: against_nulls(value, [null[name] for null in found])
        for name, value in measured(links).items()
    }
    shares = [null["path_length"]["share"] for null in found if "share" in null["path_length"]]
    if shares:
        result["path_length"]["null_share"] = float(np.mean(shares))
    return result | _small_world(links, result, seed, step)


def _seed(seed: int, k: int) -> int:
    return int(np.random.SeedSequence([seed, k]).generate_state(1, np.uint64)[0])


def _small_world(
    links: Binary, known: dict[str, Statistic], seed: int, step: Step
) -> dict[str, Statistic]:
    close, far, efficient = (
        known[name] for name in ("clustering", "path_length", "global_efficiency")
    )
    for part in (close, far):
        if part["value"] is None or part.get("null_mean") is None:
            none = undefined(part["reason"])
            return {"sigma": none, "sigma_efficiency": none, "omega": none}
    shorter = far["null_mean"] / far["value"]
    better = efficient["value"] / efficient["null_mean"]
    if close["null_mean"] == 0:
        sigma = by_efficiency = undefined("the null graphs have no triangles")
    else:
        ratio = close["value"] / close["null_mean"]
        sigma = defined(ratio * shorter, clustering_ratio=ratio, path_ratio=1 / shorter)
        by_efficiency = defined(ratio * better, clustering_ratio=ratio, efficiency_ratio=better)
    omega = _omega(links, close["value"], shorter, seed, step)
    if far["share"] < COMPARABLE * far["null_share"]:
        apart = undefined(
            f"the largest component holds {far['share']:.0%} of the nodes, that of a null graph "
            f"{far['null_share']:.0%}: their path lengths do not compare (see sigma_efficiency)"
        )
        sigma = omega = apart
    return {"sigma": sigma, "sigma_efficiency": by_efficiency, "omega": omega}


def _omega(links: Binary, close: float, shorter: float, seed: int, step: Step) -> Statistic:
    lattices = []
    for k in range(LATTICES):
        lattices.append(clustering(lattice_null(links, _seed(seed, k)))["value"])
        if step is not None:
            step(f"lattice {k + 1} of {LATTICES}")
    best = max(lattices)
    if best == 0:
        return undefined("the lattices have no triangles")
    omega = defined(shorter - close / best, lattice_clustering=best)
    if close > best:
        omega["remark"] = "more clustered than the lattice found: omega may fall below -1"
    return omega
