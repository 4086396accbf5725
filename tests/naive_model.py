"""The whole model in its naive form: the same function of the same parameters, nothing saved.

Every module makes its own keys and values of every token, (B, U, T, D); modulations are computed
anew in every call; messages are dense attention under a U x U mask for each sample. It shares no
code with the executor: it reads parameters out of a :class:`nacgraph.models.nac.NAC` and computes
with them what SPEC 2 to 4 say. The tests compare with it, the benchmarks time it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacgraph.models.nac import NAC

Tokens = tuple[Tensor, Tensor | None]


class Links(NamedTuple):
    """Log weights and mask, both (R, N) or (B, R, N)."""

    log_weight: Tensor
    mask: Tensor


class PassThrough(nn.Module):
    """A tokenizer for inputs that are tokens already: (tokens (B, T, D), mask (B, T) or None)."""

    def forward(self, batch: Tokens) -> Tokens:
        return batch


def dense_links(graph: Any) -> Links:
    """A graph of the library as U x U tensors; the gradient goes to its edge weights."""
    rows, columns = graph.num_receivers, graph.num_senders
    if graph.complete:
        return Links(torch.zeros(rows, columns), torch.ones(rows, columns, dtype=torch.bool))
    (sender, receiver), log_weight = graph.edges()
    shape: tuple[int, ...] = (rows, columns)
    where: tuple[Tensor, ...] = (receiver, sender)
    if graph.per_sample:  # one block-diagonal graph
        batch = int(receiver.max()) // rows + 1
        shape, where = (batch, *shape), (receiver // rows, receiver % rows, sender % columns)
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[where] = True
    return Links(torch.zeros(shape).to(log_weight).index_put(where, log_weight), mask)


def sample_links(
    receivers: Tensor, senders: Tensor | None, kernel: Any, mode: str, noise: Tensor | None
) -> Links:
    """SPEC 3 over all R x N pairs; ``noise`` (…, R, N), u in (0, 1), where the mode draws any."""
    other = receivers if senders is None else senders
    unit = [x / x.norm(dim=-1, keepdim=True) for x in (receivers, other)]
    log_p = -(1 - unit[0] @ unit[1].T).clamp_min(0) / kernel.bandwidth
    own = torch.eye(*log_p.shape, dtype=torch.bool) if senders is None else None
    log_weight, least = log_p, kernel.min_weight
    if noise is not None:
        safe = log_p.clamp_max(-1e-7)
        logit = safe - torch.log(-torch.expm1(safe))
        log_weight = F.logsigmoid((logit + torch.logit(noise)) / kernel.temperature)
    mask = log_weight.exp() > (0.5 if mode == "hard" else least)
    if mode == "hard":
        log_weight = log_weight - log_weight.detach()
    if own is not None:
        return Links(log_weight.masked_fill(own, 0.0), mask | own)
    best = F.one_hot(log_p.argmax(-1), log_p.shape[-1]).bool()
    return Links(log_weight, mask | (best & ~mask.any(-1, keepdim=True)))


def modulated(layer: Any, x: Tensor, code: Tensor) -> Tensor:
    """ModFC (SPEC 2)."""
    scale = F.linear(code, layer.code_weight)
    gate = 1 + layer.alpha * F.layer_norm(scale, scale.shape[-1:])
    return F.linear(x * gate, layer.weight, layer.bias)


def feed_forward(layer: Any, x: Tensor, code: Tensor) -> Tensor:
    """ModFFN (SPEC 2), residual and pre-norm."""
    value, gate = modulated(layer.expand, layer.norm(x), code).chunk(2, -1)
    return x + modulated(layer.contract, value * F.gelu(gate), code)


def read(layer: Any, states: Tensor, codes: Tensor, tokens: Tensor, mask: Tensor | None) -> Tensor:
    """The unfolded read-in up to its ModFFN: keys and values are (B, U, T, ·)."""
    states = states.expand(len(tokens), -1, -1)
    normed = layer.token_norm(tokens).unsqueeze(1)
    query = modulated(layer.query, layer.state_norm(states), codes).unflatten(-1, (layer.heads, -1))
    key = modulated(layer.key, normed, codes.unsqueeze(-2)).unflatten(-1, (layer.heads, -1))
    value = modulated(layer.value, normed, codes.unsqueeze(-2)).unflatten(-1, (layer.heads, -1))
    score = torch.einsum("buhc,buthc->buht", query, key) * query.shape[-1] ** -0.5
    if mask is not None:
        score = score.masked_fill(~mask[:, None, None, :], -torch.inf)
    found = torch.einsum("buht,buthc->buhc", score.softmax(-1), value).flatten(2)
    return states + modulated(layer.out_proj, found, codes)


def messages(
    layer: Any,
    receivers: Tensor,
    codes: Tensor,
    senders: Tensor,
    sender_codes: Tensor,
    links: Links,
) -> Tensor:
    """Dense attention over all pairs, (B, H, R, N), with one mask a sample."""
    batch = len(receivers)
    query = modulated(layer.query, receivers, codes)
    key = modulated(layer.key, senders, sender_codes)
    value = modulated(layer.value, senders, sender_codes)
    query, key, value = (
        x.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for x in (query, key, value)
    )
    log_weight, mask = (x.expand(batch, *x.shape[-2:]).contiguous().unsqueeze(1) for x in links)
    score = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + log_weight
    weight = score.masked_fill(~mask, torch.finfo(score.dtype).min).softmax(-1)
    heard = (weight * mask.any(-1, keepdim=True)) @ value
    return modulated(layer.out_proj, heard.transpose(1, 2).flatten(2), codes)


class NaiveNAC(nn.Module):
    """A NAC computed naively, from the very parameters of ``model``."""

    def __init__(self, model: NAC) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Any, generator: torch.Generator) -> Tensor:
        """Logits under one graph shared by the batch, drawn densely in the training mode."""
        kernel, mode = self.model.circuit.kernel, self.model.config.mode
        design = self.model.generator()
        signatures, readouts = design.processor_signatures, design.readout_signatures

        def links(receivers: Tensor, senders: Tensor | None) -> Links:
            shape = (len(receivers), len(signatures))
            noise = None if mode == "expected" else torch.rand(shape, generator=generator)
            noise = noise if noise is None else noise.clamp_min(2.0**-25).to(receivers)
            return sample_links(receivers, senders, kernel, mode, noise)

        return self.run(batch, links(signatures, None), links(readouts, signatures))

    def run(self, batch: Any, links: Links | list[Links], readout_links: Links) -> Tensor:
        """Logits (B, C) under these links, the same in all rounds or a list of one a round."""
        circuit: Any = self.model.circuit
        tokens, mask = self.model.tokenizer(batch)
        design = self.model.generator(tokens, mask)
        states, codes = design.processor_states, design.processor_codes
        readings = 0
        for step in range(circuit.rounds):
            if step == 0 or (circuit.read_every and step % circuit.read_every == 0):
                layer = circuit.read_ins[readings % len(circuit.read_ins)]
                states = feed_forward(layer.ffn, read(layer, states, codes, tokens, mask), codes)
                readings += 1
            layer = circuit.propagators[step % len(circuit.propagators)]
            normed = layer.norm(states)
            now = links[step] if isinstance(links, list) else links
            states = states + messages(layer.attention, normed, codes, normed, codes, now)
            states = feed_forward(layer.ffn, states, codes)
        out = circuit.read_out
        queries = out.readout_norm(design.readout_states).expand(len(tokens), -1, -1)
        heard = messages(
            *(out.attention, queries, design.readout_codes),
            *(out.processor_norm(states), codes, readout_links),
        )
        votes = feed_forward(out.ffn, heard, design.readout_codes)
        return (out.confidence(votes).softmax(1) * out.head(votes)).sum(1)
