"""Sampled graphs: who listens to whom, as a mask, as edges, or all pairs at once.

All three have the same attributes, so any of them goes to any backend; each makes what it does not
hold when it is asked for, once. A fourth form, :class:`BiasGraph`, is what the dense execution adds
to its scores and nothing else: constants of a prepared circuit that is compiled or exported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from nacgraph.graph.links import link_probabilities, log_link_probabilities


class Rows(NamedTuple):
    """Edges sorted by receiver (CSR); those of sample b's receiver i are row b·R + i.

    Attributes:
        rowptr: Where each row begins, (rows + 1,) int64.
        sender: Sender of each edge, (E,) int32, counted within its sample.
        log_weight: log K of each edge, (E,).
        longest: Edges of the longest row.
    """

    rowptr: Tensor
    sender: Tensor
    log_weight: Tensor
    longest: int

    def edges(self, receivers: int, senders: int) -> tuple[Tensor, Tensor]:
        """Edges in PyG's order; see :meth:`SampledGraph.edges`."""
        rows = len(self.rowptr) - 1
        row = torch.arange(rows, device=self.rowptr.device)
        receiver = row.repeat_interleave(self.rowptr.diff(), output_size=len(self.sender))
        sender = self.sender + receiver // max(1, receivers) * senders
        return torch.stack([sender, receiver]), self.log_weight


@dataclass(frozen=True)
class SampledGraph:
    """A graph as a mask over all pairs.

    Attributes:
        probability: Link probabilities P, (R, N), or (B, R, N) for conditional designs.
        log_weight: Edge weights log K, (R, N) or (B, R, N); only where ``mask`` do they count.
        mask: True where the link exists, like ``log_weight``.
        complete: Every link exists with weight one, so that a backend may skip both.
        nonempty: Every receiver is known to have a sender, so that no backend has to look.
    """

    probability: Tensor
    log_weight: Tensor
    mask: Tensor
    complete: bool = False
    nonempty: bool = False

    @property
    def per_sample(self) -> bool:
        """Whether every sample of the batch has a graph of its own."""
        return self.mask.dim() == 3

    @property
    def samples(self) -> int | None:
        """Number of graphs, or None for one that all samples share."""
        return len(self.mask) if self.per_sample else None

    @property
    def num_receivers(self) -> int:
        return self.mask.shape[-2]

    @property
    def num_senders(self) -> int:
        return self.mask.shape[-1]

    @cached_property
    def density(self) -> float:
        """Share of all pairs that are linked."""
        return float(self.mask.float().mean())

    @cached_property
    def rows(self) -> Rows:
        """The edges by receiver."""
        counts = self.mask.sum(-1).flatten()
        rowptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        sender = self.mask.nonzero()[:, -1].int()
        longest = int(counts.max()) if len(counts) else 0
        return Rows(rowptr, sender, self.log_weight.masked_select(self.mask), longest)

    def edges(self) -> tuple[Tensor, Tensor]:
        """Edges in PyG's order, sorted by receiver, and their log weights.

        Per-sample graphs come as one block-diagonal graph: node u of sample b is b·N + u.

        Returns:
            edge_index (2, E), senders in row 0 and receivers in row 1, and log_weight (E,).
        """
        return self.rows.edges(self.num_receivers, self.num_senders)

    def senders_of_each(self) -> Tensor:
        """How many senders each receiver hears, (R,) or (B, R)."""
        return self.mask.sum(-1)

    def mean_degree(self) -> float:
        """Expected number of links of a module among R = N, itself left out."""
        return mean_degree(self.probability)


@dataclass(frozen=True)
class EdgeGraph:
    """A graph as its edges; nothing of the size of all pairs, unless one asks for it.

    Attributes:
        rows: The edges.
        num_receivers: R.
        num_senders: N.
        samples: Number of graphs, or None for one that all samples share.
        receivers: Signatures of the receivers, from which P is made if someone asks.
        senders: Signatures of the senders.
        bandwidth: ε.
        among: Whether receivers and senders are the same modules, so that P_ii = 1.
        least: Least log weight that counts as a link in :meth:`mean_degree`.
    """

    rows: Rows
    num_receivers: int
    num_senders: int
    samples: int | None
    receivers: Tensor
    senders: Tensor
    bandwidth: float
    among: bool
    least: float = -math.inf
    complete: bool = False
    nonempty: bool = True

    @property
    def per_sample(self) -> bool:
        return self.samples is not None

    @property
    def density(self) -> float:
        pairs = (self.samples or 1) * self.num_receivers * self.num_senders
        return len(self.rows.sender) / max(1, pairs)

    @cached_property
    def probability(self) -> Tensor:
        """P of all pairs, with gradient, made when first asked for."""
        return link_probabilities(self.receivers, self.senders, self.bandwidth, self.among)

    @cached_property
    def mask(self) -> Tensor:
        return (
            torch.zeros(self._pairs, dtype=torch.bool)
            .index_fill(0, self._place, True)
            .view(self._shape)
        )

    @cached_property
    def log_weight(self) -> Tensor:
        weight = self.rows.log_weight
        return weight.new_zeros(self._pairs).index_copy(0, self._place, weight).view(self._shape)

    def edges(self) -> tuple[Tensor, Tensor]:
        """See :meth:`SampledGraph.edges`."""
        return self.rows.edges(self.num_receivers, self.num_senders)

    def senders_of_each(self) -> Tensor:
        """See :meth:`SampledGraph.senders_of_each`."""
        return self.rows.rowptr.diff().view(self._shape[:-1])

    def mean_degree(self) -> float:
        """As :meth:`SampledGraph.mean_degree`, exactly if P was made, else as drawn.

        A concrete sample exceeds 1/2 with probability P, so links that do have that mean.
        """
        if "probability" in self.__dict__:
            return mean_degree(self.probability)
        links = int((self.rows.log_weight > self.least).sum())
        nodes = (self.samples or 1) * self.num_receivers
        return links / nodes - 1

    @property
    def _shape(self) -> tuple[int, ...]:
        pairs = (self.num_receivers, self.num_senders)
        return pairs if self.samples is None else (self.samples, *pairs)

    @property
    def _pairs(self) -> int:
        return math.prod(self._shape)

    @cached_property
    def _place(self) -> Tensor:
        rows = self.rows
        row = torch.arange(len(rows.rowptr) - 1)
        receiver = row.repeat_interleave(rows.rowptr.diff(), output_size=len(rows.sender))
        return receiver * self.num_senders + rows.sender


@dataclass(frozen=True)
class FullGraph:
    r"""The graph of all pairs, weighed by the kernel itself: K = P.

    :math:`\log K_{ij} = (\hat s_i \cdot \hat s_j - 1)/\varepsilon` is bilinear, so that attention
    needs no tensor over pairs: signatures are appended to queries and keys.

    Attributes:
        receivers: Signatures of the receivers, (R, S) or (B, R, S).
        senders: Signatures of the senders, (N, S) or (B, N, S).
        bandwidth: ε; infinite makes every weight one.
        among: Whether receivers and senders are the same modules, so that P_ii = 1.
    """

    receivers: Tensor
    senders: Tensor
    bandwidth: float
    among: bool

    density = 1.0
    nonempty = True

    @property
    def complete(self) -> bool:
        return self.bandwidth == math.inf

    @property
    def per_sample(self) -> bool:
        return self.receivers.dim() == 3

    @property
    def samples(self) -> int | None:
        return len(self.receivers) if self.per_sample else None

    @property
    def num_receivers(self) -> int:
        return self.receivers.shape[-2]

    @property
    def num_senders(self) -> int:
        return self.senders.shape[-2]

    @cached_property
    def probability(self) -> Tensor:
        """P of all pairs, with gradient, made when first asked for."""
        return link_probabilities(self.receivers, self.senders, self.bandwidth, self.among)

    @cached_property
    def log_weight(self) -> Tensor:
        return log_link_probabilities(self.receivers, self.senders, self.bandwidth)

    @cached_property
    def mask(self) -> Tensor:
        shape = (*self.receivers.shape[:-1], self.num_senders)
        return torch.ones(shape, dtype=torch.bool, device=self.receivers.device)

    @cached_property
    def rows(self) -> Rows:
        """The edges by receiver: all pairs."""
        return SampledGraph(self.mask, self.log_weight, self.mask).rows

    def edges(self) -> tuple[Tensor, Tensor]:
        """See :meth:`SampledGraph.edges`."""
        return self.rows.edges(self.num_receivers, self.num_senders)

    def senders_of_each(self) -> Tensor:
        """See :meth:`SampledGraph.senders_of_each`."""
        return torch.full(self.receivers.shape[:-1], self.num_senders)

    def mean_degree(self) -> float:
        """See :meth:`SampledGraph.mean_degree`."""
        return mean_degree(self.probability)


@dataclass(frozen=True)
class BiasGraph:
    """What dense attention adds to its scores; every receiver has a sender.

    Attributes:
        bias: log K (R, N) or (B, R, N), -inf where there is no link; None for the complete graph.
    """

    bias: Tensor | None

    @classmethod
    def of(cls, graph: Graph | BiasGraph, dtype: torch.dtype) -> BiasGraph:
        """The bias of a graph whose receivers all have senders, as those of a kernel do."""
        if isinstance(graph, BiasGraph):
            return graph
        if graph.complete:
            return cls(None)
        return cls(graph.log_weight.masked_fill(~graph.mask, -math.inf).to(dtype))


Graph = SampledGraph | EdgeGraph | FullGraph


def check_attention(query: Tensor, key: Tensor, graph: Graph) -> None:
    """Raise ValueError unless the graph links this many receivers and senders."""
    wanted = (graph.num_receivers, graph.num_senders)
    if (query.shape[1], key.shape[1]) != wanted:
        raise ValueError(
            f"graph: expected links from {key.shape[1]} senders to {query.shape[1]} receivers, "
            f"got from {wanted[1]} to {wanted[0]}"
        )
    if graph.samples not in (None, query.shape[0]):
        raise ValueError(
            f"graph: expected {query.shape[0]} graphs, one a sample, got {graph.samples}"
        )


def mean_degree(link: Tensor) -> float:
    """Expected number of links of a module, itself left out: mean over i of Σ_{j≠i} P_ij."""
    total = link.detach().sum((-1, -2)) - link.detach().diagonal(dim1=-2, dim2=-1).sum(-1)
    return float((total / link.shape[-1]).mean())


def isolated(graph: Graph) -> float:
    """Processors without a sender other than themselves (mean over a batch of graphs)."""
    return float((graph.senders_of_each() <= 1).sum(-1).float().mean())
