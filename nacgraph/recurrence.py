"""Linear recurrences along a sequence, both ways: compiled on the CPU, else matrix products."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from nacgraph.parallel import spread

_CHUNK = 32  # steps that one matrix product takes, where there is no compiled code


def recur_both_ways(x: Tensor, decay: Tensor) -> Tensor:
    r"""Two sets of independent linear recurrences, one from each end of the sequence.

    .. math:: h_t = a ⊙ h_{t-1} + x_t \quad\text{(first half of the channels)}, \qquad
              h_t = a ⊙ h_{t+1} + x_t \quad\text{(second half)}

    On the CPU compiled code goes over the sequence once each way. Elsewhere, and for an exporter,
    it is matrix products within chunks and over chunks; equal up to rounding.

    Args:
        x: Inputs; outside of the sequence they count as 0.
        decay: a in [0, 1].

    Shapes:
        x (B, T, 2 D) · decay (2 D) · output (B, T, 2 D)
    """
    on_cpu = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    if on_cpu and not torch.compiler.is_compiling() and not torch.jit.is_tracing():
        return _Recurrence.apply(x, decay)
    ahead, back = x.chunk(2, dim=-1)
    first, second = decay.chunk(2)
    return torch.cat([_chunked(ahead, first), _chunked(back.flip(1), second).flip(1)], dim=-1)


def _chunked(x: Tensor, decay: Tensor) -> Tensor:
    """The recurrence from the first step on, by matrix products: (B, T, D) → (B, T, D)."""
    batch, length, dim = x.shape
    x = F.pad(x, (0, 0, 0, _CHUNK - length % _CHUNK))
    chunks = x.shape[1] // _CHUNK
    within = x.reshape(batch * chunks, _CHUNK, dim).permute(2, 0, 1) @ _powers(decay, _CHUNK)
    ends = within[:, :, -1].reshape(dim, batch, chunks)
    # What every chunk starts from: the ends of those before, each decayed by whole chunks.
    carried = F.pad(ends @ _powers(decay**_CHUNK, chunks), (1, -1)).reshape(dim, -1, 1)
    steps = torch.arange(1, _CHUNK + 1, device=x.device)
    out = within + carried * (decay[:, None] ** steps)[:, None, :]
    return out.permute(1, 2, 0).reshape(batch, chunks * _CHUNK, dim)[:, :length]


def _powers(decay: Tensor, size: int) -> Tensor:
    """Upper triangular (D, size, size): decay^(to - from)."""
    steps = torch.arange(size, device=decay.device)
    lag = steps[None, :] - steps[:, None]
    return torch.where(lag >= 0, decay[:, None, None] ** lag.clamp(min=0), 0.0)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, decay: Tensor) -> Tensor:
        from nacgraph.compiled.recurrence import recur_forward

        x, decay = x.contiguous(), decay.to(x.dtype).contiguous()
        out = torch.empty_like(x)
        arrays = x.detach().numpy(), decay.detach().numpy(), out.numpy()
        if x.numel():
            spread(lambda first, last: recur_forward(*arrays, first, last), len(x))
        ctx.save_for_backward(decay, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        from nacgraph.compiled.recurrence import recur_backward

        decay, out = ctx.saved_tensors
        upstream = upstream.contiguous()
        dx, ddecay = torch.empty_like(upstream), out.new_empty(len(out), out.shape[2])
        arrays = [t.detach().numpy() for t in (upstream, decay, out, dx, ddecay)]
        if out.numel():
            spread(lambda first, last: recur_backward(*arrays, first, last), len(out))
        return dx, ddecay.sum(0)
