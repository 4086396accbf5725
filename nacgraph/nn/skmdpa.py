"""SKMDPA over sampled edges, and the folded attention with which modules read tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import MessagePassing

from nacgraph.graph.forms import Graph, check_attention
from nacgraph.ops.scatter import scatter_softmax, scatter_sum


class SKMDPA(MessagePassing):
    r"""Stochastic kernel modulated dot-product attention, as message passing over E edges.

    .. math::
        y_i = \sum_{j \in N(i)} \mathrm{softmax}_j\!\Big(\frac{q_i \cdot k_j}{\sqrt d}
              + \log K_{ij}\Big) v_j

    which equals weighing by :math:`K_{ij} e^{A_{ij}} / \sum_j K_{ij} e^{A_{ij}}`. A receiver
    without senders gets the zero message. This is the reference execution; it touches E edges
    per head and keeps E messages for the backward pass.

    Shapes:
        query (B, R, H, d) · key, value (B, N, H, d) · output (B, R, H, d)

    Source: Neural Attentive Circuits (NeurIPS 2022), eq. 3.
    """

    def __init__(self) -> None:
        super().__init__(aggr="sum", node_dim=1)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, graph: Graph) -> Tensor:
        check_attention(query, key, graph)
        edge_index, log_weight = graph.edges()
        shape = query.shape
        if graph.per_sample:  # one block-diagonal graph: the batch axis moves into the nodes
            query, key, value = (x.flatten(0, 1).unsqueeze(0) for x in (query, key, value))
        out = self.propagate(
            edge_index,
            size=(key.shape[1], query.shape[1]),
            query=(None, query * shape[-1] ** -0.5),
            key=(key, None),
            value=(value, None),
            log_weight=log_weight.to(query.dtype),
        )
        return out.reshape(shape)

    def message(
        self,
        query_i: Tensor,
        key_j: Tensor,
        value_j: Tensor,
        log_weight: Tensor,
        index: Tensor,
        size_i: int,
    ) -> Tensor:
        score = (query_i * key_j).sum(-1) + log_weight.unsqueeze(-1)
        return scatter_softmax(score, index, dim=1, size=size_i).unsqueeze(-1) * value_j

    def aggregate(self, inputs: Tensor, index: Tensor, dim_size: int) -> Tensor:
        return scatter_sum(inputs, index, dim=1, size=dim_size)


def folded_attention(
    query: Tensor,
    tokens: Tensor,
    mask: Tensor | None,
    key_weight: Tensor,
    key_gate: Tensor,
    value_weight: Tensor,
    value_gate: Tensor,
) -> Tensor:
    r"""Attention of modules to tokens whose keys and values are modulated by the *module*.

    Each module u sees its own keys :math:`k_{uj} = W_k (x_j \odot m_u)`. The module's part folds
    into the query and out of the sum, exactly, so that nothing of size U·T·D is ever made:

    .. math::
        q_u \cdot k_{uj} = (m_u \odot W_k^\top q_u) \cdot x_j, \qquad
        \sum_j a_{uj} v_{uj} = W_v \Big(n_u \odot \sum_j a_{uj} x_j\Big)

    with each head's slices of ``W_k`` and ``W_v``.

    Args:
        query: Queries (1 or B, U, H, d); one row serves a batch that shares its states.
        tokens: (B, T, D).
        mask: (B, T), True where a token is real; ``None`` where all are.
        key_weight: W_k (H·d, D).
        key_gate: m (…, U, D), see :meth:`nacgraph.nn.modfc.ModFC.modulation`.
        value_weight: W_v (H·d, D).
        value_gate: n (…, U, D).

    Returns:
        (B, U, H·d). A sample without any real token gets zeros.
    """
    batch, _, dim = tokens.shape
    _, modules, heads, width = query.shape
    folded = torch.einsum("buhc,hcd->bhud", query, key_weight.view(heads, width, dim))
    folded = folded * key_gate.unsqueeze(-3)
    # Heads become further queries: one attention of (H·U, D) over the raw tokens, which are
    # key and value at once.
    folded = folded.flatten(1, 2).expand(batch, -1, -1).unsqueeze(1)
    raw = tokens.unsqueeze(1)
    where = None if mask is None else mask[:, None, None, :]
    read = F.scaled_dot_product_attention(folded, raw, raw, attn_mask=where, scale=width**-0.5)
    if mask is not None:
        # No real token, no message; scaled_dot_product_attention leaves this to the backend.
        read = torch.where(mask.any(-1)[:, None, None, None], read, 0.0)
    read = read.view(batch, heads, modules, dim) * value_gate.unsqueeze(-3)
    out = torch.einsum("bhud,hcd->buhc", read, value_weight.view(heads, width, dim))
    return out.flatten(2)
