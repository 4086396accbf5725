"""Numba kernels of nacgraph/recurrence.py: a pass over the sequence where PyTorch has no operator.

States are (B, T, 2 D): the first D channels run forwards, the others backwards. A task is a sample.
"""

from __future__ import annotations

from numba import njit

from nacgraph.compiled.numbers import OPTIONS


@njit(**OPTIONS)
def recur_forward(x, decay, out, first, last):
    """out[t] = decay · out[t ∓ 1] + x[t]."""
    length, width = x.shape[1], x.shape[2]
    half = width // 2
    for b in range(first, last):
        row, to = x[b], out[b]
        for c in range(half):
            to[0, c] = row[0, c]
        for t in range(1, length):
            for c in range(half):
                to[t, c] = decay[c] * to[t - 1, c] + row[t, c]
        for c in range(half, width):
            to[length - 1, c] = row[length - 1, c]
        for t in range(length - 2, -1, -1):
            for c in range(half, width):
                to[t, c] = decay[c] * to[t + 1, c] + row[t, c]


@njit(**OPTIONS)
def recur_backward(upstream, decay, out, dx, ddecay, first, last):
    """Gradients of :func:`recur_forward`: the recurrences the other way; ddecay is by sample."""
    length, width = upstream.shape[1], upstream.shape[2]
    half = width // 2
    for b in range(first, last):
        dy, state, to, total = upstream[b], out[b], dx[b], ddecay[b]
        total[:] = 0
        for c in range(half):
            to[length - 1, c] = dy[length - 1, c]
        for t in range(length - 2, -1, -1):
            for c in range(half):
                to[t, c] = decay[c] * to[t + 1, c] + dy[t, c]
            for c in range(half):
                total[c] += to[t + 1, c] * state[t, c]
        for c in range(half, width):
            to[0, c] = dy[0, c]
        for t in range(1, length):
            for c in range(half, width):
                to[t, c] = decay[c] * to[t - 1, c] + dy[t, c]
            for c in range(half, width):
                total[c] += to[t - 1, c] * state[t, c]
