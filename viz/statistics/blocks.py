"""Stochastic block models of a binary graph, plain and degree-corrected.

Groups are found as graspologic's SBMEstimator and DCSBMEstimator find them (spectral embedding,
mixture of Gaussians). The rest is closed form and done here, for graspologic 3.4 divides by zero
where a block is one node, its ``bic`` raises AttributeError, and its score of a DCSBM is NaN as
soon as one θ_i θ_j B is above 1. Where it works the matrices are equal (tests).
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from nacgraph.viz.statistics.binary import Binary, by_size, check_adjacency
from nacgraph.viz.statistics.partitions import Labels, Leiden
from nacgraph.viz.statistics.values import defined, undefined

MOST_BLOCKS = 16
MODELS = ("sbm", "dcsbm")


def block_models(
    adjacency: np.ndarray, labels: np.ndarray | None = None, seed: int = 0
) -> dict[str, Any]:
    r"""Both models of one graph, each with the groups that describe the graph shortest.

    .. math:: \text{SBM: } A_{ij} \sim \mathrm{Bernoulli}(B_{rs}) \qquad
        \text{DCSBM: } A_{ij} \sim \mathrm{Poisson}(\theta_i \theta_j \omega_{rs})

    with r, s the blocks of i, j, and θ summing to 1 in each block (Karrer & Newman 2011): for
    both the likelihood is largest in closed form. Candidates are the spectral groups, Leiden's
    and one block for all; the least description length, :math:`-\log L + \frac{k}{2} \log N + n
    \log K` with N pairs and k parameters, decides. Its last term is the cost of the labels:
    without it every random graph would get groups.

    Args:
        adjacency: (n, n) of 0 and 1.
        labels: Groups to take as they are, (n,).
        seed: Seed of the groups found.

    Returns:
        ``sbm`` and ``dcsbm``, each with ``labels`` (n,) from 0, ``blocks``, ``sizes``,
        ``block_p`` (K, K) the share of pairs linked (null where a block of one node has no
        pairs), ``log_likelihood``, ``parameters``, ``bic``, ``description_length``, ``poisson``
        (the same three under Poisson, to compare the two by) and ``found_by``; ``dcsbm`` also
        ``theta`` (n,) and ``omega`` (K, K), expected links, twice those inside. ``better`` names
        the model with the lower Poisson BIC. Undefined without links or below three nodes.
    """
    links = check_adjacency(adjacency)
    n = len(links)
    reason = "no links" if n >= 3 else f"{n} nodes are too few for blocks"
    if n < 3 or not links.any():
        none = undefined(reason)
        return {"sbm": none, "dcsbm": none, "better": none}
    fits = {}
    for model in MODELS:
        candidates = (
            {"labels given": _contiguous(labels, n)}
            if labels is not None
            else _candidates(links, model, seed)
        )
        tried = [_fit(links, group, model) | {"found_by": by} for by, group in candidates.items()]
        fits[model] = min(tried, key=lambda fit: fit["description_length"]["value"])
    bic = {model: fit["poisson"]["bic"] for model, fit in fits.items()}
    return {**fits, "better": defined(min(bic, key=lambda model: bic[model]), by="Poisson BIC")}


def _contiguous(labels: np.ndarray, n: int) -> Labels:
    given = np.asarray(labels)
    if given.shape != (n,):
        raise ValueError(f"labels: expected shape ({n},), got {given.shape}")
    return np.unique(given, return_inverse=True)[1]


def _candidates(links: Binary, model: str, seed: int) -> dict[str, Labels]:
    found = {"one block": np.zeros(len(links), np.int64)}
    spectral = spectral_groups(links, model, seed)
    if spectral is not None:
        found["spectral embedding and Gaussian mixture (graspologic)"] = spectral
    return found | {"Leiden (graspologic)": Leiden(links).labels(seed)}


def spectral_groups(links: Binary, model: str, seed: int) -> Labels | None:
    """Groups as graspologic's estimators find them, or None where its embedding fails.

    Nodes without links have no place in an embedding; they are a group of their own.
    """
    from graspologic.cluster import GaussianCluster
    from graspologic.embed import AdjacencySpectralEmbed, LaplacianSpectralEmbed
    from graspologic.utils import augment_diagonal

    linked = links.any(1)
    graph = links[linked][:, linked].astype(float)
    if len(graph) < 4:
        return None
    with warnings.catch_warnings():  # of components, and of mixtures with empty parts
        warnings.simplefilter("ignore")
        try:
            if model == "sbm":
                embed = AdjacencySpectralEmbed(svd_seed=seed)
                places = embed.fit_transform(augment_diagonal(graph))
            else:
                embed = LaplacianSpectralEmbed(form="R-DAD", svd_seed=seed)
                places = embed.fit_transform(graph)
            cluster = GaussianCluster(
                min_components=1,
                max_components=min(MOST_BLOCKS, len(graph) // 2),
                random_state=seed % 2**32,
            )
            group = cluster.fit_predict(np.asarray(places))
        except (ValueError, IndexError, ArithmeticError, RuntimeError):
            return None
    result = np.full(len(links), -1, np.int64)
    result[linked] = group
    return by_size(result)


def _fit(links: Binary, group: Labels, model: str) -> dict[str, Any]:
    n, blocks = len(links), int(group.max()) + 1
    size = np.bincount(group, minlength=blocks)
    member = (group[:, None] == np.arange(blocks)[None, :]).astype(np.int64)
    ends = member.T @ links.astype(np.int64) @ member  # links, those inside a block twice
    pairs = np.outer(size, size) - np.diag(size)  # the same way
    share = np.divide(ends, pairs, out=np.full(ends.shape, np.nan), where=pairs > 0)
    free = blocks * (blocks + 1) // 2
    labels = n * math.log(blocks)
    all_pairs = n * (n - 1) // 2
    fit: dict[str, Any] = {
        "labels": group.tolist(),
        "blocks": defined(blocks),
        "sizes": size.tolist(),
        "block_p": [[None if math.isnan(p) else p for p in row] for row in share.tolist()],
    }
    if model == "sbm":
        law, likelihood, poisson = "Bernoulli", _bernoulli(ends, pairs), _poisson(ends, pairs)
    else:
        degree = links.sum(1)
        total = np.bincount(group, weights=degree, minlength=blocks)
        theta = degree / np.where(total > 0, total, 1)[group]
        # One θ a node, of which each block's sum is fixed.
        free += n - blocks
        law, likelihood = "Poisson", _corrected(links, ends, group, theta)
        poisson = likelihood
        fit |= {"theta": theta.tolist(), "omega": ends.tolist()}

    def scores(value: float) -> dict[str, float]:
        bic = free * math.log(all_pairs) - 2 * value
        return {"log_likelihood": value, "bic": bic, "description_length": bic / 2 + labels}

    own = {name: defined(value, law=law) for name, value in scores(likelihood).items()}
    return {**fit, **own, "parameters": defined(free), "poisson": scores(poisson)}


def _bernoulli(ends: np.ndarray, pairs: np.ndarray) -> float:
    """Largest Bernoulli log-likelihood of an SBM."""
    rest = pairs - ends
    inside = _x_log(ends, pairs) + _x_log(rest, pairs)
    return float(inside.sum() / 2)  # every pair of blocks, and every pair inside, is there twice


def _poisson(ends: np.ndarray, pairs: np.ndarray) -> float:
    """Largest Poisson log-likelihood of an SBM: links are 0 or 1, so no factorials."""
    return float((_x_log(ends, pairs) - ends).sum() / 2)


def _x_log(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x log(x / y), 0 at x = 0."""
    return np.where(x > 0, x * np.log(np.where(x > 0, x, 1) / np.where(y > 0, y, 1)), 0.0)


def _corrected(links: Binary, ends: np.ndarray, group: Labels, theta: np.ndarray) -> float:
    r"""Poisson log-likelihood of a DCSBM over pairs i < j at :math:`\hat\theta, \hat\omega`.

    Karrer and Newman's estimates allow loops; without those they are the largest up to terms of
    :math:`\theta_i^2`, and the likelihood here is of the pairs that a simple graph has.
    """
    mean = theta[:, None] * theta[None, :] * ends[group[:, None], group[None, :]]
    upper = np.triu(np.ones(links.shape, dtype=bool), 1)
    linked = upper & (links > 0)
    return float(np.log(mean[linked]).sum() - mean[upper].sum())
