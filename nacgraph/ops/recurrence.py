"""Linear recurrences along a sequence, both ways: compiled on the CPU, else by doubling."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from nacgraph.ops.threads import spread

_EXPORTED = 16  # doublings in an exported model: sequences of up to 65,536 steps


def recur_both_ways(x: Tensor, decay: Tensor) -> Tensor:
    r"""Two sets of independent linear recurrences, one from each end of the sequence.

    .. math:: h_t = a ⊙ h_{t-1} + x_t \quad\text{(first half of the channels)}, \qquad
              h_t = a ⊙ h_{t+1} + x_t \quad\text{(second half)}

    On the CPU compiled code goes over the sequence once each way. Elsewhere, and for an exporter,
    sums over 1, 2, 4, … steps are made of each other; equal up to rounding. Either keeps no more
    than its outcome for the gradient.

    Args:
        x: Inputs; outside of the sequence they count as 0.
        decay: a in [0, 1].

    Shapes:
        x (B, T, 2 D) · decay (2 D) · output (B, T, 2 D)
    """
    return _recur(x, decay) if _exporting() else _Recurrence.apply(x, decay)


def turn_both_ways(x: Tensor, gate: Tensor) -> Tensor:
    r"""Linear recurrences of complex numbers with a gate for every step, from each end.

    .. math:: h_t = g_t h_{t-1} + x_t \quad\text{(first half of the numbers)}, \qquad
              h_t = g_t h_{t+1} + x_t \quad\text{(second half)}

    Computed like :func:`recur_both_ways`. All tensors hold real parts, then imaginary parts.

    Args:
        x: Inputs; outside of the sequence they count as 0.
        gate: g, of magnitude at most 1.

    Shapes:
        x, gate, output (B, T, 4 D)
    """
    return _turn(x, gate) if _exporting() else _Turning.apply(x, gate)


def _exporting() -> bool:
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def _has_compiled_code(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


def _recur(x: Tensor, decay: Tensor) -> Tensor:
    """`recur_both_ways` by doubling."""
    (ahead, back), (first, second) = x.chunk(2, dim=-1), decay.chunk(2)
    for k in _steps(x.shape[1]):  # sums of 2^k steps, and a^(2^k)
        ahead, first = ahead + first * _shift(ahead, 1 << k), first * first
        back, second = back + second * _shift(back, -1 << k), second * second
    return torch.cat([ahead, back], dim=-1)


def _turn(x: Tensor, gate: Tensor) -> Tensor:
    """`turn_both_ways` by doubling."""
    ways = []
    for way, sign in enumerate((1, -1)):
        re, im, stay, turn = (h.chunk(2, -1)[way] for h in (*x.chunk(2, -1), *gate.chunk(2, -1)))
        for k in _steps(x.shape[1]):
            a, b, c, d = (_shift(part, sign << k) for part in (re, im, stay, turn))
            re, im = re + stay * a - turn * b, im + stay * b + turn * a
            stay, turn = stay * c - turn * d, stay * d + turn * c
        ways.append((re, im))
    return torch.cat([part for parts in zip(*ways, strict=True) for part in parts], dim=-1)


def _steps(length: int) -> range:
    """1, 2, 4, …: doubled until they reach over ``length``, which an exporter does not know."""
    return range(_EXPORTED if _exporting() else max(1, length - 1).bit_length())


def _shift(x: Tensor, steps: int) -> Tensor:
    """x (B, T, D), so many steps later, or earlier if negative; zeros come in."""
    if steps > 0:
        return F.pad(x, (0, 0, steps, 0))[:, : x.shape[1]]
    return F.pad(x, (0, 0, 0, -steps))[:, -steps:]


def _before(x: Tensor, steps: int = 1) -> Tensor:
    """What each way had come to a step before; x (B, T, …, 2 D), both ways last."""
    ahead, back = x.chunk(2, dim=-1)
    return torch.cat([_shift(ahead, steps), _shift(back, -steps)], dim=-1)


def _other_way(x: Tensor) -> Tensor:
    """Both ways exchanged: what a gradient goes."""
    return x.roll(x.shape[-1] // 2, dims=-1)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, decay: Tensor) -> Tensor:
        x, decay = x.contiguous(), decay.to(x.dtype).contiguous()
        ctx.compiled = _has_compiled_code(x)
        if ctx.compiled:
            from nacgraph.ops.numba.recurrence import recur_forward

            out = torch.empty_like(x)
            arrays = x.detach().numpy(), decay.detach().numpy(), out.numpy()
            if x.numel():
                spread(lambda first, last: recur_forward(*arrays, first, last), len(x))
        else:
            out = _recur(x, decay)
        ctx.save_for_backward(decay, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        decay, out = ctx.saved_tensors
        if not ctx.compiled:
            dx = _other_way(_recur(_other_way(upstream), _other_way(decay)))
            return dx, (dx * _before(out)).sum((0, 1))
        from nacgraph.ops.numba.recurrence import recur_backward

        upstream = upstream.contiguous()
        dx, ddecay = torch.empty_like(upstream), out.new_empty(len(out), out.shape[2])
        arrays = [t.detach().numpy() for t in (upstream, decay, out, dx, ddecay)]
        if out.numel():
            spread(lambda first, last: recur_backward(*arrays, first, last), len(out))
        return dx, ddecay.sum(0)


class _Turning(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor) -> Tensor:
        x, gate = x.contiguous(), gate.to(x.dtype).contiguous()
        ctx.compiled = _has_compiled_code(x)
        if ctx.compiled:
            from nacgraph.ops.numba.recurrence import turn_forward

            out = torch.empty_like(x)
            arrays = x.detach().numpy(), gate.detach().numpy(), out.numpy()
            if x.numel():
                spread(lambda first, last: turn_forward(*arrays, first, last), len(x))
        else:
            out = _turn(x, gate)
        ctx.save_for_backward(gate, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        gate, out = ctx.saved_tensors
        if not ctx.compiled:
            # Back along the sequence, by the conjugate of the gate that a state went through next.
            stay, turn = (_other_way(_before(part, -1)) for part in gate.chunk(2, dim=-1))
            dy = torch.cat([_other_way(part) for part in upstream.chunk(2, dim=-1)], dim=-1)
            found = _turn(dy, torch.cat([stay, -turn], dim=-1))
            d, e = (_other_way(part) for part in found.chunk(2, dim=-1))
            re, im = (_before(part) for part in out.chunk(2, dim=-1))
            dgate = torch.cat([d * re + e * im, e * re - d * im], dim=-1)
            return torch.cat([d, e], dim=-1), dgate
        from nacgraph.ops.numba.recurrence import turn_backward

        upstream = upstream.contiguous()
        dx, dgate = torch.empty_like(out), torch.empty_like(out)
        arrays = [t.detach().numpy() for t in (upstream, gate, out, dx, dgate)]
        if out.numel():
            spread(lambda first, last: turn_backward(*arrays, first, last), len(out))
        return dx, dgate
