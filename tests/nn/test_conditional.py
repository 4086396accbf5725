"""The conditional generator: every sample its own circuit, and none of another's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_circuit import batch_of, make
from torch import Tensor

from nacgraph.graph.design import CircuitDesign
from nacgraph.nn.conditional import ConditionalGenerator

U, OUT, S, K, D, T = 6, 3, 4, 5, 8, 7


def generator(seed: int = 0) -> ConditionalGenerator:
    noise = torch.Generator().manual_seed(seed)
    return ConditionalGenerator(U, OUT, S, K, D, T, width=12, heads=3, generator=noise).double()


def tensors(design: CircuitDesign) -> list[Tensor]:
    return list(design.descriptors().values())


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def test_shapes_and_seed() -> None:
    design = generator()(tokens(2, 5, T))
    assert design.conditional and (design.num_processors, design.num_readouts) == (U, OUT)
    assert [tuple(t.shape) for t in tensors(design)] == [
        (2, U, S),
        (2, U, K),
        (2, U, D),
        (2, OUT, S),
        (2, OUT, K),
        (2, OUT, D),
    ]
    again, other = generator()(tokens(2, 5, T)), generator(1)(tokens(2, 5, T))
    assert all(map(torch.equal, tensors(design), tensors(again)))
    assert not torch.equal(design.processor_codes, other.processor_codes)


@settings(max_examples=15)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=4))
def test_a_sample_is_designed_as_alone(lengths: list[int]) -> None:
    make_design = generator()
    longest = max(1, *lengths)
    given_tokens = tokens(len(lengths), longest, T)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    together = make_design(given_tokens, mask)
    for row, length in enumerate(lengths):
        kept = max(1, length)
        alone = make_design(given_tokens[row : row + 1, :kept], mask[row : row + 1, :kept])
        for mine, all_ in zip(tensors(alone), tensors(together), strict=True):
            assert torch.isfinite(mine).all()
            torch.testing.assert_close(mine[0], all_[row], rtol=0, atol=1e-12)


def test_sample_i_never_sees_sample_j() -> None:
    model = make(graphs="per_sample").train()
    make_design = generator()
    condition = tokens(3, 5, T).requires_grad_()
    batch = batch_of([5, 3, 6])
    batch.tokens.requires_grad_()
    out = model.circuit(
        batch.tokens, make_design(condition), batch.mask, torch.Generator().manual_seed(0)
    )
    out.logits[1].square().sum().backward()
    for grad in (condition.grad, batch.tokens.grad):
        assert grad is not None
        assert not grad[[0, 2]].any() and grad[1].any()


def test_other_conditions_make_other_circuits() -> None:
    model, make_design, batch = make().eval(), generator(), batch_of([5, 3])
    one, two = (
        model.circuit(
            batch.tokens, make_design(tokens(2, 5, T, seed=seed)), batch.mask, mode="expected"
        )
        for seed in (0, 1)
    )
    assert one.link.shape == (2, U, U)
    assert not torch.allclose(one.link[0], one.link[1])
    assert not torch.allclose(one.logits, two.logits)


def test_pruning_keeps_what_the_others_are() -> None:
    make_design, condition = generator(), tokens(2, 5, T)
    kept = torch.tensor([1, 4])
    once = make_design.select(kept)
    for mine, wanted in zip(
        tensors(once(condition)), tensors(make_design(condition).select(kept)), strict=True
    ):
        torch.testing.assert_close(mine, wanted, rtol=0, atol=1e-12)
    assert once.select(torch.tensor([1])).kept.tolist() == [4]
    assert make_design.kept.tolist() == list(range(U))


def test_every_weight_learns() -> None:
    make_design = generator()
    design = make_design(tokens(2, 5, T))
    sum(t.square().sum() * k for k, t in enumerate(tensors(design), 1)).backward()
    assert all(p.grad is not None and p.grad.any() for p in make_design.parameters())


def test_wrong_sizes_are_named() -> None:
    noise = torch.Generator()
    for wrong, message in (
        ({"processors": 0}, "processors: expected at least 1, got 0"),
        ({"readouts": 0}, "readouts: expected at least 1, got 0"),
        ({"heads": 5}, "heads: expected a divisor of width 12, got 5"),
    ):
        sizes = {"processors": U, "readouts": OUT, "width": 12, "heads": 3, **wrong}
        with pytest.raises(ValueError, match=message):
            ConditionalGenerator(
                signature_dim=S, code_dim=K, dim=D, condition_dim=T, generator=noise, **sizes
            )
