"""Compiled passes over the states against PyTorch's operators."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import nacgraph.ops.pointwise as pointwise
from nacgraph.ops.pointwise import gated, gated_geglu, gated_norm

NORM = nn.LayerNorm(6)
OPERATIONS: dict[str, Callable[..., list[Tensor]]] = {
    "gated": lambda x, *gates: [gated(x, gates[0])],
    "one norm": lambda x, *gates: gated_norm(x, NORM, gates[:1]),
    "three norms": lambda x, *gates: gated_norm(x, NORM, gates),
    "geglu": lambda x, *gates: [gated_geglu(x, gates[0])],
}


@pytest.fixture(autouse=True)
def _norm() -> None:
    generator = torch.Generator().manual_seed(0)
    for parameter in NORM.parameters():
        nn.init.normal_(parameter, generator=generator)


def results(
    name: str, worth: int, inputs: list[Tensor], upstream: torch.Generator | None = None
) -> list[Tensor]:
    """Outputs and all gradients, by compiled code if ``worth`` is 0."""
    before, pointwise.WORTH = pointwise.WORTH, worth
    try:
        outs = OPERATIONS[name](*inputs)
        upstream = upstream or torch.Generator().manual_seed(1)
        slopes = [torch.randn(x.shape, generator=upstream).to(x.dtype) for x in outs]
        leaves = [*inputs, *NORM.parameters()]
        gradients = torch.autograd.grad(outs, leaves, slopes, allow_unused=True)
    finally:
        pointwise.WORTH = before
    return [*outs, *(g for g in gradients if g is not None)]


def inputs_of(
    name: str, lead: tuple[int, ...], gate_lead: tuple[int, ...], dtype: torch.dtype, seed: int
) -> list[Tensor]:
    NORM.to(torch.float64 if dtype == torch.float64 else torch.float32)
    generator = torch.Generator().manual_seed(seed)
    width = 12 if name == "geglu" else 6
    shapes = [(*lead, 5, width), *[(*gate_lead, 5, 6)] * 3]
    drawn = [3 * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    gates = [g.to(torch.float64 if dtype == torch.float64 else torch.float32) for g in drawn[1:]]
    return [x.requires_grad_() for x in (drawn[0].to(dtype), *gates)]


@given(
    name=st.sampled_from(sorted(OPERATIONS)),
    seed=st.integers(0, 1000),
    leads=st.sampled_from(
        [
            ((), ()),
            ((3,), ()),
            ((3,), (1,)),
            ((3,), (3,)),
            ((3, 2), ()),
            ((3, 2), (3, 1)),
            # Left to PyTorch's operators: no order of copies serves these.
            ((3, 2), (1, 2)),
            ((1,), (3,)),
            ((), (3,)),
        ]
    ),
    dtype=st.sampled_from([torch.float64, torch.float32]),
)
@settings(max_examples=60)
def test_compiled_equals_pytorch(
    name: str, seed: int, leads: tuple[tuple[int, ...], tuple[int, ...]], dtype: torch.dtype
) -> None:
    inputs = inputs_of(name, *leads, dtype, seed)
    tight = dtype == torch.float64
    tolerance = {"rtol": 1e-12, "atol": 1e-12} if tight else {"rtol": 1e-4, "atol": 1e-4}
    found, wanted = results(name, 0, inputs), results(name, 2**60, inputs)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == dtype and one.shape == other.shape
        torch.testing.assert_close(one, other, **tolerance)


def test_gelu_is_the_exact_one_to_single_precision() -> None:
    inner = torch.linspace(-12, 12, 100_001).view(-1, 1, 1)
    hidden = torch.cat([torch.ones_like(inner), inner], -1)
    before, pointwise.WORTH = pointwise.WORTH, 0
    try:
        found = gated_geglu(hidden, torch.ones(1, 1))
    finally:
        pointwise.WORTH = before
    exact = nn.functional.gelu(inner.double())
    assert (found.double() - exact).abs().max() < 2e-6
    assert ((found.double() - exact).abs() / (1 + inner.abs())).max() < 2e-7


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_autocast_writes_what_the_next_product_reads(name: str) -> None:
    inputs = inputs_of(name, (3,), (), torch.float32, 0)
    wanted = results(name, 2**60, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        found = results(name, 0, inputs)
    outs = 3 if name == "three norms" else 1
    assert all(x.dtype == torch.bfloat16 for x in found[:outs])
    assert all(x.dtype == torch.float32 for x in found[outs:])
    # Rounded once: to nearest even, as PyTorch rounds.
    for one, other in zip(found[:outs], wanted[:outs], strict=True):
        torch.testing.assert_close(one, other.bfloat16(), rtol=2**-8, atol=1e-6)
    for one, other in zip(found[outs:], wanted[outs:], strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.1)


def test_rounding_to_bfloat16_is_pytorchs() -> None:
    x = torch.randn(7, 3, 6, generator=torch.Generator().manual_seed(0)) * 1e3
    before, pointwise.WORTH = pointwise.WORTH, 0
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(gated(x, torch.ones(3, 6)), x.bfloat16())
        short = x.bfloat16()
        assert torch.equal(gated(short, torch.ones(3, 6)), short)
    finally:
        pointwise.WORTH = before


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_no_thread_count_changes_a_bit(name: str) -> None:
    inputs = inputs_of(name, (4,), (), torch.float32, 0)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(results(name, 0, inputs))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
