"""Plain loops over samples, heads and modules: slow, obvious, and shared with nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from nacgraph.graph.forms import SampledGraph
from nacgraph.nn.read_in import ReadIn


def naive_attention(query: Tensor, key: Tensor, value: Tensor, graph: SampledGraph) -> Tensor:
    """SKMDPA as the paper writes it: K·e^A over its sum, receiver by receiver."""
    out = torch.zeros_like(query)
    for b in range(query.shape[0]):
        mask = graph.mask[b] if graph.per_sample else graph.mask
        log_weight = graph.log_weight[b] if graph.per_sample else graph.log_weight
        for i in range(query.shape[1]):
            senders = mask[i].nonzero()[:, 0]
            if not len(senders):
                continue
            for h in range(query.shape[2]):
                score = key[b, senders, h] @ query[b, i, h] / query.shape[-1] ** 0.5
                weight = log_weight[i, senders].exp() * score.exp()
                out[b, i, h] = (weight / weight.sum()) @ value[b, senders, h]
    return out


def naive_read_in(
    layer: ReadIn, states: Tensor, codes: Tensor, tokens: Tensor, mask: Tensor | None
) -> Tensor:
    """The unfolded read-in: every module makes its own keys and values, (B, U, T, D)."""
    states = states.expand(len(tokens), -1, -1)
    normed = layer.token_norm(tokens).unsqueeze(1)
    query = layer.query(layer.state_norm(states), codes).unflatten(-1, (layer.heads, -1))
    key = layer.key(normed, codes.unsqueeze(-2)).unflatten(-1, (layer.heads, -1))
    value = layer.value(normed, codes.unsqueeze(-2)).unflatten(-1, (layer.heads, -1))
    score = torch.einsum("buhc,buthc->buht", query, key) / query.shape[-1] ** 0.5
    if mask is not None:
        score = score.masked_fill(~mask[:, None, None, :], -torch.inf)
    read = torch.einsum("buht,buthc->buhc", score.softmax(-1), value).flatten(2)
    return states + layer.out_proj(read, codes)
