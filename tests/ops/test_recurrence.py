"""Linear recurrences both ways: the compiled pass, its gradient, and sums by doubling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nacgraph.nn.sequence import LinearMemory, SelectiveMemory
from nacgraph.ops import recurrence
from nacgraph.ops.recurrence import recur_both_ways, turn_both_ways


def step_by_step(x: Tensor, decay: Tensor) -> Tensor:
    length, half = x.shape[1], x.shape[2] // 2
    ahead, back = [torch.zeros_like(x[:, 0, :half])], [torch.zeros_like(x[:, 0, half:])]
    for t in range(length):
        ahead.append(decay[:half] * ahead[-1] + x[:, t, :half])
        back.append(decay[half:] * back[-1] + x[:, length - 1 - t, half:])
    return torch.cat([torch.stack(ahead[1:], 1), torch.stack(back[:0:-1], 1)], -1)


def inputs(batch: int, length: int, half: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, length, 2 * half, generator=generator, dtype=torch.float64)
    decay = torch.rand(2 * half, generator=generator, dtype=torch.float64)
    return x.requires_grad_(), decay.requires_grad_()


def doubled(recur: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recurrence, "_has_compiled_code", lambda x: False)
        return recur(*arguments)


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(1, 100), st.integers(1, 4), st.integers(0, 99))
def test_all_ways_agree(batch: int, length: int, half: int, seed: int) -> None:
    x, decay = inputs(batch, length, half, seed)
    wanted = step_by_step(x, decay)
    upstream = torch.randn_like(wanted)
    gradients = torch.autograd.grad(wanted, [x, decay], upstream)
    for found in (recur_both_ways(x, decay), doubled(recur_both_ways, x, decay)):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
        for a, b in zip(torch.autograd.grad(found, [x, decay], upstream), gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


def test_gradients_are_right() -> None:
    assert torch.autograd.gradcheck(recur_both_ways, inputs(2, 6, 2))


def test_decays_of_0_and_1_are_the_inputs_and_their_sums() -> None:
    x, _ = inputs(2, 9, 3)
    for way in (recur_both_ways, partial(doubled, recur_both_ways)):
        assert torch.equal(way(x, torch.zeros(6, dtype=torch.float64)), x)
        sums = way(x, torch.ones(6, dtype=torch.float64))
        torch.testing.assert_close(sums[..., :3], x[..., :3].cumsum(1))
        torch.testing.assert_close(sums[..., 3:], x[..., 3:].flip(1).cumsum(1).flip(1))


@pytest.mark.parametrize("turning", [False, True])
def test_no_thread_count_changes_a_number(turning: bool) -> None:
    recur, arguments = (
        (turn_both_ways, gated(5, 40, 3)) if turning else (recur_both_ways, inputs(5, 40, 3))
    )
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            out = recur(*arguments)
            found.append([out, *torch.autograd.grad(out.square().sum(), arguments)])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_memory_has_time_scales_from_one_token_to_the_longest() -> None:
    memory = LinearMemory(5, 10_000, generator=torch.Generator().manual_seed(0))
    scales = (-memory.log_rate).exp().tolist()
    assert scales[:5] == pytest.approx([1, 10, 100, 1000, 10_000], rel=1e-4)
    assert scales[:5] == scales[5:]
    # Inputs of variance 1 give states of variance 1, whatever the time scale.
    x = torch.randn(4, 20_000, 10, generator=torch.Generator().manual_seed(1))
    rate = memory.log_rate.detach().exp()
    states = recur_both_ways(x * torch.expm1(-2 * rate).neg().sqrt(), torch.exp(-rate))
    assert states[:, ::7, :4].std((0, 1)) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kind", [LinearMemory, SelectiveMemory])
@pytest.mark.parametrize("longest", [0.5, -3, float("nan")])
def test_a_memory_of_less_than_a_token_is_refused(longest: float, kind: type) -> None:
    with pytest.raises(ValueError, match="memory must be 0 or at least 1 token"):
        kind(4, longest, generator=torch.Generator())


def gated(batch: int, length: int, half: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, length, 2 * half)
    x = torch.randn(batch, length, 4 * half, generator=generator, dtype=torch.float64)
    decay = torch.rand(shape, generator=generator, dtype=torch.float64)
    angle = 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    gate = torch.cat([decay * angle.cos(), decay * angle.sin()], -1)
    return x.requires_grad_(), gate.requires_grad_()


def number_by_number(x: Tensor, gate: Tensor) -> Tensor:
    length, half = x.shape[1], x.shape[2] // 4
    x, gate = (torch.complex(*t.chunk(2, -1)) for t in (x, gate))
    ahead, back = [torch.zeros_like(x[:, 0, :half])], [torch.zeros_like(x[:, 0, half:])]
    for t in range(length):
        end = length - 1 - t
        ahead.append(gate[:, t, :half] * ahead[-1] + x[:, t, :half])
        back.append(gate[:, end, half:] * back[-1] + x[:, end, half:])
    out = torch.cat([torch.stack(ahead[1:], 1), torch.stack(back[:0:-1], 1)], -1)
    return torch.cat([out.real, out.imag], -1)


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(1, 100), st.integers(1, 3), st.integers(0, 99))
def test_all_ways_of_turning_agree(batch: int, length: int, half: int, seed: int) -> None:
    arguments = gated(batch, length, half, seed)
    wanted = number_by_number(*arguments)
    upstream = torch.randn_like(wanted)
    gradients = torch.autograd.grad(wanted, arguments, upstream)
    for found in (turn_both_ways(*arguments), doubled(turn_both_ways, *arguments)):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
        for a, b in zip(torch.autograd.grad(found, arguments, upstream), gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


def test_gradients_of_turning_are_right() -> None:
    assert torch.autograd.gradcheck(turn_both_ways, gated(2, 6, 1))


def test_gates_that_turn_a_tenth_for_every_one_add_modulo_ten() -> None:
    digits = torch.randint(0, 10, (4, 30), generator=torch.Generator().manual_seed(0)).double()
    tenth = 2 * torch.pi / 10
    gate = torch.stack([torch.cos(tenth * digits), torch.sin(tenth * digits)], -1)
    x = torch.zeros(4, 30, 4, dtype=torch.float64)
    x[:, 0, 0] = 1  # turned by all digits after the first
    states = turn_both_ways(x, gate.repeat_interleave(2, -1))
    turned = torch.atan2(states[:, -1, 2], states[:, -1, 0]) / tenth
    assert torch.equal(turned.round() % 10, digits[:, 1:].sum(1) % 10)


def test_a_selective_memory_starts_with_the_time_scales_of_a_linear_one() -> None:
    memory = SelectiveMemory(8, 1000, generator=torch.Generator().manual_seed(0))
    scales = (-1 / memory.keep_bias.sigmoid().log()).tolist()
    assert scales[:4] == pytest.approx([1, 10, 100, 1000], rel=1e-3)
    assert scales[:4] == scales[4:]
    assert not memory.turn.weight[0::2].any() and memory.turn.weight[1::2].all()


def test_a_selective_memory_needs_numbers_for_both_ways() -> None:
    with pytest.raises(ValueError, match="dim must be a multiple of 4 .* got 6"):
        SelectiveMemory(6, 10, generator=torch.Generator())
