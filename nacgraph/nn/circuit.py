"""The circuit executor: modules read tokens, talk along sampled links, and are read out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from nacgraph.graph.design import CircuitDesign
from nacgraph.graph.forms import BiasGraph, Graph
from nacgraph.graph.kernel import SignatureKernel
from nacgraph.nn.gates import Gates, select_modules
from nacgraph.nn.propagators import BasePropagator
from nacgraph.nn.read_in import BaseReadIn
from nacgraph.nn.read_out import ReadOut
from nacgraph.utils.check import check_choice, check_whole
from nacgraph.utils.choices import REDRAWS

# Called before a block runs: the round, the block, and the states that it is given.
Watch = Callable[[int, nn.Module, Tensor], None]


@dataclass(frozen=True)
class CircuitOutput:
    """What a circuit answers, and how it was wired while it did.

    Attributes:
        logits: (B, C).
        graphs: The graphs that carried messages among processors: one, or one a round.
        readout_graph: The graph from processors to read-outs.
        states: Final states of the processors (B, U, D).
        confidence: Share of each read-out in the logits (B, O).
    """

    logits: Tensor
    graphs: tuple[Graph | BiasGraph, ...]
    readout_graph: Graph | BiasGraph
    states: Tensor
    confidence: Tensor

    @property
    def graph(self) -> Any:
        """The graph of the first round."""
        return self.graphs[0]

    @property
    def link(self) -> Tensor:
        """Link probabilities P among processors, (U, U) or (B, U, U), with gradient."""
        return self.graph.probability


@dataclass(frozen=True)
class PreparedCircuit:
    """All of a circuit that does not depend on tokens: made by :meth:`Circuit.prepare`.

    It is a snapshot: weights, codes or signatures that change later do not change it.

    Attributes:
        states: θ⁰ of the processors, (U, D) or (B, U, D).
        codes: Codes of the processors, (U, K) or (B, U, K).
        readout_states: θ⁰ of the read-outs, (O, D) or (B, O, D).
        graphs: Graphs among processors: one for all rounds, or one a round.
        readout_graph: The graph from processors to read-outs.
        read_gates: Gates of each read-in.
        message_gates: Gates of each propagator.
        readout_gates: Gates of the read-out.
    """

    states: Tensor
    codes: Tensor
    readout_states: Tensor
    graphs: tuple[Graph | BiasGraph, ...]
    readout_graph: Graph | BiasGraph
    read_gates: tuple[Gates, ...]
    message_gates: tuple[Gates, ...]
    readout_gates: Gates

    def select(self, kept: Tensor, graphs: tuple[Graph, ...], out: Graph) -> PreparedCircuit:
        """The circuit of these processors only, under graphs that were made for them."""
        of_processors, *of_readouts = self.readout_gates
        return PreparedCircuit(
            self.states[..., kept, :],
            self.codes[..., kept, :],
            self.readout_states,
            graphs,
            out,
            select_modules(self.read_gates, kept),
            select_modules(self.message_gates, kept),
            (select_modules(of_processors, kept), *of_readouts),
        )

    def dense(self) -> PreparedCircuit:
        """With every graph as the bias of dense attention, for compilers and exporters."""
        dtype = self.states.dtype
        return replace(
            self,
            graphs=tuple(BiasGraph.of(graph, dtype) for graph in self.graphs),
            readout_graph=BiasGraph.of(self.readout_graph, dtype),
        )


class Circuit(nn.Module):
    r"""Read in, propagate for a number of rounds, read out.

    .. math::
        \theta \leftarrow \mathrm{ReadIn}(\theta, c, \mathrm{tokens}), \qquad
        \theta \leftarrow \mathrm{Propagator}(\theta, c, G), \qquad
        \mathrm{logits} = \mathrm{ReadOut}(\theta, G_{out})

    Args:
        kernel: Draws the graph among processors and the one to the read-outs.
        read_in: A read-in, or several that are used in turn, each time that tokens are read.
        propagator: A propagator, or several that are used in turn, one a round.
        read_out: Makes the logits.
        rounds: Number of rounds L.
        read_every: Tokens are read before the first round, and again before every
            ``read_every``-th round (0: only once).
        per_sample: Every sample draws its own graph, also under a shared design.
        redraw: "once" a call, or "each_round": independent graphs among processors for every
            round, as in the paper's release.

    Shapes:
        tokens (B, T, D) · mask (B, T), True where a token is real · output: see
        :class:`CircuitOutput`

    Raises:
        ValueError: If there is no read-in, propagator or round, or ``redraw`` is neither.

    Source: Neural Attentive Circuits (NeurIPS 2022), section 2.2.
    """

    def __init__(
        self,
        kernel: SignatureKernel,
        read_in: BaseReadIn | Sequence[BaseReadIn],
        propagator: BasePropagator | Sequence[BasePropagator],
        read_out: ReadOut,
        rounds: int,
        read_every: int = 0,
        per_sample: bool = False,
        redraw: str = "once",
    ) -> None:
        super().__init__()
        check_choice(REDRAWS, redraw=redraw)
        check_whole(1, rounds=rounds)
        check_whole(0, read_every=read_every)
        self.kernel = kernel
        self.read_ins = nn.ModuleList([read_in] if isinstance(read_in, nn.Module) else read_in)
        self.propagators = nn.ModuleList(
            [propagator] if isinstance(propagator, nn.Module) else propagator
        )
        for name, blocks in (("read_in", self.read_ins), ("propagator", self.propagators)):
            if not blocks:
                raise ValueError(f"{name}: expected at least one, got none")
        self.read_out = read_out
        self.rounds = rounds
        self.read_every = read_every
        self.per_sample = per_sample
        self.redraw = redraw

    def extra_repr(self) -> str:
        return (
            f"rounds={self.rounds}, read_every={self.read_every}, per_sample={self.per_sample}, "
            f"redraw={self.redraw!r}"
        )

    def wire(
        self,
        design: CircuitDesign,
        mode: str | None = None,
        generator: torch.Generator | None = None,
        samples: int | None = None,
    ) -> tuple[tuple[Graph, ...], Graph]:
        """The graphs among processors, one or one a round, and the one to the read-outs.

        Args:
            design: Whose signatures decide.
            mode: Kernel mode; the kernel's own if left out.
            generator: Source of the noise.
            samples: Number of samples, where each is to have graphs of its own.
        """
        processors = design.processor_signatures
        count = self.rounds if self.redraw == "each_round" else 1
        among = self.kernel.draws(count, processors, mode=mode, generator=generator, graphs=samples)
        out = self.kernel(
            design.readout_signatures, processors, mode=mode, generator=generator, graphs=samples
        )
        return among, out

    def prepare(
        self,
        design: CircuitDesign,
        mode: str | None = None,
        generator: torch.Generator | None = None,
        samples: int | None = None,
    ) -> PreparedCircuit:
        """Graphs and gates of a design, for any number of :meth:`run` or ``forward`` calls.

        Whoever answers many batches with the same weights makes it once. Arguments are those of
        :meth:`wire`.
        """
        graphs, out = self.wire(design, mode, generator, samples)
        codes = design.processor_codes
        return PreparedCircuit(
            design.processor_states,
            codes,
            design.readout_states,
            graphs,
            out,
            tuple(block.modulations(codes) for block in self.read_ins),  # type: ignore[operator]
            tuple(block.modulations(codes) for block in self.propagators),  # type: ignore[operator]
            self.read_out.modulations(design.readout_codes, codes),
        )

    def norm_tokens(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """The tokens as each read-in takes them."""
        return tuple(block.norm_tokens(tokens) for block in self.read_ins)  # type: ignore[operator]

    def read(
        self, turn: int, states: Tensor, circuit: PreparedCircuit, tokens: Tensor, mask: Any
    ) -> Tensor:
        """New states from the read-in whose turn it is."""
        return self.read_ins[turn](states, circuit.codes, tokens, mask, circuit.read_gates[turn])

    def run(
        self,
        circuit: PreparedCircuit,
        tokens: Sequence[Tensor],
        mask: Tensor | None = None,
        first: Tensor | None = None,
        watch: Watch | None = None,
    ) -> CircuitOutput:
        """The one loop over rounds: training, evaluation, lesions, pruning and export run it.

        Args:
            circuit: From :meth:`prepare`.
            tokens: From :meth:`norm_tokens`.
            mask: (B, T), True where a token is real.
            first: States after the first reading, where that was done already.
            watch: Called before every block with (round, block, states).
        """
        states, readings = circuit.states, 0
        for step in range(self.rounds):
            if step == 0 or (self.read_every and step % self.read_every == 0):
                turn = readings % len(self.read_ins)
                if readings == 0 and first is not None:
                    states = first
                else:
                    if watch is not None:
                        watch(step, self.read_ins[turn], states)
                    states = self.read(turn, states, circuit, tokens[turn], mask)
                readings += 1
            turn = step % len(self.propagators)
            if watch is not None:
                watch(step, self.propagators[turn], states)
            graph = circuit.graphs[step % len(circuit.graphs)]
            gates = circuit.message_gates[turn]
            states = self.propagators[turn](states, circuit.codes, graph, gates)
        logits, confidence, _ = self.read_out(
            states, circuit.readout_states, circuit.readout_graph, circuit.readout_gates
        )
        return CircuitOutput(logits, circuit.graphs, circuit.readout_graph, states, confidence)

    def forward(
        self,
        tokens: Tensor,
        design: CircuitDesign | PreparedCircuit,
        mask: Tensor | None = None,
        generator: torch.Generator | None = None,
        mode: str | None = None,
    ) -> CircuitOutput:
        """Run the circuit of a design, or one that is prepared (then nothing is drawn)."""
        if not isinstance(design, PreparedCircuit):
            samples = tokens.shape[0] if self.per_sample else None
            design = self.prepare(design, mode, generator, samples)
        return self.run(design, self.norm_tokens(tokens), mask)
