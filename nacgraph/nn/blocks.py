"""What a circuit runs on its modules: reading in, a round of messages, reading out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacgraph.graph.design import CircuitDesign
from nacgraph.graph.forms import Graph
from nacgraph.nn.attention import Attention
from nacgraph.nn.init import linear
from nacgraph.nn.modfc import ModFC, ModFFN, modulations
from nacgraph.nn.skmdpa import folded_attention
from nacgraph.ops.pointwise import gated, gated_norm

# Of a block: the gates of its attention (query, key, value, exit) and of its ModFFN.
Gates = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


class ReadIn(nn.Module):
    """Cross-attention from modules to tokens, then a ModFFN; both residual, pre-norm.

    Query, key and value projections are ModFCs conditioned on the module's code, in the folded
    form of :func:`nacgraph.nn.skmdpa.folded_attention`.

    Args:
        dim: Width D of the states.
        token_dim: Width of the tokens.
        code_dim: Width K of the codes.
        heads: Number of heads H; cost grows with it, since each folded query is token_dim wide.
        head_dim: Width of a head.
        factor: Width factor of the ModFFN.
        generator: Source of the initial weights; PyTorch's own if left out.

    Shapes:
        states (U, D) or (B, U, D) · codes (U, K) or (B, U, K) · tokens (B, T, token_dim), from
        :meth:`norm_tokens` · mask (B, T) · output (B, U, D)
    """

    def __init__(
        self,
        dim: int,
        token_dim: int,
        code_dim: int,
        heads: int,
        head_dim: int,
        factor: int = 4,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.token_norm = nn.LayerNorm(token_dim)
        self.state_norm = nn.LayerNorm(dim)
        self.query = ModFC(dim, inner, code_dim, bias=False, generator=generator)
        self.key = ModFC(token_dim, inner, code_dim, bias=False, generator=generator)
        self.value = ModFC(token_dim, inner, code_dim, bias=False, generator=generator)
        self.out_proj = ModFC(inner, dim, code_dim, generator=generator)
        self.ffn = ModFFN(dim, code_dim, factor, generator=generator)

    def norm_tokens(self, tokens: Tensor) -> Tensor:
        """Layer-normed tokens; apart, since many readings of the same tokens share them."""
        return self.token_norm(tokens)

    def modulations(self, codes: Tensor) -> Gates:
        """The gates of all its ModFCs."""
        layers = self.query, self.key, self.value, self.out_proj, *self.ffn.layers
        found = modulations(codes, *layers)
        return found[:4], found[4:]

    def attend(
        self,
        states: Tensor,
        codes: Tensor,
        tokens: Tensor,
        mask: Tensor | None,
        gates: Gates | None = None,
    ) -> Tensor:
        """The attention with its residual, before the ModFFN."""
        query_gate, key_gate, value_gate, out_gate = (gates or self.modulations(codes))[0]
        if states.dim() == 2:  # shared by the batch: queries are made once
            states = states.unsqueeze(0)
        (gated_states,) = gated_norm(states, self.state_norm, [query_gate])
        query = self.query.project(gated_states).unflatten(-1, (self.heads, -1))
        read = folded_attention(
            query, tokens, mask, self.key.weight, key_gate, self.value.weight, value_gate
        )
        return states + self.out_proj.project(gated(read, out_gate))

    def forward(
        self,
        states: Tensor,
        codes: Tensor,
        tokens: Tensor,
        mask: Tensor | None = None,
        gates: Gates | None = None,
    ) -> Tensor:
        gates = gates or self.modulations(codes)
        return self.ffn(self.attend(states, codes, tokens, mask, gates), codes, gates[1])


class ModAttention(nn.Module):
    """SKMDPA between modules: the sender's code makes key and value, the receiver's the query.

    Takes what :meth:`modulations` gates: the layer-normed states of receivers, for the query, and
    of senders, for key and value.

    Shapes:
        query (B, R, D) · key, value (B, N, D) · out_gate (R, D) or (B, R, D) · output (B, R, D)
    """

    def __init__(
        self,
        dim: int,
        code_dim: int,
        heads: int,
        head_dim: int,
        backend: str = "auto",
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.query = ModFC(dim, inner, code_dim, bias=False, generator=generator)
        self.key = ModFC(dim, inner, code_dim, bias=False, generator=generator)
        self.value = ModFC(dim, inner, code_dim, bias=False, generator=generator)
        self.out_proj = ModFC(inner, dim, code_dim, generator=generator)
        self.attention = Attention(backend)

    @property
    def layers(self) -> tuple[ModFC, ModFC, ModFC, ModFC]:
        """Its ModFCs, in the order of their gates."""
        return self.query, self.key, self.value, self.out_proj

    def modulations(self, receiver_codes: Tensor, sender_codes: Tensor) -> tuple[Tensor, ...]:
        """The gates of query, key, value and exit, where receivers are not the senders."""
        query, exit = modulations(receiver_codes, self.query, self.out_proj)
        key, value = modulations(sender_codes, self.key, self.value)
        return query, key, value, exit

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        graph: Graph,
        out_gate: Tensor,
    ) -> Tensor:
        query, key, value = (
            layer.project(x).unflatten(-1, (self.heads, -1))
            for layer, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        message = self.attention(query, key, value, graph)
        return self.out_proj.project(gated(message.flatten(-2), out_gate))


class Propagator(nn.Module):
    """One round of messages among processors, then a ModFFN; both residual, pre-norm.

    An isolated processor hears only itself; one LayerNorm serves senders and receivers.

    Shapes:
        states (B, U, D) · codes (U, K) or (B, U, K) · output (B, U, D)
    """

    def __init__(self, attention: ModAttention, ffn: ModFFN, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.attention = attention
        self.ffn = ffn

    def modulations(self, codes: Tensor) -> Gates:
        """The gates of all its ModFCs."""
        found = modulations(codes, *self.attention.layers, *self.ffn.layers)
        return found[:4], found[4:]

    def attend(
        self, states: Tensor, codes: Tensor, graph: Graph, gates: Gates | None = None
    ) -> Tensor:
        """The attention with its residual, before the ModFFN."""
        *inward, outward = (gates or self.modulations(codes))[0]
        return states + self.attention(*gated_norm(states, self.norm, inward), graph, outward)

    def forward(
        self, states: Tensor, codes: Tensor, graph: Graph, gates: Gates | None = None
    ) -> Tensor:
        gates = gates or self.modulations(codes)
        return self.ffn(self.attend(states, codes, graph, gates), codes, gates[1])


class ReadOut(nn.Module):
    r"""Read-outs gather from processors and vote by confidence.

    .. math:: \mathrm{logits} = \sum_o \mathrm{softmax}_o(\mathrm{conf}(\theta_o))\,
              \mathrm{head}(\theta_o)

    No residual stands around the attention; one does around the ModFFN.

    Shapes:
        states (B, U, D) · output: logits (B, C), confidence (B, O) summing to one,
        read-out states (B, O, D)
    """

    def __init__(
        self,
        attention: ModAttention,
        ffn: ModFFN,
        dim: int,
        num_classes: int,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.processor_norm = nn.LayerNorm(dim)
        self.readout_norm = nn.LayerNorm(dim)
        self.attention = attention
        self.ffn = ffn
        self.confidence = linear(dim, 1, generator=generator)
        self.head = linear(dim, num_classes, generator=generator)

    def forward(
        self, states: Tensor, design: CircuitDesign, graph: Graph
    ) -> tuple[Tensor, Tensor, Tensor]:
        query_gate, key_gate, value_gate, out_gate = self.attention.modulations(
            design.readout_codes, design.processor_codes
        )
        (query,) = gated_norm(design.readout_states, self.readout_norm, [query_gate])
        key, value = gated_norm(states, self.processor_norm, [key_gate, value_gate])
        gathered = self.attention(query.expand(len(states), -1, -1), key, value, graph, out_gate)
        out = self.ffn(gathered, design.readout_codes)
        confidence = F.softmax(self.confidence(out).squeeze(-1), dim=-1)
        return (confidence.unsqueeze(-1) * self.head(out)).sum(-2), confidence, out
