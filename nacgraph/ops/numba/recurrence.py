"""Numba kernels of nacgraph/ops/recurrence.py: one pass over the sequence.

States are (B, T, 2 D): the first D channels run forwards, the others backwards. A task is a sample.
"""

from __future__ import annotations

from nacgraph.ops.numba.compile import njit
from nacgraph.ops.numba.numbers import OPTIONS


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


@njit(**OPTIONS)
def turn_forward(x, gate, out, first, last):
    """out[t] = gate[t] · out[t ∓ 1] + x[t] of complex numbers: real parts, then imaginary ones."""
    length, width = x.shape[1], x.shape[2] // 2
    half = width // 2
    for b in range(first, last):
        row, g, to = x[b], gate[b], out[b]
        for c in range(half):
            to[0, c], to[0, width + c] = row[0, c], row[0, width + c]
        for t in range(1, length):
            for c in range(half):
                re, im = to[t - 1, c], to[t - 1, width + c]
                to[t, c] = g[t, c] * re - g[t, width + c] * im + row[t, c]
                to[t, width + c] = g[t, c] * im + g[t, width + c] * re + row[t, width + c]
        for c in range(half, width):
            to[length - 1, c] = row[length - 1, c]
            to[length - 1, width + c] = row[length - 1, width + c]
        for t in range(length - 2, -1, -1):
            for c in range(half, width):
                re, im = to[t + 1, c], to[t + 1, width + c]
                to[t, c] = g[t, c] * re - g[t, width + c] * im + row[t, c]
                to[t, width + c] = g[t, c] * im + g[t, width + c] * re + row[t, width + c]


@njit(**OPTIONS)
def turn_backward(upstream, gate, out, dx, dgate, first, last):
    """Gradients of :func:`turn_forward`: by conjugate gates, the other way."""
    length, width = upstream.shape[1], upstream.shape[2] // 2
    half = width // 2
    for b in range(first, last):
        dy, g, state, to, dg = upstream[b], gate[b], out[b], dx[b], dgate[b]
        for c in range(half):
            to[length - 1, c] = dy[length - 1, c]
            to[length - 1, width + c] = dy[length - 1, width + c]
            dg[0, c], dg[0, width + c] = 0, 0  # nothing was before
        for t in range(length - 1, 0, -1):
            for c in range(half):
                d, e = to[t, c], to[t, width + c]
                re, im = state[t - 1, c], state[t - 1, width + c]
                dg[t, c], dg[t, width + c] = d * re + e * im, e * re - d * im
                to[t - 1, c] = dy[t - 1, c] + g[t, c] * d + g[t, width + c] * e
                to[t - 1, width + c] = dy[t - 1, width + c] + g[t, c] * e - g[t, width + c] * d
        for c in range(half, width):
            to[0, c], to[0, width + c] = dy[0, c], dy[0, width + c]
            dg[length - 1, c], dg[length - 1, width + c] = 0, 0
        for t in range(length - 1):
            for c in range(half, width):
                d, e = to[t, c], to[t, width + c]
                re, im = state[t + 1, c], state[t + 1, width + c]
                dg[t, c], dg[t, width + c] = d * re + e * im, e * re - d * im
                to[t + 1, c] = dy[t + 1, c] + g[t, c] * d + g[t, width + c] * e
                to[t + 1, width + c] = dy[t + 1, width + c] + g[t, c] * e - g[t, width + c] * d
