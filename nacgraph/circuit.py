"""The circuit executor: modules read tokens, talk along sampled links, and are read out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacgraph.attention import folded_attention
from nacgraph.backends import Attention
from nacgraph.design import CircuitDesign
from nacgraph.initialise import linear
from nacgraph.kernel import SampledGraph, SignatureKernel
from nacgraph.modfc import ModFC, ModFFN


class ReadIn(nn.Module):
    """Cross-attention from modules to tokens, then a ModFFN; both residual, pre-norm.

    Query, key and value projections are ModFCs conditioned on the module's code, in the folded
    form of :func:`nacgraph.attention.folded_attention`.

    Args:
        dim: Width D of the states.
        token_dim: Width of the tokens.
        code_dim: Width K of the codes.
        heads: Number of heads H; cost grows with it, since each folded query is token_dim wide.
        head_dim: Width of a head.
        generator: Source of the initial weights.
        factor: Width factor of the ModFFN.

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
        generator: torch.Generator,
        factor: int = 4,
    ) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.token_norm = nn.LayerNorm(token_dim)
        self.state_norm = nn.LayerNorm(dim)
        self.query = ModFC(dim, inner, code_dim, generator, bias=False)
        self.key = ModFC(token_dim, inner, code_dim, generator, bias=False)
        self.value = ModFC(token_dim, inner, code_dim, generator, bias=False)
        self.exit = ModFC(inner, dim, code_dim, generator)
        self.ffn = ModFFN(dim, code_dim, generator, factor)

    def norm_tokens(self, tokens: Tensor) -> Tensor:
        """Layer-normed tokens; apart, since many readings of the same tokens share them."""
        return self.token_norm(tokens)

    def attend(self, states: Tensor, codes: Tensor, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """The attention with its residual, before the ModFFN."""
        if states.dim() == 2:  # shared by the batch: queries are made once
            states = states.unsqueeze(0)
        query = self.query(self.state_norm(states), codes).unflatten(-1, (self.heads, -1))
        read = folded_attention(
            query,
            tokens,
            mask,
            self.key.weight,
            self.key.modulation(codes),
            self.value.weight,
            self.value.modulation(codes),
        )
        return states + self.exit(read, codes)

    def forward(
        self, states: Tensor, codes: Tensor, tokens: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        return self.ffn(self.attend(states, codes, tokens, mask), codes)


class ModAttention(nn.Module):
    """SKMDPA between modules: the sender's code makes key and value, the receiver's the query.

    Shapes:
        receivers (B, R, D) · senders (B, N, D), both layer-normed · output (B, R, D)
    """

    def __init__(
        self,
        dim: int,
        code_dim: int,
        heads: int,
        head_dim: int,
        generator: torch.Generator,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.query = ModFC(dim, inner, code_dim, generator, bias=False)
        self.key = ModFC(dim, inner, code_dim, generator, bias=False)
        self.value = ModFC(dim, inner, code_dim, generator, bias=False)
        self.exit = ModFC(inner, dim, code_dim, generator)
        self.attention = Attention(backend)

    def forward(
        self,
        receivers: Tensor,
        receiver_codes: Tensor,
        senders: Tensor,
        sender_codes: Tensor,
        graph: SampledGraph,
    ) -> Tensor:
        query = self.query(receivers, receiver_codes).unflatten(-1, (self.heads, -1))
        key = self.key(senders, sender_codes).unflatten(-1, (self.heads, -1))
        value = self.value(senders, sender_codes).unflatten(-1, (self.heads, -1))
        message = self.attention(query, key, value, graph)
        return self.exit(message.flatten(-2), receiver_codes)


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

    def attend(self, states: Tensor, codes: Tensor, graph: SampledGraph) -> Tensor:
        """The attention with its residual, before the ModFFN."""
        normed = self.norm(states)
        return states + self.attention(normed, codes, normed, codes, graph)

    def forward(self, states: Tensor, codes: Tensor, graph: SampledGraph) -> Tensor:
        return self.ffn(self.attend(states, codes, graph), codes)


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
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.processor_norm = nn.LayerNorm(dim)
        self.readout_norm = nn.LayerNorm(dim)
        self.attention = attention
        self.ffn = ffn
        self.confidence = linear(dim, 1, generator)
        self.head = linear(dim, num_classes, generator)

    def forward(
        self, states: Tensor, design: CircuitDesign, graph: SampledGraph
    ) -> tuple[Tensor, Tensor, Tensor]:
        queries = self.readout_norm(design.readout_states).expand(len(states), -1, -1)
        senders = self.processor_norm(states)
        gathered = self.attention(
            queries, design.readout_codes, senders, design.processor_codes, graph
        )
        out = self.ffn(gathered, design.readout_codes)
        confidence = F.softmax(self.confidence(out).squeeze(-1), dim=-1)
        return (confidence.unsqueeze(-1) * self.head(out)).sum(-2), confidence, out


@dataclass(frozen=True)
class CircuitOutput:
    """What a circuit answers, and how it was wired while it did.

    Attributes:
        logits: (B, C).
        link: Link probabilities P among processors, (U, U) or (B, U, U), with gradient.
        graph: The graph that carried messages among processors.
        readout_graph: The graph from processors to read-outs.
        states: Final states of the processors (B, U, D).
        confidence: Share of each read-out in the logits (B, O).
    """

    logits: Tensor
    link: Tensor
    graph: SampledGraph
    readout_graph: SampledGraph
    states: Tensor
    confidence: Tensor


class Circuit(nn.Module):
    """Read in, propagate for a number of rounds, read out.

    Args:
        kernel: Draws the graph among processors and the one to the read-outs, once a call.
        read_ins: Used in turn, each time that tokens are read.
        propagators: Used in turn, one a round.
        read_out: Makes the logits.
        rounds: Number of rounds L.
        read_every: Tokens are read before the first round, and again before every
            ``read_every``-th round (0: only once).
        per_sample: Every sample draws its own graph, also under a shared design.
    """

    def __init__(
        self,
        kernel: SignatureKernel,
        read_ins: list[ReadIn],
        propagators: list[Propagator],
        read_out: ReadOut,
        rounds: int,
        read_every: int = 0,
        per_sample: bool = False,
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.read_ins = nn.ModuleList(read_ins)
        self.propagators = nn.ModuleList(propagators)
        self.read_out = read_out
        self.rounds = rounds
        self.read_every = read_every
        self.per_sample = per_sample

    def forward(
        self,
        tokens: Tensor,
        design: CircuitDesign,
        mask: Tensor | None = None,
        generator: torch.Generator | None = None,
        mode: str | None = None,
    ) -> CircuitOutput:
        """Run the circuit on tokens (B, T, D); ``mask`` (B, T) is True where one is real."""
        graphs = len(tokens) if self.per_sample else None
        signatures = design.processor_signatures
        graph = self.kernel(signatures, mode=mode, generator=generator, graphs=graphs)
        readout_graph = self.kernel(
            design.readout_signatures, signatures, mode=mode, generator=generator, graphs=graphs
        )
        states, codes = design.processor_states, design.processor_codes
        read_ins = cast(Iterable[ReadIn], self.read_ins)
        normed = [read_in.norm_tokens(tokens) for read_in in read_ins]
        readings = 0
        for step in range(self.rounds):
            if step == 0 or (self.read_every and step % self.read_every == 0):
                turn = readings % len(self.read_ins)
                states = self.read_ins[turn](states, codes, normed[turn], mask)
                readings += 1
            states = self.propagators[step % len(self.propagators)](states, codes, graph)
        logits, confidence, _ = self.read_out(states, design, readout_graph)
        return CircuitOutput(logits, graph.probability, graph, readout_graph, states, confidence)
