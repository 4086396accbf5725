"""Statistics of a graph whose links have probabilities: P itself, not a graph drawn from it.

Every function takes a ``weight`` (n, n): symmetric, in [0, 1]; its diagonal is not looked at.
Modularity and the spectra take a binary adjacency too, which is a weight of 0 and 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nacgraph.viz.statistics.binary import components, largest, mean_clustering
from nacgraph.viz.statistics.values import NO_SPREAD, Statistic, defined, undefined

Weight = NDArray[np.float64]

ROUNDING = 1e-6  # by which probabilities in single precision may miss 1, or each other


def check_weight(weight: np.ndarray, name: str = "probability") -> Weight:
    """The weights as (n, n) float64 with zero diagonal.

    Raises:
        ValueError: If they are not square, not symmetric, or not within [0, 1].
    """
    matrix = np.array(weight, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name}: expected a square matrix, got shape {matrix.shape}")
    np.fill_diagonal(matrix, 0.0)
    # Written so that NaN fails too.
    if not (matrix.min(initial=0) >= 0 and matrix.max(initial=0) <= 1 + ROUNDING):
        raise ValueError(f"{name}: expected numbers in [0, 1], got others")
    if not abs(matrix - matrix.T).max(initial=0) <= ROUNDING:
        raise ValueError(f"{name}: expected a symmetric matrix, got one that is not")
    return ((matrix + matrix.T) / 2).clip(0.0, 1.0)


def weighted_local_clustering(weight: np.ndarray) -> tuple[Weight, Weight]:
    r"""Clustering of every node after Zhang and Horvath, as numerator and denominator, (n,) each.

    .. math:: C_i = \frac{\sum_{jk} w_{ij} w_{jk} w_{ki}}{(\sum_j w_{ij})^2 - \sum_j w_{ij}^2}

    With independent links of probability w they are twice the expected triangles at i and twice
    the expected pairs of its neighbours; with weights 0 and 1, C is the usual local clustering.

    Source: Zhang & Horvath, Stat. Appl. Genet. Mol. Biol. 4 (2005).
    """
    w = check_weight(weight)
    return ((w @ w) * w).sum(1), w.sum(1) ** 2 - (w**2).sum(1)


def weighted_clustering(weight: np.ndarray) -> tuple[Statistic, Statistic]:
    """Mean of :func:`weighted_local_clustering`, and their ratio of sums (transitivity)."""
    above, below = weighted_local_clustering(weight)
    if not (below > 0).any():
        reason = "no node has two neighbours"
        return undefined(reason), undefined(reason)
    return (
        mean_clustering(local_values(above, below)) | {"definition": "Zhang–Horvath"},
        defined(float(above.sum() / below.sum()), definition="Zhang–Horvath"),
    )


def local_values(above: Weight, below: Weight) -> Weight:
    """Ratios, NaN where the denominator is 0."""
    return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)


class WeightedPaths(NamedTuple):
    """Statistics of most probable paths; see :func:`weighted_path_lengths`."""

    path_length: Statistic
    diameter: Statistic
    reliability: Statistic


def weighted_path_lengths(weight: np.ndarray) -> WeightedPaths:
    r"""Lengths :math:`d_{ij} = \min \sum -\log w` of the most probable paths, in nats.

    Average and largest over the largest component of pairs with w > 0, and the reliability
    :math:`\mathrm{mean}_{i \ne j} e^{-d_{ij}}` over all pairs: the mean probability that the best
    path is there. It stands for the efficiency, which a link of probability 1 makes infinite.
    """
    from nacgraph.ops.numba.networks import shorten

    w = check_weight(weight)
    n = len(w)
    if n < 2:
        few = f"a graph of {n} nodes has no pairs"
        return WeightedPaths(undefined(few), undefined(few), undefined(few))
    with np.errstate(divide="ignore"):
        length = -np.log(w)
    np.fill_diagonal(length, 0.0)
    shorten(length)
    apart = ~np.eye(n, dtype=bool)
    reliability = defined(float(np.exp(-length[apart]).mean()))
    component = components(w > 0)
    numbers, size = largest(component)
    if size < 2:
        return WeightedPaths(undefined("no links"), undefined("no links"), reliability)
    inside = np.isin(component, numbers)
    known = length[inside[:, None] & inside[None, :] & apart]
    known = known[np.isfinite(known)]  # several components of the largest size are apart
    more = {"share": size / n, "unit": "-log P of the most probable path"}
    return WeightedPaths(
        defined(float(known.mean()), **more), defined(float(known.max()), **more), reliability
    )


def weighted_assortativity(weight: np.ndarray) -> Statistic:
    """Correlation of the strengths at both ends of a link, each link counted by its weight."""
    w = check_weight(weight)
    strength = w.sum(1)
    total = strength.sum()
    if total == 0:
        return undefined("no links")
    mean = strength @ strength / total
    apart = strength - mean
    variance = strength @ apart**2 / total
    if variance <= (NO_SPREAD * mean) ** 2:
        return undefined("all linked nodes have the same strength")
    return defined(float(apart @ w @ apart / total / variance))


def modularity(weight: np.ndarray, labels: np.ndarray) -> Statistic:
    r"""Newman's modularity of a grouping.

    .. math:: Q = \sum_c \frac{W_{cc}}{2W} - \Big(\frac{\sum_{i \in c} s_i}{2W}\Big)^2

    Raises:
        ValueError: If there is not one label a node.
    """
    w = check_weight(weight)
    label = np.asarray(labels)
    if label.shape != (len(w),):
        raise ValueError(f"labels: expected shape ({len(w)},), got {label.shape}")
    total = w.sum()
    if total == 0:
        return undefined("no links")
    member = (label[:, None] == np.unique(label)[None, :]).astype(float)
    inside = ((w @ member) * member).sum(0) / total
    share = w.sum(1) @ member / total
    return defined(float((inside - share**2).sum()))


def spectral_gap(weight: np.ndarray) -> Statistic:
    r"""λ₂ of the normalised Laplacian :math:`I - D^{-1/2} W D^{-1/2}` of the largest component.

    How fast a walk forgets where it began: n / (n - 1) for a complete graph, near 0 with a
    bottleneck. Of components that tie for the largest the least value is taken.
    """
    w = check_weight(weight)
    if not w.any():
        return undefined("no links")
    component = components(w > 0)
    numbers, size = largest(component)
    gaps = []
    for number in numbers:
        chosen = component == number
        part = w[chosen][:, chosen]
        scale = part.sum(1) ** -0.5
        gaps.append(_second(np.eye(size) - scale[:, None] * part * scale[None, :]))
    return defined(min(gaps), share=size / len(w))


def algebraic_connectivity(weight: np.ndarray) -> Statistic:
    """λ₂ of the Laplacian D - W of the whole graph: 0 exactly if it is not connected (Fiedler)."""
    w = check_weight(weight)
    if len(w) < 2:
        return undefined(f"a graph of {len(w)} nodes has one eigenvalue at most")
    if components(w > 0).any():
        return defined(0.0)
    return defined(_second(np.diag(w.sum(1)) - w))


def _second(laplacian: Weight) -> float:
    from scipy.linalg import eigh

    return max(0.0, float(eigh(laplacian, eigvals_only=True, subset_by_index=[1, 1])[0]))


def spectral_embedding(weight: np.ndarray, dimensions: int = 3) -> Statistic:
    r"""Adjacency spectral embedding :math:`U |\Lambda|^{1/2}`: (n, dimensions) places of nodes.

    Of the eigenvalues with the largest modulus; the diagonal holds :math:`s_i / (n - 1)`, as in
    graspologic, for a zero there would be no link's probability. Each axis points where its
    largest entry does; ``eigenvalues`` shows which are equal and so in arbitrary order.

    Source: Sussman et al., J. Am. Stat. Assoc. 107 (2012).
    """
    from scipy.linalg import eigh

    w = check_weight(weight)
    n = len(w)
    if not w.any():
        return undefined("no links")
    values, vectors = eigh(w + np.diag(w.sum(1) / (n - 1)))
    chosen = np.argsort(-abs(values), kind="stable")[: min(dimensions, n)]
    places = vectors[:, chosen] * abs(values[chosen]) ** 0.5
    places *= np.where(places[abs(places).argmax(0), np.arange(len(chosen))] < 0, -1.0, 1.0)
    return defined(places.round(6), eigenvalues=values[chosen])
