"""SKMDPA over sampled edges, as message passing of PyTorch Geometric: the reference execution."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import softmax

from nacgraph.graph.forms import Graph, check_attention


class EdgeAttention(MessagePassing):
    """What :class:`SKMDPA` and :class:`~nacgraph.nn.SKMDPAConv` share: attention along edges."""

    def __init__(self) -> None:
        super().__init__(aggr="sum", node_dim=-3)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        edge_index: Tensor,
        log_weight: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Messages (..., R, H, d), zero where a receiver has no sender, and weights (..., E, H)."""
        size = key.shape[-3], query.shape[-3]
        query = query * query.shape[-1] ** -0.5
        if log_weight is not None:
            log_weight = log_weight.to(query.dtype)
        weight = self.edge_updater(
            edge_index, size=size, query=(None, query), key=(key, None), log_weight=log_weight
        )
        return self.propagate(edge_index, size=size, value=(value, None), weight=weight), weight

    def edge_update(
        self,
        query_i: Tensor,
        key_j: Tensor,
        log_weight: Tensor | None,
        index: Tensor,
        size_i: int | None,
    ) -> Tensor:
        score = (query_i * key_j).sum(-1)
        if log_weight is not None:
            score = score + log_weight.unsqueeze(-1)
        return softmax(score, index, num_nodes=size_i, dim=-2)

    def message(self, value_j: Tensor, weight: Tensor) -> Tensor:
        return weight.unsqueeze(-1) * value_j


class SKMDPA(EdgeAttention):
    r"""Stochastic kernel modulated dot-product attention, as message passing over E edges.

    .. math::
        y_i = \sum_{j \in N(i)} \mathrm{softmax}_j\!\Big(\frac{q_i \cdot k_j}{\sqrt d}
              + \log K_{ij}\Big) v_j

    which equals weighing by :math:`K_{ij} e^{A_{ij}} / \sum_j K_{ij} e^{A_{ij}}`. A receiver
    without senders gets the zero message. This is the reference execution; it touches E edges
    per head and keeps E messages for the backward pass.

    Shapes:
        query (R, H, d) or (B, R, H, d) · key, value (N, H, d) or (B, N, H, d) · edges: an
        ``edge_index`` (2, E), senders in row 0 and receivers in row 1, with ``log_weight`` (E,),
        or a graph of :class:`~nacgraph.graph.kernel.SignatureKernel` · output like query

    Raises:
        ValueError: If the edges are no (2, E) whole numbers, do not fit query and key, or a graph
            comes with a ``log_weight`` of its own beside.

    Example:
        >>> x = torch.randn(4, 2, 8)  # 4 nodes, 2 heads
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 2]])
        >>> SKMDPA()(x, x, x, edge_index, log_weight=torch.zeros(3)).shape
        torch.Size([4, 2, 8])

    Source: Neural Attentive Circuits (NeurIPS 2022), eq. 3.
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        edges: Tensor | Graph,
        log_weight: Tensor | None = None,
    ) -> Tensor:
        if not isinstance(edges, Graph):
            edge_index = check_edges(edges, key.shape[-3], query.shape[-3], log_weight)
            return self.attend(query, key, value, edge_index, log_weight)[0]
        if log_weight is not None:
            raise ValueError("log_weight: expected None, since a graph brings its own, got another")
        check_attention(query, key, edges)
        edge_index, log_weight = edges.edges()
        shape = query.shape
        if edges.per_sample:  # one block-diagonal graph: the batch axis moves into the nodes
            query, key, value = (x.flatten(0, 1).unsqueeze(0) for x in (query, key, value))
        return self.attend(query, key, value, edge_index, log_weight)[0].reshape(shape)


def check_edges(
    edge_index: Tensor, senders: int, receivers: int, log_weight: Tensor | None = None
) -> Tensor:
    """The edges as a plain (2, E) tensor.

    Raises:
        ValueError: If they are anything else, or do not fit the nodes or the weights.
    """
    for name, value in (("edge_index", edge_index), ("log_weight", log_weight)):
        if not isinstance(value, Tensor) and not (name == "log_weight" and value is None):
            raise ValueError(f"{name}: expected a tensor, got {type(value).__name__}")
    if edge_index.layout != torch.strided:
        raise ValueError(
            "edge_index: expected a tensor (2, E) or an EdgeIndex, got a sparse matrix; see "
            "torch_geometric.utils.to_edge_index"
        )
    if isinstance(edge_index, EdgeIndex):
        sizes = edge_index.sparse_size()
        if any(n not in (None, m) for n, m in zip(sizes, (senders, receivers), strict=True)):
            raise ValueError(
                f"edge_index: expected {senders} senders and {receivers} receivers, got {sizes}"
            )
        edge_index = edge_index.as_tensor()
    if edge_index.dim() != 2 or len(edge_index) != 2 or edge_index.dtype != torch.long:
        raise ValueError(
            "edge_index: expected shape (2, E) of type torch.int64, got "
            f"{tuple(edge_index.shape)} of {edge_index.dtype}"
        )
    if log_weight is not None and log_weight.shape != edge_index.shape[1:]:
        raise ValueError(
            f"log_weight: expected shape ({edge_index.shape[1]},), got {tuple(log_weight.shape)}"
        )
    return edge_index
