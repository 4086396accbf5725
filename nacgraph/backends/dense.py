"""SKMDPA as dense attention over all R × N pairs, with the graph as a mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nacgraph.attention import check_attention
from nacgraph.kernel import SampledGraph


def dense_attention(query: Tensor, key: Tensor, value: Tensor, graph: SampledGraph) -> Tensor:
    """Equal to :class:`nacgraph.attention.SKMDPA`, gradients to the edge weights included.

    Shapes:
        query (B, R, H, d) · key, value (B, N, H, d) · output (B, R, H, d)
    """
    check_attention(query, key, graph)
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    if graph.complete:
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
    # One head axis for all: (R, N) → (1, 1, R, N), (B, R, N) → (B, 1, R, N).
    mask = graph.mask.unsqueeze(-3)
    score = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    score = score + graph.log_weight.unsqueeze(-3).to(score.dtype)
    # Not -inf: a row of it has a softmax, and a gradient, of NaN.
    score = score.masked_fill(~mask, torch.finfo(score.dtype).min)
    weight = score.softmax(-1).masked_fill(~mask, 0.0)
    return (weight @ value).transpose(1, 2)
