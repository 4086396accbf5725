"""The priors that ship: scale-free, planted partition, ring of cliques, and the null models."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import networkx as nx
import torch
from torch import Tensor

from nacgraph.priors.base import (
    GraphPrior,
    group_labels,
    register_prior,
)
from nacgraph.utils.check import check_at_least, check_probability, check_whole


def default_degree(n: int) -> float:
    """Mean degree where none is asked for: a tenth of the others, but 4 in a small graph.

    A fixed degree would ask large circuits for densities that no signatures reach: with
    orthogonal signatures and the default bandwidth the density is 0.05 whatever n is.
    """
    return min(n - 1.0, max(4.0, 0.1 * (n - 1)))


def _unit_diagonal(matrix: Tensor) -> Tensor:
    return matrix.fill_diagonal_(1.0)


@register_prior("scale_free")
@dataclass(frozen=True)
class ScaleFree(GraphPrior):
    r"""Hubs: the link probabilities of Barabási–Albert growth.

    .. math:: T_{ij} = \min(1, c / \sqrt{ij})

    Modules are in order of arrival (from 1), so the first are the hubs; ``c`` is solved for so
    that the mean degree is what was asked *after* clipping. ``sample`` draws every link on its
    own with these probabilities, not by growth: its ensemble mean is T exactly.

    Args:
        mean_degree: Expected links per module, capped at n - 1; None scales with n.

    Source: Barabási & Albert (1999); the expectation as in SPEC, "Graph priors".
    """

    mean_degree: float | None = None

    def __post_init__(self) -> None:
        if self.mean_degree is not None:
            check_at_least(0, mean_degree=self.mean_degree)

    def edge_probabilities(self, n: int) -> Tensor:
        check_whole(1, n=n)
        wanted = default_degree(n) if self.mean_degree is None else self.mean_degree
        if wanted >= n - 1:
            return torch.ones(n, n, dtype=torch.float64)
        arrival = torch.arange(1, n + 1, dtype=torch.float64).rsqrt()
        shape = torch.outer(arrival, arrival)
        # With the k likeliest pairs clipped, the others share what is left of the degrees; the
        # right k is the first that leaves all others at most 1.
        likely = shape[~torch.eye(n, dtype=torch.bool)].sort(descending=True).values
        others = likely.flip(0).cumsum(0).flip(0)
        scale = (wanted * n - torch.arange(len(likely), dtype=torch.float64)) / others
        chosen = int((scale * likely <= 1).int().argmax())
        return _unit_diagonal((scale[chosen] * shape).clamp_(0.0, 1.0))


@register_prior("planted_partition")
@dataclass(frozen=True)
class PlantedPartition(GraphPrior):
    """Communities: groups of like size, dense inside and sparse between.

    Args:
        groups: Number of groups, at most n of them used; None is 8, fewer below 32 modules so
            that a group has at least four.
        p_in: Link probability within a group.
        p_out: Link probability between groups.
    """

    groups: int | None = None
    p_in: float = 0.9
    p_out: float = 0.05

    def __post_init__(self) -> None:
        if self.groups is not None:
            check_whole(1, groups=self.groups)
        check_probability(p_in=self.p_in, p_out=self.p_out)

    def communities(self, n: int) -> Tensor:
        check_whole(1, n=n)
        groups = max(1, min(8, n // 4)) if self.groups is None else min(self.groups, n)
        return group_labels(n, groups)

    def edge_probabilities(self, n: int) -> Tensor:
        label = self.communities(n)
        same = label[:, None] == label[None, :]
        return _unit_diagonal(torch.where(same, float(self.p_in), float(self.p_out)).double())


@register_prior("ring_of_cliques")
@dataclass(frozen=True)
class RingOfCliques(GraphPrior):
    """Complete groups in a closed ring, neighbouring groups joined by one link.

    There are round(n / clique_size) cliques (at least one) of like size. The last member of a
    clique links to the first of the next, and the last clique's to the first clique's, so no
    module carries two such links unless its clique is itself alone. As in networkx, c >= 2
    cliques have c links; two cliques are therefore joined on both sides, and one has none.

    Args:
        clique_size: Members of a clique, about; at least 1.
    """

    clique_size: int = 8

    def __post_init__(self) -> None:
        check_whole(1, clique_size=self.clique_size)

    def communities(self, n: int) -> Tensor:
        check_whole(1, n=n)
        return group_labels(n, max(1, math.floor(n / self.clique_size + 0.5)))

    def edge_probabilities(self, n: int) -> Tensor:
        label = self.communities(n)
        target = (label[:, None] == label[None, :]).double()
        last = torch.nonzero(label != label.roll(-1))[:, 0]  # empty for a single clique
        first = (last + 1) % n
        target[last, first] = target[first, last] = 1.0
        return target


@register_prior("erdos_renyi")
@dataclass(frozen=True)
class ErdosRenyi(GraphPrior):
    """No structure but a density: every link has the same probability.

    Args:
        p: The probability; None is 0.1, more below 41 modules (mean degree 4).
    """

    p: float | None = None

    def __post_init__(self) -> None:
        if self.p is not None:
            check_probability(p=self.p)

    def edge_probabilities(self, n: int) -> Tensor:
        check_whole(1, n=n)
        p = default_degree(n) / max(1, n - 1) if self.p is None else float(self.p)
        return _unit_diagonal(torch.full((n, n), p, dtype=torch.float64))


@register_prior("watts_strogatz")
@dataclass(frozen=True)
class WattsStrogatz(GraphPrior):
    r"""A small world: a ring lattice in which every link is moved with a small chance.

    ``sample`` is ``networkx.watts_strogatz_graph``. Its expectation follows the procedure: with
    h = neighbours / 2, the link at offset j stays with 1 - β; once moved away, it is drawn anew
    by one of the 2(h - j) + 1 moves that its two ends have still to make, each hitting it with
    :math:`q = β/(n - 1 - 2h)`. What the lattice loses the other pairs share evenly, so that the
    expected number of links is exact. Degrees are taken at their mean, the only approximation:
    it is within 0.01 of the ensemble while neighbours <= n / 2 and coarser in fuller graphs.

    Args:
        neighbours: Lattice neighbours of a module, both sides together; even, at least 2.
            From n - 1 on the graph is complete. None is 8, at most n / 2 (at least 2).
        rewire: Chance β that a link is moved.

    Source: Watts & Strogatz (1998).
    """

    neighbours: int | None = None
    rewire: float = 0.1

    def __post_init__(self) -> None:
        if self.neighbours is not None:
            check_whole(2, neighbours=self.neighbours)
            if self.neighbours % 2:
                raise ValueError(f"neighbours: expected an even number, got {self.neighbours!r}")
        check_probability(rewire=self.rewire)

    def _half(self, n: int) -> int:
        return self.neighbours // 2 if self.neighbours else max(1, min(4, n // 4))

    def edge_probabilities(self, n: int) -> Tensor:
        check_whole(1, n=n)
        half = self._half(n)
        others = n - 1 - 2 * half  # pairs of a module that are no lattice links
        if others <= 0:
            return torch.ones(n, n, dtype=torch.float64)
        offset = torch.arange(1, half + 1, dtype=torch.float64)
        miss = (1 - self.rewire / others) ** (2 * (half - offset) + 1)
        lattice = 1 - self.rewire * miss
        profile = torch.full((n,), float(2 * (1 - lattice).sum() / others), dtype=torch.float64)
        profile[1 : half + 1] = lattice
        profile[n - half :] = lattice.flip(0)
        index = torch.arange(n)
        return _unit_diagonal(profile[(index[:, None] - index[None, :]) % n].clamp_(0.0, 1.0))

    def sample(self, n: int, seed: int) -> nx.Graph:
        check_whole(1, n=n)
        half = self._half(n)
        if 2 * half >= n - 1:
            return nx.complete_graph(n)
        return nx.watts_strogatz_graph(n, 2 * half, self.rewire, seed=seed)


@register_prior("none")
@dataclass(frozen=True)
class NonePrior(GraphPrior):
    """No preference: training adds no loss for it. Every graph is equally likely (T = 1/2)."""

    is_none: ClassVar[bool] = True

    def edge_probabilities(self, n: int) -> Tensor:
        check_whole(1, n=n)
        return _unit_diagonal(torch.full((n, n), 0.5, dtype=torch.float64))
