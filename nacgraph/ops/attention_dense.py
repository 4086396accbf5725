"""SKMDPA as dense attention over all R × N pairs, with the graph as a mask."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from nacgraph.graph.forms import BiasGraph, FullGraph, Graph, check_attention


def dense_attention(query: Tensor, key: Tensor, value: Tensor, graph: Graph | BiasGraph) -> Tensor:
    """Equal to :class:`nacgraph.nn.skmdpa.SKMDPA`, gradients to the edge weights included.

    Shapes:
        query (B, R, H, d) · key, value (B, N, H, d) · output (B, R, H, d)
    """
    if isinstance(graph, BiasGraph):
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        return _biased(query, key, value, graph.bias)
    check_attention(query, key, graph)
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    if graph.complete:
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
    if isinstance(graph, FullGraph):
        return _bilinear(query, key, value, graph).transpose(1, 2)
    if not torch.is_grad_enabled() and (graph.nonempty or bool(graph.mask.any(-1).all())):
        # Nothing of the size of all pairs and heads is kept; a row without links would be NaN.
        bias = graph.log_weight.to(query.dtype).masked_fill(~graph.mask, -math.inf)
        return _biased(query, key, value, bias)
    # One head axis for all: (R, N) → (1, 1, R, N), (B, R, N) → (B, 1, R, N).
    mask = graph.mask.unsqueeze(-3)
    score = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    score = score + graph.log_weight.unsqueeze(-3).to(score.dtype)
    # Not -inf: a row of it has a softmax, and a gradient, of NaN.
    score = score.masked_fill(~mask, torch.finfo(score.dtype).min)
    weight = score.softmax(-1).masked_fill(~mask, 0.0)
    return (weight @ value).transpose(1, 2)


def _biased(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """Attention with log K (R, N) or (B, R, N) added to its scores: (B, H, R, d) → (B, R, H, d)."""
    bias = bias.unsqueeze(-3) if bias is not None and bias.dim() == 3 else bias
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias).transpose(1, 2)


def _bilinear(query: Tensor, key: Tensor, value: Tensor, graph: FullGraph) -> Tensor:
    r"""All pairs at weight P, without a tensor over pairs: (B, H, R, d) → (B, H, R, d).

    .. math:: q_i \cdot k_j/\sqrt d + \log P_{ij}
              = [q_i/\sqrt d,\ \hat s_i/\varepsilon] \cdot [k_j,\ \hat s_j] - 1/\varepsilon
    """
    batch, heads, _, width = query.shape
    kind = torch.promote_types(query.dtype, torch.float32)
    with torch.autocast(query.device.type, enabled=False):

        def of_each_head(signatures: Tensor) -> Tensor:
            unit = F.normalize(signatures.to(kind), dim=-1)
            unit = unit if unit.dim() == 3 else unit.unsqueeze(0)
            return unit.unsqueeze(1).expand(batch, heads, -1, -1)

        query_side = of_each_head(graph.receivers) / graph.bandwidth
        query = torch.cat([query.to(kind) * width**-0.5, query_side], -1)
        key = torch.cat([key.to(kind), of_each_head(graph.senders)], -1)
        # Values as wide as keys: the kernels that never make all pairs ask for that.
        wide = F.pad(value.to(kind), (0, key.shape[-1] - width))
        out = F.scaled_dot_product_attention(query, key, wide, scale=1.0)
    return out[..., :width].to(value.dtype)
