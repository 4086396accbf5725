"""The three forms of a graph say the same, and whichever is drawn trains the same."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import nacgraph.graph.kernel
from nacgraph.graph.forms import EdgeGraph, FullGraph, Graph, SampledGraph, isolated, mean_degree
from nacgraph.graph.kernel import SignatureKernel
from nacgraph.nn.attention import Attention

MODES = ["expected", "concrete", "hard", "threshold"]


@pytest.fixture
def draw_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small graphs too are drawn as edges."""
    monkeypatch.setattr(nacgraph.graph.kernel, "DRAW_EDGES", 0)


def as_mask(graph: Graph) -> SampledGraph:
    return SampledGraph(graph.probability, graph.log_weight, graph.mask)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("readouts", [False, True])
def test_edges_are_the_mask(
    draw_edges: None, generator: torch.Generator, mode: str, lead: tuple[int, ...], readouts: bool
) -> None:
    senders = torch.randn(*lead, 12, 3, generator=generator, dtype=torch.float64).requires_grad_()
    few = torch.randn(*lead, 5, 3, generator=generator, dtype=torch.float64).requires_grad_()
    kernel = SignatureKernel(0.8, mode=mode, min_weight=0.3)
    pair = (few, senders) if readouts else (senders,)
    graph = kernel(*pair, generator=generator)
    assert isinstance(graph, EdgeGraph)
    receivers = 5 if readouts else 12
    assert (graph.num_receivers, graph.num_senders) == (receivers, 12)
    assert graph.samples == (3 if lead else None) and graph.per_sample == bool(lead)
    plain = as_mask(graph)
    assert plain.mask.shape == (*lead, receivers, 12)
    assert graph.density == pytest.approx(plain.density) and 0 < graph.density < 1
    assert torch.equal(graph.senders_of_each(), plain.senders_of_each())
    for one, other in zip(graph.edges(), plain.edges(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(graph.rows.rowptr, plain.rows.rowptr)
    assert graph.rows.longest == plain.rows.longest
    inputs = [
        torch.randn(3, n, 2, 4, generator=generator, dtype=torch.float64).requires_grad_()
        for n in (receivers, 12, 12)
    ]
    learned = list(inputs) if mode == "threshold" else [*inputs, senders]
    results: list[list[Tensor]] = []
    for backend, one in (("fused", graph), ("scatter", graph), ("dense", graph), ("dense", plain)):
        out = Attention(backend)(*inputs, one)
        results.append([out, *torch.autograd.grad(out.pow(2).sum(), learned, retain_graph=True)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
    if mode != "threshold":
        assert results[0][-1].abs().max() > 0


@pytest.mark.parametrize("mode", ["expected", "threshold"])
@pytest.mark.parametrize("readouts", [False, True])
def test_what_draws_nothing_is_the_same_graph(
    monkeypatch: pytest.MonkeyPatch, generator: torch.Generator, mode: str, readouts: bool
) -> None:
    s, few = torch.randn(40, 8, generator=generator), torch.randn(6, 8, generator=generator)
    found = []
    for draw in (0, 2**60):
        monkeypatch.setattr(nacgraph.graph.kernel, "DRAW_EDGES", draw)
        kernel = SignatureKernel(0.5, mode=mode, min_weight=0.1)
        found.append(kernel(few, s) if readouts else kernel(s))
    edges, mask = found
    assert torch.equal(edges.mask, mask.mask)
    kept = mask.log_weight.masked_fill(~mask.mask, 0.0)
    torch.testing.assert_close(edges.log_weight, kept)
    assert torch.equal(edges.probability, mask.probability)
    assert isolated(edges) == isolated(mask)


def test_per_sample_edges_differ_from_sample_to_sample(
    draw_edges: None, generator: torch.Generator
) -> None:
    s = torch.randn(30, 4, generator=generator)
    graph = SignatureKernel(mode="hard")(s, generator=generator, graphs=4)
    assert graph.samples == 4 and graph.probability.shape == (30, 30)
    assert not torch.equal(graph.mask[0], graph.mask[1])
    own = torch.arange(30)
    assert graph.mask[:, own, own].all()


@pytest.mark.parametrize("mode", ["concrete", "hard"])
def test_mean_degree_as_drawn_estimates_the_exact_one(
    draw_edges: None, generator: torch.Generator, mode: str
) -> None:
    s = torch.randn(400, 16, generator=generator)
    graph = SignatureKernel(mode=mode)(s, generator=generator)
    drawn = graph.mean_degree()
    p = graph.probability
    deviation = float((p * (1 - p)).sum().sqrt()) / 400
    assert abs(drawn - mean_degree(p)) < 4 * deviation
    assert graph.mean_degree() == mean_degree(p)  # exact, once P is there


def test_all_pairs_at_weight_p(generator: torch.Generator) -> None:
    s = torch.randn(7, 3, generator=generator)
    graph = SignatureKernel(1.0, mode="expected", min_weight=math.exp(-2))(s)
    assert isinstance(graph, FullGraph) and not graph.complete
    assert graph.mask.all() and graph.density == 1.0 and graph.rows.longest == 7
    torch.testing.assert_close(graph.log_weight.exp(), graph.probability)
    cut = SignatureKernel(1.0, mode="expected", min_weight=math.exp(-2) + 0.01)(s)
    assert isinstance(cut, SampledGraph)
    assert isinstance(SignatureKernel(math.inf, mode="hard")(s), FullGraph)
    assert isolated(graph) == 0 and graph.mean_degree() == mean_degree(graph.probability)


def test_many_modules_draw_edges_and_few_a_mask(generator: torch.Generator) -> None:
    kernel = SignatureKernel(mode="hard")
    few, many = (torch.randn(n, 8, generator=generator) for n in (500, 520))
    assert isinstance(kernel(few, generator=generator), SampledGraph)
    assert isinstance(kernel(many, generator=generator), EdgeGraph)
    assert isinstance(kernel(few, generator=generator, graphs=2), EdgeGraph)


@pytest.mark.parametrize("draw", [0, 2**60])
@pytest.mark.parametrize("mode", MODES)
def test_autocast_leaves_the_kernel_in_single_precision(
    monkeypatch: pytest.MonkeyPatch, draw: int, mode: str
) -> None:
    monkeypatch.setattr(nacgraph.graph.kernel, "DRAW_EDGES", draw)
    s = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    kernel = SignatureKernel(0.5, mode=mode, min_weight=0.05)
    plain = kernel(s, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = kernel(s, generator=torch.Generator().manual_seed(1))
        assert torch.equal(mixed.probability, plain.probability)
    for one, other in zip(mixed.rows[:3], plain.rows[:3], strict=True):
        assert torch.equal(one, other)
    assert mixed.rows.log_weight.dtype == torch.float32
