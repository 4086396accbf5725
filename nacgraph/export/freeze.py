"""A circuit frozen into a plain PyTorch module: design, gates and graphs are constants."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacgraph.graph.design import CircuitDesign
from nacgraph.graph.forms import Graph
from nacgraph.models.nac import NAC
from nacgraph.nn.blocks import ModAttention, Propagator, ReadIn, ReadOut
from nacgraph.nn.generators import UnconditionalGenerator
from nacgraph.nn.modfc import ModFC, ModFFN, modulations
from nacgraph.nn.skmdpa import folded_attention
from nacgraph.tasks import Batch

FROZEN_MODES = ("expected", "threshold")  # those that draw nothing


@torch.no_grad()
def freeze(model: NAC, mode: str = "expected") -> FrozenCircuit:
    """The model in evaluation, with design, gates and graphs as constants.

    It shares nothing with ``model``: training that one on leaves this one as it is. Logits are
    equal up to rounding.

    Args:
        model: A model whose design is shared by all samples.
        mode: "expected" or "threshold", see :class:`nacgraph.graph.kernel.SignatureKernel`.

    Raises:
        ValueError: On a mode that draws noise, or if every sample has a design of its own.
    """
    if mode not in FROZEN_MODES:
        raise ValueError(f"mode: expected one of {', '.join(FROZEN_MODES)}, got {mode!r}")
    if not isinstance(model.generator, UnconditionalGenerator):
        raise ValueError(
            "generator: expected one design for all samples (UnconditionalGenerator), got "
            f"{type(model.generator).__name__}, whose design is made from each sample"
        )
    design = model.design()
    if design.conditional:
        raise ValueError("design: expected one shared by all samples, got a conditional one")
    return FrozenCircuit(model, design, mode)


class FrozenCircuit(nn.Module):
    """Logits of a NAC from plain operators on tensors; made by :func:`freeze`.

    Its blocks compute what those of :mod:`nacgraph.nn.blocks` do, without compiled code, caches or
    graph objects, none of which can be exported. A graph is a bias log K of attention scores,
    -inf where no link is; the complete graph needs none. Weights of codes are gone with the codes.

    Attributes:
        mode: Kernel mode that the graphs are of.

    Shapes:
        inputs and mask as in a task's `Batch`, for sequences (B, T) int64 and (B, T) bool ·
        output (B, C)
    """

    states: Tensor
    bias: Tensor | None
    readout_bias: Tensor | None

    def __init__(self, model: NAC, design: CircuitDesign, mode: str) -> None:
        super().__init__()
        circuit, codes = model.circuit, design.processor_codes
        self.mode = mode
        self.rounds, self.read_every = circuit.rounds, circuit.read_every
        self.tokenizer = copy.deepcopy(model.tokenizer)
        among, out = circuit.wire(design, mode)
        self.register_buffer("states", design.processor_states.detach().clone().unsqueeze(0))
        self.register_buffer("bias", _bias(among, self.states.dtype))
        self.register_buffer("readout_bias", _bias(out, self.states.dtype))
        read_ins = cast(Iterable[ReadIn], circuit.read_ins)
        propagators = cast(Iterable[Propagator], circuit.propagators)
        self.read_ins = nn.ModuleList(_ReadIn(block, codes) for block in read_ins)
        self.propagators = nn.ModuleList(_Propagator(block, codes) for block in propagators)
        self.read_out = _ReadOut(circuit.read_out, design)
        self.requires_grad_(False)
        self.eval()

    @property
    def max_length(self) -> int | None:
        """Longest input of the tokenizer; None if it takes inputs of one shape only."""
        return getattr(self.tokenizer, "max_length", None)

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        # No tokenizer looks at labels or index; an exporter drops what nothing uses.
        nothing = torch.zeros_like(mask[:, 0], dtype=torch.long)
        tokens, mask = self.tokenizer(Batch(inputs, mask, nothing, nothing))
        normed = [read_in.token_norm(tokens) for read_in in cast(Iterable[_ReadIn], self.read_ins)]
        states, readings = self.states, 0
        for step in range(self.rounds):
            if step == 0 or (self.read_every and step % self.read_every == 0):
                turn = readings % len(self.read_ins)
                states = self.read_ins[turn](states, normed[turn], mask)
                readings += 1
            states = self.propagators[step % len(self.propagators)](states, self.bias)
        return self.read_out(states, self.readout_bias)


def _bias(graph: Graph, dtype: torch.dtype) -> Tensor | None:
    """log K of every pair (R, N), -inf where there is no link.

    No row is -inf throughout: a processor hears itself, a read-out its most probable sender.
    """
    if graph.complete:
        return None
    return graph.log_weight.masked_fill(~graph.mask, -math.inf).to(dtype)


class _ModFC(nn.Module):
    """A ModFC of fixed codes: W (x ⊙ gate) + b, for x (*, U, I)."""

    weight: Tensor
    gate: Tensor
    offset: Tensor | None

    def __init__(self, layer: ModFC, gate: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", layer.weight.detach().clone())
        self.register_buffer("gate", gate.detach().clone())
        offset = None if layer.bias is None else layer.bias.detach().clone()
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x * self.gate, self.weight, self.offset)


class _ModFFN(nn.Module):
    def __init__(self, ffn: ModFFN, gates: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.norm = copy.deepcopy(ffn.norm)
        self.expand, self.contract = map(_ModFC, ffn.layers, gates)

    def forward(self, x: Tensor) -> Tensor:
        value, inner = self.expand(self.norm(x)).chunk(2, dim=-1)
        return x + self.contract(value * F.gelu(inner))


class _ReadIn(nn.Module):
    def __init__(self, block: ReadIn, codes: Tensor) -> None:
        super().__init__()
        attention, ffn = block.modulations(codes)
        layers = block.query, block.key, block.value, block.out_proj
        self.heads = block.heads
        self.token_norm = copy.deepcopy(block.token_norm)
        self.state_norm = copy.deepcopy(block.state_norm)
        self.query, self.key, self.value, self.out_proj = map(_ModFC, layers, attention)
        self.ffn = _ModFFN(block.ffn, ffn)

    def forward(self, states: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        query = self.query(self.state_norm(states)).unflatten(-1, (self.heads, -1))
        key, value = self.key, self.value
        read = folded_attention(query, tokens, mask, key.weight, key.gate, value.weight, value.gate)
        return self.ffn(states + self.out_proj(read))


class _Messages(nn.Module):
    """SKMDPA over all pairs, the graph as a bias: (B, R, D), (B, N, D) → (B, R, D)."""

    def __init__(self, attention: ModAttention, gates: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.heads = attention.heads
        self.query, self.key, self.value, self.out_proj = map(_ModFC, attention.layers, gates)

    def forward(self, receivers: Tensor, senders: Tensor, bias: Tensor | None) -> Tensor:
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, receivers), (self.key, senders), (self.value, senders))
        )
        message = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.out_proj(message.transpose(1, 2).flatten(2))


class _Propagator(nn.Module):
    def __init__(self, block: Propagator, codes: Tensor) -> None:
        super().__init__()
        attention, ffn = block.modulations(codes)
        self.norm = copy.deepcopy(block.norm)
        self.attention = _Messages(block.attention, attention)
        self.ffn = _ModFFN(block.ffn, ffn)

    def forward(self, states: Tensor, bias: Tensor | None) -> Tensor:
        normed = self.norm(states)
        return self.ffn(states + self.attention(normed, normed, bias))


class _ReadOut(nn.Module):
    receivers: Tensor

    def __init__(self, block: ReadOut, design: CircuitDesign) -> None:
        super().__init__()
        codes = design.readout_codes, design.processor_codes
        self.norm = copy.deepcopy(block.processor_norm)
        self.register_buffer("receivers", block.readout_norm(design.readout_states).unsqueeze(0))
        self.attention = _Messages(block.attention, block.attention.modulations(*codes))
        self.ffn = _ModFFN(block.ffn, modulations(codes[0], *block.ffn.layers))
        self.confidence = copy.deepcopy(block.confidence)
        self.head = copy.deepcopy(block.head)

    def forward(self, states: Tensor, bias: Tensor | None) -> Tensor:
        # Not len(): it would fix the batch size of an export.
        receivers = self.receivers.expand(states.shape[0], -1, -1)
        out = self.ffn(self.attention(receivers, self.norm(states), bias))
        return (self.confidence(out).softmax(-2) * self.head(out)).sum(-2)
