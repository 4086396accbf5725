"""Statistics of one undirected graph whose links are there or not.

Every function takes an ``adjacency`` (n, n): symmetric, of 0 and 1 (or booleans); its diagonal is
not looked at. A result is a :data:`Statistic`, or an array where every node has a value. Sums are
of whole numbers, so that relabelling the nodes changes no digit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nacgraph.viz.statistics.values import Statistic, defined, undefined

Binary = NDArray[np.uint8]

HUB_DEVIATIONS = 2.0


def check_adjacency(adjacency: np.ndarray) -> Binary:
    """The graph as (n, n) uint8 with zero diagonal.

    Raises:
        ValueError: If it is not square, not symmetric, or not of 0 and 1.
    """
    matrix = np.asarray(adjacency)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"adjacency: expected a square matrix, got shape {matrix.shape}")
    links = np.array(matrix != 0, dtype=np.uint8, order="C")
    np.fill_diagonal(links, 0)
    # Asked often, of graphs just made too: one comparison of all, the diagonal put aside.
    if np.count_nonzero(matrix != links) != np.count_nonzero(np.diagonal(matrix)):
        raise ValueError("adjacency: expected entries of 0 and 1, got others")
    if not (links == links.T).all():
        raise ValueError("adjacency: expected a symmetric matrix, got one that is not")
    return links


def packed(links: Binary) -> NDArray[np.uint64]:
    """Rows as bits, (n, words) uint64, for :mod:`nacgraph.ops.numba.networks`."""
    n = len(links)
    padded = np.zeros((n, 64 * -(-n // 64)), np.uint8)
    padded[:, :n] = links
    # Little-endian words whatever the machine's own order is; then the machine's.
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def degrees(adjacency: np.ndarray) -> NDArray[np.int64]:
    """Links of every node, (n,)."""
    return check_adjacency(adjacency).sum(1, dtype=np.int64)


def density(adjacency: np.ndarray) -> Statistic:
    """Links over pairs of nodes. Undefined for fewer than two nodes."""
    degree = degrees(adjacency)
    if (n := len(degree)) < 2:
        return undefined(f"a graph of {n} nodes has no pairs")
    return defined(int(degree.sum()) / (n * (n - 1)))


def degree_ccdf(degree: np.ndarray) -> list[list[float]]:
    """``[[d, P(D >= d)], ...]`` over the degrees (or strengths) that occur, rising."""
    values, counts = np.unique(np.asarray(degree), return_counts=True)
    return np.stack([values, counts[::-1].cumsum()[::-1] / max(1, len(degree))], 1).tolist()


def gini(degree: np.ndarray) -> Statistic:
    r""":math:`\sum_{ij} |d_i - d_j| / (2 n^2 \bar d)`: 0 if equal, towards 1 if few have all."""
    d = np.sort(np.asarray(degree))
    n, total = len(d), d.sum()
    if total == 0:
        return undefined("no links")
    return defined(float((2 * np.arange(1, n + 1) - n - 1) @ d) / (n * float(total)))


def hubs(degree: np.ndarray) -> Statistic:
    """Nodes whose degree exceeds mean + 2 standard deviations: list, ``count``, ``threshold``."""
    d = np.asarray(degree, dtype=float)
    if not len(d):
        return undefined("a graph of 0 nodes")
    # By a hair more, so that the rounding of equal degrees makes no hub.
    threshold = float(d.mean() + HUB_DEVIATIONS * d.std())
    found = np.flatnonzero(d > threshold * (1 + 1e-9))
    return defined(found, count=len(found), threshold=threshold)


def local_clustering(adjacency: np.ndarray) -> NDArray[np.float64]:
    """Share of the pairs of neighbours that are linked, (n,); NaN with fewer than two."""
    links = check_adjacency(adjacency)
    return _local_clustering(*_triangles(links))


def _triangles(links: Binary) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Triangles through every node, and its pairs of neighbours."""
    from nacgraph.ops.numba.networks import triangles

    degree = links.sum(1, dtype=np.int64)
    return triangles(links, packed(links)), degree * (degree - 1) // 2


def _local_clustering(corners: np.ndarray, pairs: np.ndarray) -> NDArray[np.float64]:
    local = np.full(len(pairs), np.nan)
    np.divide(corners, pairs, out=local, where=pairs > 0)
    return local


def clustering(adjacency: np.ndarray) -> Statistic:
    """Mean local clustering over the ``over`` nodes with two neighbours or more.

    Elsewhere it is not defined; networkx takes it to be 0 there, Kaiser (New J. Phys. 10, 2008)
    shows what harm that does where degrees are low.
    """
    corners, pairs = _triangles(check_adjacency(adjacency))
    return mean_clustering(_local_clustering(corners, pairs))


def mean_clustering(local: np.ndarray) -> Statistic:
    """:func:`clustering` of known local values, NaN where there is none."""
    known = np.sort(local[np.isfinite(local)])  # sorted, so that the labels do not matter
    if not len(known):
        return undefined("no node has two neighbours")
    return defined(float(known.mean()), over=len(known))


def transitivity(adjacency: np.ndarray) -> Statistic:
    """Three times the triangles over the connected triples (Newman, Watts & Strogatz 2002)."""
    corners, pairs = _triangles(check_adjacency(adjacency))
    if not pairs.sum():
        return undefined("no node has two neighbours")
    return defined(int(corners.sum()) / int(pairs.sum()))


def components(adjacency: np.ndarray) -> NDArray[np.int64]:
    """Component of every node, (n,), numbered by size, the largest 0."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    links = check_adjacency(adjacency)
    if not len(links):
        return np.zeros(0, np.int64)
    _, label = connected_components(csr_matrix(links), directed=False)
    return by_size(label)


def by_size(label: np.ndarray) -> NDArray[np.int64]:
    """The same groups, numbered 0, 1, … by falling size and, of equal ones, by first member."""
    _, first, inverse, size = np.unique(
        label, return_index=True, return_inverse=True, return_counts=True
    )
    place = np.empty(len(size), np.int64)
    place[np.lexsort((first, -size))] = np.arange(len(size))
    return place[inverse]


def largest(component: np.ndarray) -> tuple[NDArray[np.int64], int]:
    """Numbers of the components of the largest size (several if they tie), and that size."""
    size = np.bincount(component)
    return np.flatnonzero(size == size.max()), int(size.max())


class Paths(NamedTuple):
    """Statistics of shortest paths, in links; see :func:`path_lengths`."""

    path_length: Statistic
    diameter: Statistic
    global_efficiency: Statistic


def path_lengths(adjacency: np.ndarray) -> Paths:
    r"""Average path length and diameter of the largest component, and global efficiency.

    .. math:: L = \mathrm{mean}_{i \ne j} d_{ij} \qquad
        E = \frac{1}{n(n-1)} \sum_{i \ne j} 1 / d_{ij}

    L and the diameter say for what ``share`` of the nodes they hold; of components that tie for
    the largest all pairs count, so that no order of the nodes decides. E (Latora & Marchiori
    2001) is of the whole graph: pairs without a path add 0.
    """
    from nacgraph.ops.numba.networks import distances

    links = check_adjacency(adjacency)
    n = len(links)
    if n < 2:
        few = f"a graph of {n} nodes has no pairs"
        return Paths(undefined(few), undefined(few), undefined(few))
    counts = distances(packed(links))
    whole = counts.sum(0)[1:]
    steps = np.arange(1, n)
    efficiency = defined(float((whole / steps).sum()) / (n * (n - 1)))
    component = components(links)
    numbers, size = largest(component)
    if size < 2:
        return Paths(undefined("no links"), undefined("no links"), efficiency)
    inside = counts[np.isin(component, numbers)].sum(0)[1:]
    share = size / n
    return Paths(
        defined(int(inside @ steps) / int(inside.sum()), share=share),
        defined(int(np.flatnonzero(inside).max()) + 1, share=share),
        efficiency,
    )


def core_numbers(adjacency: np.ndarray) -> NDArray[np.int64]:
    """Largest k for which every node is in the k-core, (n,) (Seidman 1983)."""
    from nacgraph.ops.numba.networks import cores

    return cores(check_adjacency(adjacency))


def assortativity(adjacency: np.ndarray) -> Statistic:
    r"""Correlation of the degrees at both ends of a link.

    .. math:: r = \frac{S_1 S_e - S_2^2}{S_1 S_3 - S_2^2}, \qquad S_p = \sum_i k_i^p, \quad
        S_e = \sum_{ij} A_{ij} k_i k_j

    Undefined where all linked nodes have the same degree. Source: Newman, Networks, eq. 8.27.
    """
    links = check_adjacency(adjacency)
    k = links.sum(1, dtype=np.int64)
    first, second, third = (int((k**power).sum()) for power in (1, 2, 3))
    if first == 0:
        return undefined("no links")
    variance = first * third - second**2  # Python's integers: exact at any size
    if variance == 0:
        return undefined("all linked nodes have the same degree")
    ends = int(k @ (links.astype(np.int64) @ k))
    return defined((first * ends - second**2) / variance)
