"""What a graph prior is: a target link-probability matrix, and graphs drawn from it."""

from __future__ import annotations

import dataclasses
import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from nacgraph.utils.registry import Registry


class GraphPrior(ABC):
    r"""A distribution over graphs of any size, known by its link probabilities.

    A subclass is a frozen dataclass of its parameters. It says what
    :math:`T_{ij} = P(\text{i and j are linked})` is for ``n`` modules; the regulariser pulls a
    circuit's link probabilities towards ``T`` up to a relabelling of the modules.

    Shapes:
        edge_probabilities(n) (n, n) float64: symmetric, within [0, 1], diagonal 1
        communities(n) (n,) long, or None where the prior has none

    Source: Neural Attentive Circuits (NeurIPS 2022), section on graph priors.
    """

    is_none: ClassVar[bool] = False
    """True only for the prior that asks for nothing: training adds no loss for it."""

    @abstractmethod
    def edge_probabilities(self, n: int) -> Tensor:
        """Target matrix for ``n`` modules."""

    def sample(self, n: int, seed: int) -> nx.Graph:
        """One graph on nodes 0..n-1 without self-loops; by default each link on its own."""
        return bernoulli_graph(self.edge_probabilities(n), seed)

    def communities(self, n: int) -> Tensor | None:
        """Planted group of every module, if the prior plants any."""
        return None

    def parameters(self) -> dict[str, Any]:
        """The parameters by name."""
        return dataclasses.asdict(self) if dataclasses.is_dataclass(self) else {}


PRIORS: Registry[GraphPrior] = Registry("prior", "nacgraph.priors")
register_prior = PRIORS.register


def get_prior(name: str, **parameters: Any) -> GraphPrior:
    """The prior called ``name`` with these parameters.

    Raises:
        ValueError: If the name is unknown, it has no such parameter, or a value is out of range.

    Example:
        >>> prior = get_prior("planted_partition", groups=2, p_in=0.9, p_out=0.1)
        >>> prior.edge_probabilities(4)[0]
        tensor([1.0000, 0.9000, 0.1000, 0.1000], dtype=torch.float64)
    """
    cls = PRIORS.get(name)
    known = list(inspect.signature(cls).parameters)
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(
            f"prior {name!r}: expected parameters among ({', '.join(known)}), "
            f"got {', '.join(unknown)}"
        )
    try:
        prior = cls(**parameters)
    except TypeError as error:
        raise ValueError(f"prior {name!r}: {error}") from error
    if not isinstance(prior, GraphPrior):
        raise ValueError(f"prior {name!r}: expected a subclass of GraphPrior, got {cls.__name__}")
    return prior


def bernoulli_graph(probabilities: Tensor, seed: int) -> nx.Graph:
    """A graph in which every pair i < j is linked on its own with its probability."""
    n = probabilities.shape[0]
    rows, columns = np.triu_indices(n, k=1)
    chance = probabilities.detach().cpu().numpy()[rows, columns]
    linked = np.random.default_rng(seed).random(len(rows)) < chance
    graph = nx.empty_graph(n)
    graph.add_edges_from(zip(rows[linked].tolist(), columns[linked].tolist(), strict=True))
    return graph


def group_sizes(n: int, groups: int) -> list[int]:
    """``n`` members over ``groups`` groups as evenly as it goes, larger groups first."""
    small, larger = divmod(n, groups)
    return [small + (group < larger) for group in range(groups)]


def group_labels(n: int, groups: int) -> Tensor:
    """Group of each of ``n`` members when groups are runs of neighbours."""
    return torch.repeat_interleave(torch.arange(groups), torch.tensor(group_sizes(n, groups)))
