"""Propagators and read-ins: what circuits rely on, and what the checks find in broken ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_circuit import batch_of, make
from torch import Tensor, nn

from nacgraph import NACConfig
from nacgraph.graph.forms import Graph, SampledGraph
from nacgraph.nn.attention import Attention, weighted_mean
from nacgraph.nn.conditional import ConditionalGenerator
from nacgraph.nn.generator_base import GENERATORS, BaseGenerator
from nacgraph.nn.generators import UnconditionalGenerator
from nacgraph.nn.propagators import PROPAGATORS, BasePropagator, GatedPropagator, Propagator
from nacgraph.nn.read_in import READ_INS, BaseReadIn, ReadIn
from nacgraph.testing import assert_generator, assert_propagator, assert_read_in


@pytest.mark.parametrize("backend", ["scatter", "dense", "fused"])
@pytest.mark.parametrize("name", PROPAGATORS.names())
def test_ours_keep_their_promises(name: str, backend: str, generator: torch.Generator) -> None:
    assert_propagator(
        PROPAGATORS.get(name)(10, 7, 2, 4, backend=backend, generator=generator), 10, 7
    )


def test_our_read_in_keeps_its_promises(generator: torch.Generator) -> None:
    assert READ_INS.names() == ["attention"]
    assert_read_in(ReadIn(10, 9, 7, 2, 4, generator=generator), 10, 9, 7)


def test_our_generators_keep_their_promises(generator: torch.Generator) -> None:
    assert GENERATORS.names() == ["conditional", "unconditional"]
    assert_generator(UnconditionalGenerator(5, 2, 4, 6, 8, generator=generator), 9)
    conditional = ConditionalGenerator(5, 2, 4, 6, 8, 9, width=16, heads=2, generator=generator)
    assert_generator(conditional, 9)


class Broken(Propagator):
    """A propagator with one fault, chosen by name."""

    def __init__(self, fault: str, generator: torch.Generator) -> None:
        super().__init__(10, 7, 2, 4, generator=generator)
        self.fault = fault
        self.idle = nn.Parameter(torch.zeros(3)) if fault == "gradient" else None

    def forward(self, states: Tensor, codes: Tensor, graph: Any, gates: Any = None) -> Tensor:
        out = super().forward(states, codes, graph, gates)
        if self.fault == "order":
            return out + torch.arange(out.shape[1])[:, None]
        if self.fault == "batch":
            return out + out.mean(0, keepdim=True)
        if self.fault == "isolated" and isinstance(graph, SampledGraph):
            return out / graph.mask.any(-1).double()[..., None]
        if self.fault == "leak":
            return out + states.mean(1, keepdim=True)
        if self.fault == "shape":
            return out[:, :-1]
        if self.fault == "form" and not isinstance(graph, SampledGraph):
            return out + 1
        return out

    def modulations(self, codes: Tensor) -> Any:
        gates = super().modulations(codes)
        if self.fault != "gates":
            return gates
        return (tuple(gate + codes.mean((-2, -1), keepdim=True) for gate in gates[0]), gates[1])


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("order", "modules in another order"),
        ("batch", "sample 0 alone"),
        ("isolated", "without senders: expected finite"),
        ("leak", "modules without links to module 0"),
        ("shape", r"expected shape \(3, 6, 10\), got \(3, 5, 10\)"),
        ("form", "the graph as a bias"),
        ("gates", "modulations of some modules"),
        ("gradient", r"got none for \['idle'\]"),
    ],
)
def test_a_fault_is_found(fault: str, said: str, generator: torch.Generator) -> None:
    with pytest.raises(AssertionError, match=f"^Broken: .*{said}"):
        assert_propagator(Broken(fault, generator), 10, 7)


class Leaky(UnconditionalGenerator):
    def select(self, processors: Tensor) -> UnconditionalGenerator:
        return super().select(processors.flip(0))


def test_a_fault_of_a_generator_is_found(generator: torch.Generator) -> None:
    with pytest.raises(AssertionError, match=r"select\(\[0, 4\]\)"):
        assert_generator(Leaky(5, 2, 4, 6, 8, generator=generator), 9)

    class Peeking(BaseReadIn):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(9, 10)

        def forward(self, states: Tensor, codes: Any, tokens: Tensor, *_: Any) -> Tensor:
            return states + self.layer(tokens.mean(1, keepdim=True))

    with pytest.raises(AssertionError, match="other numbers in the padding"):
        assert_read_in(Peeking(), 10, 9, 7)


def test_a_gated_state_stays_where_its_gate_is_shut(generator: torch.Generator) -> None:
    propagator = GatedPropagator(8, 5, 2, 4, generator=generator).double()
    states, codes = torch.randn(2, 6, 8).double(), torch.randn(6, 5).double()
    graph = SampledGraph(*torch.zeros(2, 6, 6).double(), torch.ones(6, 6, dtype=torch.bool))
    with torch.no_grad():
        propagator.open.bias[8:] = -50.0
        propagator.ffn.contract.weight.zero_()
    torch.testing.assert_close(propagator(states, codes, graph), states, rtol=0, atol=1e-12)
    with torch.no_grad():  # wide open, what comes is the candidate, bounded by tanh
        propagator.open.bias[8:] = 50.0
    out = propagator(states, codes, graph)
    assert out.abs().max() <= 1 < states.abs().max()


def test_parts_are_chosen_by_name() -> None:
    model = make(propagator="gated", unique_layers=1, rounds=4)
    assert [type(p) for p in model.circuit.propagators] == [GatedPropagator]
    batch, noise = batch_of([5, 3]), torch.Generator().manual_seed(0)
    model.train()(batch, noise).logits.sum().backward()
    assert all(p.grad is not None for p in model.circuit.propagators.parameters())
    for field in ("propagator", "read_in", "generator"):
        with pytest.raises(ValueError, match=f"{field}: expected one of .*got 'skmdba'"):
            make(**{field: "skmdba"})


def test_a_generator_leaves_no_wish_out_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(UnconditionalGenerator):
        from_config = classmethod(BaseGenerator.from_config.__func__)

    monkeypatch.setitem(GENERATORS._classes, "plain", Plain)
    assert make(generator="plain")(batch_of([3]), torch.Generator()).logits.shape == (1, 4)
    with pytest.raises(ValueError, match="generator: expected one that takes signatures.*Plain"):
        make(generator="plain", wiring="frozen")


def test_parts_are_passed_in() -> None:
    class Still(BasePropagator):
        def forward(self, states: Tensor, codes: Tensor, graph: Graph, gates: Any) -> Tensor:
            return states

    from nacgraph import Circuit

    model = make(rounds=3)
    old = model.circuit
    model.circuit = Circuit(old.kernel, old.read_ins[0], Still(), old.read_out, rounds=3)
    batch = batch_of([5, 3])
    with torch.no_grad():
        out = model.eval()(batch)
        once = Circuit(old.kernel, old.read_ins[0], Still(), old.read_out, rounds=1)
        design = model.design(batch, batch.tokens, batch.mask)
        assert torch.equal(
            out.states, once(batch.tokens, design, batch.mask, mode="expected").states
        )


def test_registered_parts_have_an_interface() -> None:
    for registry, base in (
        (PROPAGATORS, BasePropagator),
        (READ_INS, BaseReadIn),
        (GENERATORS, BaseGenerator),
    ):
        for name in registry.names():
            assert issubclass(registry.get(name), base)
            registry.get(name).from_config(NACConfig(), generator=torch.Generator())


@pytest.mark.parametrize("backend", ["scatter", "dense", "fused"])
def test_a_weighted_mean_is_one(backend: str) -> None:
    mask = torch.rand(2, 5, 5) < 0.5
    mask[0, 3] = False
    log_weight = torch.randn(2, 5, 5).double()
    graph = SampledGraph(log_weight.exp(), log_weight, mask)
    value = torch.randn(2, 5, 3).double()
    weight = log_weight.exp() * mask
    wanted = weight @ value / weight.sum(-1, keepdim=True).clamp_min(1e-300)
    found = weighted_mean(value, graph, Attention(backend))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    assert found[0, 3].eq(0).all()
