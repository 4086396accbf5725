"""What surrounds the matrix products, gates included, in one pass over the states each way.

On the CPU and from :data:`WORTH` numbers on, compiled code (Numba) does it; otherwise PyTorch's
operators do, with equal results up to rounding. Under autocast to bfloat16 the compiled code
computes in float32 and writes bfloat16, as the products that follow want it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nacgraph.ops.threads import spread

WORTH = 2**17  # numbers from which a pass takes longer than calling compiled code
CHUNKS = 16  # of modules, each with gradients of LayerNorm's parameters of its own


def gated(x: Tensor, gate: Tensor) -> Tensor:
    """x ⊙ gate.

    Shapes:
        x (..., U, D) · gate (U, D), or (B, ..., U, D) with axes of size 1 where x is larger
    """
    if not _compiled(x, gate):
        return x * gate
    return _Gated.apply(*_aligned(x, gate), _low_precision(x), False).view(x.shape)


def gated_norm(x: Tensor, norm: nn.LayerNorm, gates: Sequence[Tensor]) -> list[Tensor]:
    """LayerNorm(x) ⊙ gate for each of up to three gates; shapes as :func:`gated`."""
    if not _compiled(x, *gates):
        normed = norm(x)
        return [normed * gate for gate in gates]
    x = x.float() if x.dtype == torch.bfloat16 else x
    states = _aligned(x, gates[0])[0]
    aligned = [_aligned(x, gate)[1] for gate in gates]
    outs = _GatedNorm.apply(states, norm.weight, norm.bias, norm.eps, _low_precision(x), *aligned)
    return [out.view(x.shape) for out in outs]


def gated_geglu(hidden: Tensor, gate: Tensor) -> Tensor:
    """a ⊙ GELU(b) ⊙ gate for hidden = [a, b] along the last axis; shapes as :func:`gated`."""
    if not _compiled(hidden, gate):
        value, inner = hidden.chunk(2, dim=-1)
        return value * F.gelu(inner) * gate
    out = _Gated.apply(*_aligned(hidden, gate), _low_precision(hidden), True)
    return out.view(*hidden.shape[:-1], gate.shape[-1])


def _compiled(x: Tensor, *gates: Tensor) -> bool:
    # Compilers first: a question about a size that is free would fix it.
    return (
        not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and x.device.type == "cpu"
        and x.numel() >= WORTH
        and x.dtype in (torch.float32, torch.float64, torch.bfloat16)
        and all(_leads(gate.shape[:-2], x.shape[:-2]) for gate in gates)
    )


def _leads(gate: tuple[int, ...], x: tuple[int, ...]) -> bool:
    """Whether a gate's leading axes are x's first ones, and 1 from there on."""
    own = next((n for n, (a, b) in enumerate(zip(gate, x, strict=False)) if a != b), len(gate))
    fits = len(gate) == len(x) or all(size == 1 for size in gate)
    return fits and all(size == 1 for size in gate[own:])


def _low_precision(x: Tensor) -> bool:
    """Whether results are to be bfloat16: as autocast would have them, or as they came."""
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") == torch.bfloat16 and x.dtype != torch.float64
    return x.dtype == torch.bfloat16


def _aligned(x: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
    """x as (L, U, ·) and its gate as (G, U, ·), copy l of x being gated by l·G // L."""
    x = x.contiguous().view(-1, *x.shape[-2:])
    gate = gate.double() if x.dtype == torch.float64 else gate.float()
    return x, gate.contiguous().view(-1, *gate.shape[-2:])


def _array(x: Tensor) -> np.ndarray:
    x = x.detach()
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


def _result(like: Tensor, width: int, low: bool) -> Tensor:
    dtype = torch.bfloat16 if low else like.dtype
    return torch.empty(*like.shape[:-1], width, dtype=dtype)


class _Gated(torch.autograd.Function):
    """x ⊙ gate, or with ``geglu`` a ⊙ GELU(b) ⊙ gate for x = [a, b]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gates: Tensor, low: bool, geglu: bool) -> Tensor:
        from nacgraph.ops.numba import pointwise as compiled

        kernel = compiled.geglu_forward if geglu else compiled.gate_forward
        out = _result(x, gates.shape[-1], low)
        arrays = _array(x), _array(gates), _array(out)
        spread(lambda first, last: kernel(*arrays, first, last), x.shape[1])
        ctx.save_for_backward(x, gates)
        ctx.geglu = geglu
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        from nacgraph.ops.numba import pointwise as compiled

        kernel = compiled.geglu_backward if ctx.geglu else compiled.gate_backward
        x, gates = ctx.saved_tensors
        dx, dgates = torch.empty_like(x), torch.empty_like(gates)
        arrays = [_array(t) for t in (x, gates, upstream.contiguous(), dx, dgates)]
        spread(lambda first, last: kernel(*arrays, first, last), x.shape[1])
        return dx, dgates, None, None


class _GatedNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, low: bool, *gates: Tensor
    ) -> tuple[Tensor, ...]:
        from nacgraph.ops.numba.pointwise import norm_forward

        outs = [_result(x, x.shape[-1], low) for _ in gates]
        mean, rstd = x.new_empty(x.shape[:2]), x.new_empty(x.shape[:2])
        arrays = _array(x), _array(weight), _array(bias), _array(x).dtype.type(eps)
        rest = _three(gates), len(gates), _three(outs), _array(mean), _array(rstd)
        spread(lambda first, last: norm_forward(*arrays, *rest, first, last), x.shape[1])
        ctx.save_for_backward(x, weight, bias, mean, rstd, *gates)
        return tuple(outs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        from nacgraph.ops.numba.pointwise import norm_backward

        x, weight, bias, mean, rstd, *gates = ctx.saved_tensors
        dx, dgates = torch.empty_like(x), [torch.empty_like(gate) for gate in gates]
        chunks = min(CHUNKS, x.shape[1])
        dweight, dbias = (x.new_empty(chunks, x.shape[2]) for _ in range(2))
        upstream = tuple(dy.contiguous() for dy in upstream)
        arrays = _array(x), _array(weight), _array(bias), _three(gates), len(gates)
        rest = _three(upstream), *map(_array, (mean, rstd, dx)), _three(dgates)
        more = _array(dweight), _array(dbias)
        spread(lambda first, last: norm_backward(*arrays, *rest, *more, first, last), chunks)
        return dx, dweight.sum(0), dbias.sum(0), None, None, *dgates


def _three(tensors: Sequence[Tensor]) -> tuple[np.ndarray, ...]:
    """Three arrays, the last repeated: compiled code is compiled once, not once a number."""
    arrays = [_array(t) for t in tensors]
    return tuple(arrays[min(n, len(arrays) - 1)] for n in range(3))
