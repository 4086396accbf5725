"""SKMDPA in one compiled pass over the edges, forward and backward: the CPU's own execution."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from nacgraph.graph.forms import Graph, check_attention
from nacgraph.ops.threads import spread

# Tasks enough for this many threads, and the copies of gradients that such a number costs at most:
# fixed, since sums in another order would make results depend on the machine.
TASKS = 16
COPIES = 2**25  # numbers
PER_SENDER = 16  # edges for each sender that a chunk must have to be worth copies of all senders
WORTH_THREADS = 2**19  # multiplications


def fused_attention(query: Tensor, key: Tensor, value: Tensor, graph: Graph) -> Tensor:
    """Equal to :class:`nacgraph.nn.skmdpa.SKMDPA`, gradients to the edge weights included.

    Edge by edge in compiled code (Numba): nothing of the size of edges x heads is ever stored, and
    the backward pass computes scores again. float32 and float64; lower precisions are computed
    in float32. The first call for a head width compiles (seconds), later processes read the disk.

    Shapes:
        query (B, R, H, d) · key, value (B, N, H, d) · output (B, R, H, d)

    Raises:
        ValueError: If the graph does not fit, or tensors are not on the CPU.
    """
    check_attention(query, key, graph)
    if query.device.type != "cpu":
        raise ValueError(
            f"query: expected a tensor on the CPU for backend 'fused', got one on {query.device}"
        )
    dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
    width = query.shape[-1]
    # Vectors of any other width than a power of two are slow; zeros change no product.
    zeros = (1 << (width - 1).bit_length()) - width
    q, k, v = (F.pad(x.to(dtype), (0, zeros)).contiguous() for x in (query, key, value))
    rowptr, sender, log_weight, longest = graph.rows
    weight = log_weight.to(dtype)
    given = q, k, v, weight, rowptr, sender, graph.per_sample, longest, width**-0.5
    # As an operator where a compiler looks on, so that it keeps one graph around the kernels;
    # without a compiler calling an operator costs 0.1 ms more, a tenth of 64 modules' time.
    out = _operator(*given)[0] if torch.compiler.is_compiling() else _Fused.apply(*given)
    return out[..., :width].to(query.dtype)


def _forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    weight: Tensor,
    rowptr: Tensor,
    sender: Tensor,
    per_sample: bool,
    longest: int,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Messages (B, R, H, d), and log Σ exp of every row's scores (B, H, R)."""
    from nacgraph.ops.numba.rows import forward_kernel

    batch, receivers, heads, width = query.shape
    out = torch.empty_like(query)
    lse = query.new_zeros(batch, heads, receivers)
    pairs = batch * heads
    chunks = max(1, min(receivers, TASKS // pairs))
    kernel = forward_kernel(width, query.dtype == torch.float32)
    arrays = _arrays(query, key, value, weight, rowptr, sender)
    factor = arrays[0].dtype.type(scale)
    results = _arrays(out, lse)

    def work(first: int, last: int) -> None:
        kernel(*arrays, per_sample, factor, chunks, longest, *results, first, last)

    spread(work, pairs * chunks, _worth_threads(query, sender, per_sample))
    return out, lse


def _backward(
    upstream: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    weight: Tensor,
    rowptr: Tensor,
    sender: Tensor,
    out: Tensor,
    lse: Tensor,
    per_sample: bool,
    longest: int,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients to query, key, value and weight."""
    from nacgraph.ops.numba.rows import backward_kernel

    batch, receivers, heads, width = query.shape
    graphs, turns = (batch, heads) if per_sample else (1, batch * heads)
    # A group of heads has its own edge gradients, a chunk of receivers its own dkey, dvalue.
    groups = max(1, min(turns, TASKS, COPIES // max(1, len(sender))))
    edges, senders = len(sender) // graphs, key.shape[1]
    chunks = max(1, min(receivers, TASKS // (graphs * groups), edges // (PER_SENDER * senders)))
    dquery = torch.empty_like(query)
    dkey, dvalue = (key.new_empty(chunks, *key.shape) for _ in range(2))
    dweight = weight.new_empty(groups, len(sender))
    kernel = backward_kernel(width, query.dtype == torch.float32)
    arrays = _arrays(query, key, value, weight, rowptr, sender)
    before = _arrays(out, lse, upstream.contiguous())
    results = _arrays(dquery, dkey, dvalue, dweight)
    factor = arrays[0].dtype.type(scale)

    def work(first: int, last: int) -> None:
        kernel(*arrays, per_sample, factor, chunks, longest, *before, groups, *results, first, last)

    spread(work, graphs * groups * chunks, _worth_threads(query, sender, per_sample))
    return dquery, _sum(dkey), _sum(dvalue), _sum(dweight)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:6], *output)
    ctx.sizes = inputs[6:]


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        output = _forward(*inputs)
        _remember(ctx, inputs, output)
        return output[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradients = _backward(upstream, *ctx.saved_tensors, *ctx.sizes)
        return *gradients, None, None, None, None, None


_operator = torch.library.custom_op(
    "nacgraph::fused_attention", _forward, mutates_args=(), device_types="cpu"
)
_backward_operator = torch.library.custom_op(
    "nacgraph::fused_attention_backward", _backward, mutates_args=(), device_types="cpu"
)


@_operator.register_fake
def _(query: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    batch, receivers, heads, _width = query.shape
    return torch.empty_like(query), query.new_empty(batch, heads, receivers)


@_backward_operator.register_fake
def _(
    upstream: Tensor, query: Tensor, key: Tensor, value: Tensor, weight: Tensor, *_: object
) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(x) for x in (query, key, value, weight))


def _differentiated(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    gradients = _backward_operator(upstream, *ctx.saved_tensors, *ctx.sizes)
    return *gradients, None, None, None, None, None


_operator.register_autograd(_differentiated, setup_context=_remember)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [x.detach().numpy() for x in tensors]


def _sum(copies: Tensor) -> Tensor:
    return copies[0] if len(copies) == 1 else copies.sum(0)


def _worth_threads(query: Tensor, sender: Tensor, per_sample: bool) -> bool:
    batch, _, heads, width = query.shape
    return len(sender) * (1 if per_sample else batch) * heads * width > WORTH_THREADS
