"""Numba kernels of nacgraph/ops/pointwise.py: one pass over the states where PyTorch takes several.

States are (L, U, D): L copies of U modules; gates are (G, U, D), where G divides L and copy l is
gated by gate l·G // L. A task is one module, all its copies, so that the gradient of a gate that
copies share is summed by one thread, in one order.
"""

from __future__ import annotations

import numpy as np

from nacgraph.ops.numba.compile import njit
from nacgraph.ops.numba.numbers import OPTIONS, get, normal, put


@njit(**OPTIONS)
def gate_forward(x, gates, out, first, last):
    """out = x ⊙ gate."""
    copies, width = len(x), x.shape[2]
    for u in range(first, last):
        for copy in range(copies):
            row, gate, to = x[copy, u], gates[copy * len(gates) // copies, u], out[copy, u]
            for c in range(width):
                put(to, c, get(row, c) * gate[c])


@njit(**OPTIONS)
def gate_backward(x, gates, upstream, dx, dgates, first, last):
    """Gradients of :func:`gate_forward`."""
    copies, width = len(x), x.shape[2]
    for u in range(first, last):
        dgates[:, u] = 0
        for copy in range(copies):
            g = copy * len(gates) // copies
            row, gate, dgate = x[copy, u], gates[g, u], dgates[g, u]
            dy, to = upstream[copy, u], dx[copy, u]
            for c in range(width):
                put(to, c, get(dy, c) * gate[c])
            for c in range(width):
                dgate[c] += get(dy, c) * get(row, c)


@njit(**OPTIONS)
def norm_forward(x, weight, bias, eps, gates, count, outs, mean, rstd, first, last):
    """outs[k] = LayerNorm(x) ⊙ gates[k] for the first ``count`` of three."""
    copies, width = len(x), x.shape[2]
    normed = np.empty(width, x.dtype)
    for u in range(first, last):
        for copy in range(copies):
            row = x[copy, u]
            total = x.dtype.type(0)
            for c in range(width):
                total += row[c]
            middle = total / x.dtype.type(width)
            total = x.dtype.type(0)
            for c in range(width):
                total += (row[c] - middle) * (row[c] - middle)
            scale = x.dtype.type(1) / np.sqrt(total / x.dtype.type(width) + eps)
            for c in range(width):
                normed[c] = (row[c] - middle) * scale * weight[c] + bias[c]
            for k in range(count):
                gate, to = gates[k][copy * len(gates[k]) // copies, u], outs[k][copy, u]
                for c in range(width):
                    put(to, c, normed[c] * gate[c])
            mean[copy, u], rstd[copy, u] = middle, scale


@njit(**OPTIONS)
def norm_backward(
    x, weight, bias, gates, count, upstream, mean, rstd, dx, dgates, dweight, dbias, first, last
):
    """Gradients of :func:`norm_forward`; a chunk of modules has dweight and dbias of its own.

    Tasks are those chunks, len(dweight) of them.
    """
    copies, modules, width = x.shape
    inverse = x.dtype.type(1) / x.dtype.type(width)
    centred = np.empty(width, x.dtype)
    normed = np.empty(width, x.dtype)
    slope = np.empty(width, x.dtype)
    for chunk in range(first, last):
        dw, db = dweight[chunk], dbias[chunk]
        dw[:] = 0
        db[:] = 0
        chunks = len(dweight)
        for u in range(modules * chunk // chunks, modules * (chunk + 1) // chunks):
            for k in range(count):
                dgates[k][:, u] = 0
            for copy in range(copies):
                row, middle, scale = x[copy, u], mean[copy, u], rstd[copy, u]
                for c in range(width):
                    centred[c] = (row[c] - middle) * scale
                for c in range(width):
                    normed[c] = centred[c] * weight[c] + bias[c]
                slope[:] = 0
                for k in range(count):
                    g, dy = copy * len(gates[k]) // copies, upstream[k][copy, u]
                    gate, dgate = gates[k][g, u], dgates[k][g, u]
                    for c in range(width):
                        slope[c] += get(dy, c) * gate[c]
                    for c in range(width):
                        dgate[c] += get(dy, c) * normed[c]
                for c in range(width):
                    dw[c] += slope[c] * centred[c]
                for c in range(width):
                    db[c] += slope[c]
                total, along = x.dtype.type(0), x.dtype.type(0)
                for c in range(width):
                    slope[c] *= weight[c]
                    total += slope[c]
                    along += slope[c] * centred[c]
                to = dx[copy, u]
                for c in range(width):
                    to[c] = scale * (slope[c] - (total + centred[c] * along) * inverse)


@njit(**OPTIONS)
def geglu_forward(hidden, gates, out, first, last):
    """out = a ⊙ GELU(b) ⊙ gate, where hidden = [a, b]."""
    copies, width = len(hidden), out.shape[2]
    gelu = np.empty(width, gates.dtype)
    for u in range(first, last):
        for copy in range(copies):
            row, gate, to = hidden[copy, u], gates[copy * len(gates) // copies, u], out[copy, u]
            for c in range(width):
                b = get(row, width + c)
                gelu[c] = b * normal(b)[0]
            for c in range(width):
                put(to, c, get(row, c) * gelu[c] * gate[c])


@njit(**OPTIONS)
def geglu_backward(hidden, gates, upstream, dhidden, dgates, first, last):
    """Gradients of :func:`geglu_forward`."""
    copies, width = len(hidden), gates.shape[2]
    gelu = np.empty(width, gates.dtype)
    slope = np.empty(width, gates.dtype)
    inner = np.empty(width, gates.dtype)
    for u in range(first, last):
        dgates[:, u] = 0
        for copy in range(copies):
            g = copy * len(gates) // copies
            row, gate, dgate = hidden[copy, u], gates[g, u], dgates[g, u]
            dy, to = upstream[copy, u], dhidden[copy, u]
            for c in range(width):
                b = get(row, width + c)
                below, density = normal(b)
                gelu[c] = b * below
                slope[c] = below + b * density
            for c in range(width):
                inner[c] = get(dy, c) * gate[c]
            for c in range(width):
                dgate[c] += get(dy, c) * get(row, c) * gelu[c]
            for c in range(width):
                put(to, c, inner[c] * gelu[c])
            for c in range(width):
                put(to, width + c, inner[c] * get(row, c) * slope[c])
