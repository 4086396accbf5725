"""Pruning removes modules: the same answers as cutting them off, with nothing of them left."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_circuit import batch_of, make
from torch import Tensor

from nacgraph import NAC
from nacgraph.graph.forms import Graph, SampledGraph
from nacgraph.models.pruning import ORDERS, expected_degrees, kept_count, prune, ranking

BATCH = batch_of([5, 3, 7])


def cut_off(model: NAC, dropped: list[int]) -> NAC:
    """A copy in which nobody but themselves hears the dropped modules."""
    masked = copy.deepcopy(model)

    def without(graph: Graph, own: bool) -> Graph:
        mask = graph.mask.clone()
        mask[..., dropped] = False
        if own:
            mask |= torch.eye(mask.shape[-1], dtype=torch.bool)
        else:  # a read-out keeps its most probable sender, whichever is left
            left = graph.probability.clone()
            left[..., dropped] = -1
            best = torch.nn.functional.one_hot(left.argmax(-1), left.shape[-1]).bool()
            mask |= best & ~mask.any(-1, keepdim=True)
        return SampledGraph(graph.probability, graph.log_weight.expand(mask.shape), mask)

    wire = masked.circuit.wire

    def wired(*arguments: object) -> tuple[Graph, Graph]:
        among, out = wire(*arguments)  # type: ignore[arg-type]
        return tuple(without(graph, own=True) for graph in among), without(out, own=False)

    masked.circuit.wire = wired  # type: ignore[method-assign, assignment]
    return masked


@torch.no_grad()
def answer(model: NAC) -> Tensor:
    return model.eval()(BATCH).logits


@pytest.mark.parametrize("eval_mode", ["expected", "threshold"])
@pytest.mark.parametrize("wiring", ["learned", "complete"])
@pytest.mark.parametrize("bandwidth", [0.3, 1.0])
@pytest.mark.parametrize("dropped", [[], [0], [5], [1, 2, 4], [0, 1, 2, 3, 4]])
def test_removing_equals_masking(
    wiring: str, bandwidth: float, eval_mode: str, dropped: list[int]
) -> None:
    model = make(
        modules=6, rounds=3, read_every=2, wiring=wiring, bandwidth=bandwidth, eval_mode=eval_mode
    )
    kept = [m for m in range(6) if m not in dropped]
    small = prune(model, kept)
    torch.testing.assert_close(answer(small), answer(cut_off(model, dropped)), rtol=0, atol=1e-10)
    if not dropped:
        assert torch.equal(answer(small), answer(model))


def test_modules_are_gone_and_the_original_is_untouched() -> None:
    model = make(modules=6)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    whole = answer(model)
    small = prune(model, torch.tensor([4, 1]))
    assert small.config.modules == 2 and model.config.modules == 6
    design = small.generator()
    assert design.num_processors == 2 and design.num_readouts == model.config.readouts
    assert torch.equal(design.processor_codes, model.generator.processor_codes[[1, 4]])
    assert sum(p.numel() for p in model.parameters()) - sum(
        p.numel() for p in small.parameters()
    ) == 4 * (model.config.signature_dim + model.config.code_dim)
    small.register_forward_hook(lambda *_: pytest.fail("a hook of the copy ran on the original"))
    with torch.no_grad():
        for p in small.parameters():
            p.zero_()
    after = model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert torch.equal(answer(model), whole)


def test_a_pruned_circuit_learns_on() -> None:
    small = prune(make(modules=6), [0, 2, 3]).train()
    small(BATCH, torch.Generator().manual_seed(0)).logits.square().sum().backward()
    assert small.generator.processor_codes.grad is not None
    assert bool(small.generator.processor_codes.grad.any())
    assert [n for n, p in small.named_parameters()] == [n for n, p in make().named_parameters()]


def test_pruning_twice_is_pruning_once() -> None:
    model = make(modules=6).double()
    assert torch.equal(
        answer(prune(prune(model, [0, 2, 3, 5]), [1, 3])), answer(prune(model, [2, 5]))
    )


@pytest.mark.parametrize("kept", [[], [0, 0], [6], [-1], [[0]]])
def test_wrong_modules_are_named(kept: list[int]) -> None:
    with pytest.raises(ValueError, match="^kept: expected .*, got"):
        prune(make(modules=6), kept)


@given(st.integers(1, 2000), st.floats(0.001, 1))
def test_a_share_keeps_at_least_one_and_rises(modules: int, keep: float) -> None:
    count = kept_count(modules, keep)
    assert 1 <= count <= modules and abs(count - keep * modules) <= 1
    assert kept_count(modules, 1.0) == modules
    assert kept_count(modules, keep / 2) <= count


@pytest.mark.parametrize("keep", [0, -1, 1.01, float("nan")])
def test_a_share_out_of_range(keep: float) -> None:
    with pytest.raises(ValueError, match="keep: expected a share in"):
        kept_count(8, keep)


def star(n: int, centre: int) -> Tensor:
    link = torch.eye(n)
    link[centre], link[:, centre] = 0.9, 0.9
    return link.fill_diagonal_(1.0)


def test_orders() -> None:
    link = star(5, centre=3)
    torch.testing.assert_close(expected_degrees(link), torch.tensor([0.9, 0.9, 0.9, 3.6, 0.9]))
    assert ranking("degree", link).tolist() == [3, 0, 1, 2, 4]
    cost = torch.tensor([0.1, 0.5, -0.2, 0.0, 0.5])
    assert ranking("contribution", link, contribution=cost).tolist() == [1, 4, 0, 3, 2]
    one, again, other = (ranking("random", link, seed=seed).tolist() for seed in (1, 1, 2))
    assert one == again != other and sorted(one) == [0, 1, 2, 3, 4]


@given(st.integers(1, 12), st.integers(0, 99))
@settings(max_examples=30)
def test_relabelling_modules_relabels_the_degree_order(n: int, seed: int) -> None:
    noise = torch.Generator().manual_seed(seed)
    link = torch.rand(n, n, generator=noise)
    link = ((link + link.T) / 2).fill_diagonal_(1.0)
    # Modules of equal degree stay in the order in which they come.
    assume(len(expected_degrees(link).unique()) == n)
    order = torch.randperm(n, generator=noise)
    assert torch.equal(order[ranking("degree", link[order][:, order])], ranking("degree", link))


def test_wrong_orders_and_scores() -> None:
    with pytest.raises(
        ValueError, match="order: expected one of degree, random, contribution, got"
    ):
        ranking("size", torch.eye(3))
    for wrong in (None, torch.zeros(2)):
        with pytest.raises(ValueError, match=r"contribution: expected one number a module, \(3,\)"):
            ranking("contribution", torch.eye(3), contribution=wrong)
    with pytest.raises(ValueError, match="link: expected a square matrix"):
        expected_degrees(torch.zeros(2, 3))
    assert ORDERS == ("degree", "random", "contribution")
