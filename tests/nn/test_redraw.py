"""Edges drawn anew in every round, as the paper's release does, beside once a call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from naive_model import NaiveNAC, dense_links
from small_circuit import batch_of, make
from torch import Tensor

import nacgraph.graph.kernel
from nacgraph.graph.forms import EdgeGraph, SampledGraph
from nacgraph.graph.kernel import SignatureKernel


@pytest.fixture(params=["mask", "edges"])
def sampler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Both samplers: the one over all pairs, and the one that draws edges."""
    pairs = 0 if request.param == "edges" else 2**30
    monkeypatch.setattr(nacgraph.graph.kernel, "DRAW_EDGES", pairs)
    yield request.param


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("mode", ["concrete", "hard"])
@pytest.mark.parametrize("graphs", ["shared", "per_sample"])
def test_every_round_has_a_graph_of_its_own(sampler: str, mode: str, graphs: str) -> None:
    model = make(redraw="each_round", rounds=4, mode=mode, graphs=graphs, modules=24).train()
    out = model(batch_of([5, 3]), noise())
    assert len(out.graphs) == 4
    kind = SampledGraph if sampler == "mask" else EdgeGraph
    assert all(isinstance(graph, kind) for graph in out.graphs)
    masks = [graph.mask for graph in out.graphs]
    assert all(not torch.equal(a, b) for a, b in zip(masks, masks[1:], strict=False))
    # One P for all, with a gradient from every round.
    assert torch.equal(out.graphs[0].probability, out.graphs[3].probability)
    out.logits.sum().backward()
    assert model.generator.processor_signatures.grad.abs().sum() > 0


def test_once_is_what_it_was_and_modes_without_noise_draw_once(sampler: str) -> None:
    batch = batch_of([5, 3])
    for mode in ("expected", "threshold"):
        one, other = (make(redraw=r, eval_mode=mode).eval() for r in ("once", "each_round"))
        assert torch.equal(one(batch).logits, other(batch).logits)
        assert len(other(batch).graphs) == 1
    # The first graph of a call that draws anew is the one that it would draw once.
    one, other = (make(redraw=r, rounds=1).train() for r in ("once", "each_round"))
    assert torch.equal(one(batch, noise()).logits, other(batch, noise()).logits)


def test_rounds_are_independent(sampler: str) -> None:
    """Links of two rounds agree as often as independent draws do, and each at its rate P."""
    signatures = torch.nn.functional.normalize(torch.randn(40, 3), dim=-1)
    kernel = SignatureKernel(bandwidth=1.0, mode="hard")
    first, second, probability = [], [], None
    for seed in range(60):
        one, other = kernel.draws(2, signatures, generator=noise(seed))
        first.append(one.mask)
        second.append(other.mask)
        probability = one.probability
    assert probability is not None
    pairs = torch.triu_indices(40, 40, 1)
    a, b = (torch.stack(m).double()[:, pairs[0], pairs[1]] for m in (first, second))
    p = probability[pairs[0], pairs[1]].double()
    expected, spread = (p * p).sum(), (60 * (p * p * (1 - p * p)).sum()).sqrt()
    both = (a * b).sum()
    assert abs(both - 60 * expected) < 4 * spread
    rate, wide = a.sum() + b.sum(), (120 * (p * (1 - p)).sum()).sqrt()
    assert abs(rate - 120 * p.sum()) < 4 * wide


@pytest.mark.parametrize("backend", ["scatter", "dense", "fused"])
def test_every_backend_runs_each_rounds_graph(backend: str) -> None:
    """The answer is that of the naive model, told the graph of every round."""
    model = make(redraw="each_round", rounds=3, backend=backend, mode="hard").train()
    batch = batch_of([5, 3])
    out = model(batch, noise(2))
    links = [dense_links(graph) for graph in out.graphs]
    naive = NaiveNAC(model).run(batch, links, dense_links(out.readout_graph))
    torch.testing.assert_close(out.logits, naive, rtol=0, atol=1e-9)
    wrong = NaiveNAC(model).run(batch, links[::-1], dense_links(out.readout_graph))
    assert (wrong - naive).abs().max() > 1e-6


def test_a_round_can_be_lesioned_and_pruned() -> None:
    from nacgraph.models.pruning import prune

    model = make(redraw="each_round", eval_mode="expected").eval()
    small: Tensor = prune(model, [0, 2, 5])(batch_of([4])).logits
    assert torch.isfinite(small).all()


def test_the_choice_is_checked() -> None:
    with pytest.raises(ValueError, match="redraw: expected one of once, each_round, got 'always'"):
        make(redraw="always")
