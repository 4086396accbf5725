"""The circuit executor: modules read tokens, talk along sampled links, and are read out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from nacgraph.blocks import Gates, Propagator, ReadIn, ReadOut
from nacgraph.design import CircuitDesign
from nacgraph.graph import Graph
from nacgraph.kernel import SignatureKernel
from nacgraph.modfc import ModFC


@dataclass(frozen=True)
class CircuitOutput:
    """What a circuit answers, and how it was wired while it did.

    Attributes:
        logits: (B, C).
        graph: The graph that carried messages among processors.
        readout_graph: The graph from processors to read-outs.
        states: Final states of the processors (B, U, D).
        confidence: Share of each read-out in the logits (B, O).
    """

    logits: Tensor
    graph: Graph
    readout_graph: Graph
    states: Tensor
    confidence: Tensor

    @property
    def link(self) -> Tensor:
        """Link probabilities P among processors, (U, U) or (B, U, U), with gradient."""
        return self.graph.probability


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
        self._kept: tuple[list[Any], dict[nn.Module, Gates], list[Tensor]] | None = None

    def modulations(self, codes: Tensor) -> dict[nn.Module, Gates]:
        """The gates of every read-in and propagator, made once however often it is used.

        Without gradients, and for codes that are a parameter, they are kept until a weight changes.
        """
        blocks = [*self.read_ins, *self.propagators]
        if torch.is_grad_enabled() or not isinstance(codes, nn.Parameter):
            return {block: block.modulations(codes) for block in blocks}
        layers = [layer for layer in self.modules() if isinstance(layer, ModFC)]
        weights: list[Tensor] = [codes]
        weights += [p for layer in layers for p in (layer.code_weight, layer.alpha)]
        autocast = torch.is_autocast_enabled(codes.device.type)
        state: list[Any] = [autocast, *((id(p), p.data_ptr(), p._version) for p in weights)]
        kept = self._kept
        if kept is None or kept[0] != state:
            # The weights too are held on to, so that no other can take over their identity.
            kept = state, {block: block.modulations(codes) for block in blocks}, weights
            self._kept = kept
        return kept[1]

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
        gates = self.modulations(codes)
        readings = 0
        for step in range(self.rounds):
            if step == 0 or (self.read_every and step % self.read_every == 0):
                turn = readings % len(self.read_ins)
                read_in = self.read_ins[turn]
                states = read_in(states, codes, normed[turn], mask, gates[read_in])
                readings += 1
            propagator = self.propagators[step % len(self.propagators)]
            states = propagator(states, codes, graph, gates[propagator])
        logits, confidence, _ = self.read_out(states, design, readout_graph)
        return CircuitOutput(logits, graph, readout_graph, states, confidence)
