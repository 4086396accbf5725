"""The circuit executor: modules read tokens, talk along sampled links, and are read out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from nacgraph.graph.design import CircuitDesign
from nacgraph.graph.forms import Graph
from nacgraph.graph.kernel import SAMPLED, SignatureKernel
from nacgraph.nn.blocks import Gates, Propagator, ReadIn, ReadOut
from nacgraph.nn.modfc import ModFC

T = TypeVar("T")


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


class Cache(Generic[T]):
    """One result that is made again only once what it was made of has changed."""

    def __init__(self) -> None:
        self._entry: tuple[list[Any], T, list[Tensor]] | None = None

    def get(self, sources: list[Tensor], settings: Any, make: Callable[[], T]) -> T:
        """What ``make()`` gave when sources and settings were last as they are now."""
        # What inference mode made is of no use outside of it.
        state: list[Any] = [settings, torch.is_inference_mode_enabled()]
        state += [(id(p), p.data_ptr(), p._version) for p in sources]
        if self._entry is None or self._entry[0] != state:
            # The sources too are held on to, so that no other can take over their identity.
            self._entry = state, make(), sources
        return self._entry[1]

    def __deepcopy__(self, memo: Any) -> Cache[T]:
        return Cache()


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
        self._gates: Cache[dict[nn.Module, Gates]] = Cache()
        self._graphs: Cache[tuple[Graph, Graph]] = Cache()

    def modulations(self, codes: Tensor) -> dict[nn.Module, Gates]:
        """The gates of every read-in and propagator, made once however often it is used.

        Without gradients, and for codes that are a parameter, they are kept until a weight changes.
        """
        blocks = [*self.read_ins, *self.propagators]

        def make() -> dict[nn.Module, Gates]:
            return {block: block.modulations(codes) for block in blocks}

        if torch.is_grad_enabled() or not isinstance(codes, nn.Parameter):
            return make()
        layers = [layer for layer in self.modules() if isinstance(layer, ModFC)]
        weights: list[Tensor] = [codes]
        weights += [p for layer in layers for p in (layer.code_weight, layer.alpha)]
        return self._gates.get(weights, torch.is_autocast_enabled(codes.device.type), make)

    def wire(
        self,
        design: CircuitDesign,
        mode: str | None = None,
        generator: torch.Generator | None = None,
        graphs: int | None = None,
    ) -> tuple[Graph, Graph]:
        """The graph among processors, and the one from them to the read-outs.

        Without gradients, in a mode that draws nothing and for signatures that are parameters,
        they are kept until the signatures change.
        """
        kernel = self.kernel
        processors, readouts = design.processor_signatures, design.readout_signatures

        def make() -> tuple[Graph, Graph]:
            among = kernel(processors, mode=mode, generator=generator, graphs=graphs)
            return among, kernel(
                readouts, processors, mode=mode, generator=generator, graphs=graphs
            )

        drawn = (kernel.mode if mode is None else mode) in SAMPLED
        shared = isinstance(processors, nn.Parameter) and isinstance(readouts, nn.Parameter)
        if torch.is_grad_enabled() or drawn or not shared:
            return make()
        settings = mode or kernel.mode, kernel.bandwidth, kernel.min_weight
        return self._graphs.get([processors, readouts], settings, make)

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
        graph, readout_graph = self.wire(design, mode, generator, graphs)
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
