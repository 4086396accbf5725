"""Attention: executions of SKMDPA, equal to the reference `scatter`, and the folded read-in."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacgraph.graph.forms import BiasGraph, FullGraph, Graph, SampledGraph
from nacgraph.nn.skmdpa import SKMDPA
from nacgraph.ops.attention_dense import dense_attention
from nacgraph.ops.attention_fused import fused_attention
from nacgraph.utils.choices import BACKENDS as BACKENDS

# Measured on a CPU (benchmarks/README.md): compiled rows beat dense attention below this share of
# links, and from MANY_PAIRS on, where dense attention also takes much memory, about at any share;
# with fewer pairs than FUSED_FROM_PAIRS compiling costs more than it gains.
FUSED_BELOW_DENSITY = 0.6
FUSED_FROM_PAIRS, MANY_PAIRS = 64 * 64, 256 * 256
# Without gradients dense attention keeps nothing, and takes a mask in one call: from 128 to 1,024
# modules it takes 0.4 to 0.7 of the time of compiled rows at full density, 0.7 to 1.3 at a half.
FUSED_BELOW_WITHOUT_GRADIENTS = 0.5
# Gathering E messages pays where few links exist. Not measured on any accelerator.
SCATTER_BELOW_DENSITY = 0.03


class Attention(nn.Module):
    """SKMDPA by the backend asked for; ``auto`` chooses by device, and size and
    density of the graph.

    Args:
        backend: One of :data:`BACKENDS`.

    Raises:
        ValueError: On an unknown backend.
    """

    def __init__(self, backend: str = "auto") -> None:
        super().__init__()
        if backend not in BACKENDS:
            raise ValueError(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
        self.backend = backend
        self.scatter = SKMDPA()

    def extra_repr(self) -> str:
        return f"backend={self.backend!r}"

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, graph: Graph | BiasGraph
    ) -> Tensor:
        if isinstance(graph, BiasGraph):
            return dense_attention(query, key, value, graph)
        backend = self.backend
        if backend == "auto":
            # What a compiler sees must not depend on how many links were drawn.
            compiling = torch.compiler.is_compiling()
            backend = "dense" if compiling else choose(graph, query.device.type)
        if backend == "scatter":
            return self.scatter(query, key, value, graph)
        if backend == "fused":
            return fused_attention(query, key, value, graph)
        return dense_attention(query, key, value, graph)


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


def weighted_mean(value: Tensor, graph: Graph | BiasGraph, attention: Attention) -> Tensor:
    r"""Mean of the senders' values, weighed by the links alone: for propagators without queries.

    .. math:: y_i = \sum_{j \in N(i)} K_{ij} v_j \Big/ \sum_{j \in N(i)} K_{ij}

    Zero where nobody is heard. Any form of a graph will do, in training as in an export.

    Args:
        value: (B, N, D).
        graph: Its senders are the N modules.
        attention: Decides the execution.

    Shapes:
        output (B, R, D)
    """
    heads = value.unsqueeze(-2)
    receivers = value.shape[1] if isinstance(graph, BiasGraph) else graph.num_receivers
    query = heads.new_zeros(heads.shape[0], receivers, *heads.shape[2:])
    return attention(query, torch.zeros_like(heads), heads, graph).squeeze(-2)


def choose(graph: Graph, device: str = "cpu") -> str:
    """The fastest backend for a graph of this size and density: a measured rule on the CPU only."""
    if isinstance(graph, FullGraph) or graph.complete:
        return "dense"
    if device != "cpu":
        return "scatter" if graph.density < SCATTER_BELOW_DENSITY else "dense"
    pairs = graph.num_receivers * graph.num_senders
    if pairs < FUSED_FROM_PAIRS:
        return "dense"
    if isinstance(graph, SampledGraph) and not torch.is_grad_enabled():
        return "fused" if graph.density < FUSED_BELOW_WITHOUT_GRADIENTS else "dense"
    return "fused" if pairs >= MANY_PAIRS or graph.density < FUSED_BELOW_DENSITY else "dense"
