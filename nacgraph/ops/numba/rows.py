"""Numba kernels of fused attention, compiled for one head width and kept on disk.

A task is what one thread does alone: it writes where no other task writes, so results depend
neither on the number of threads nor on their order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from nacgraph.ops.numba.compile import njit
from nacgraph.ops.numba.numbers import OPTIONS, exp32
from nacgraph.ops.numba.vectors import dot, load, scale, scale_add, store


@cache
def forward_kernel(width: int, single: bool) -> Callable[..., None]:
    """Rows of attention for heads of this width, in single or double precision."""
    dtype = np.float32 if single else np.float64

    @njit(**OPTIONS)
    def forward(
        query,
        key,
        value,
        weight,
        rowptr,
        sender,
        per_sample,
        factor,
        chunks,
        longest,
        out,
        lse,
        first,
        last,
    ):
        """Tasks first … last - 1; a task is a chunk of the receivers of one (sample, head)."""
        receivers, heads, senders = query.shape[1], query.shape[2], key.shape[1]
        query, key, value, flat = query.ravel(), key.ravel(), value.ravel(), out.ravel()
        # This head's keys and values, side by side: neighbours in memory, as they are in use.
        pairs = np.empty(senders * 2 * width, dtype)
        score = np.empty(longest, dtype)
        packed = -1
        for task in range(first, last):
            pair, chunk = task // chunks, task % chunks
            b, h = pair // heads, pair % heads
            if pair != packed:
                for j in range(senders):
                    at = ((b * senders + j) * heads + h) * width
                    store(pairs, 2 * j * width, load(key, at, width))
                    store(pairs, (2 * j + 1) * width, load(value, at, width))
                packed = pair
            base = b * receivers if per_sample else 0
            for i in range(chunk * receivers // chunks, (chunk + 1) * receivers // chunks):
                begin, count = rowptr[base + i], rowptr[base + i + 1] - rowptr[base + i]
                at = ((b * receivers + i) * heads + h) * width
                q = scale(factor, load(query, at, width))
                for e in range(count):
                    j = np.intp(sender[begin + e]) * 2 * width
                    score[e] = dot(q, load(pairs, j, width)) + weight[begin + e]
                top = dtype(-np.inf)
                for e in range(count):
                    top = max(top, score[e])
                total = dtype(0)
                for e in range(count):
                    p = exp32(score[e] - top) if single else np.exp(score[e] - top)
                    score[e] = p
                    total += p
                message = scale(dtype(0), q)
                for e in range(count):
                    j = np.intp(sender[begin + e]) * 2 * width
                    message = scale_add(score[e], load(pairs, j + width, width), message)
                if count:
                    message = scale(1 / total, message)
                    lse[b, h, i] = top + np.log(total)
                store(flat, at, message)

    return forward


@cache
def backward_kernel(width: int, single: bool) -> Callable[..., None]:
    """Gradients of :func:`forward_kernel`; scores are computed again, not kept."""
    dtype = np.float32 if single else np.float64

    @njit(**OPTIONS)
    def backward(
        query,
        key,
        value,
        weight,
        rowptr,
        sender,
        per_sample,
        factor,
        chunks,
        longest,
        out,
        lse,
        upstream,
        groups,
        dquery,
        dkey,
        dvalue,
        dweight,
        first,
        last,
    ):
        """Tasks first … last - 1; a task is a chunk of a graph's receivers and a group of heads.

        A chunk has dkey and dvalue of its own, a group dweight: whoever calls adds them up.
        """
        batch, receivers, heads = query.shape[:3]
        senders = key.shape[1]
        query, key, value, out = query.ravel(), key.ravel(), value.ravel(), out.ravel()
        upstream, dquery = upstream.ravel(), dquery.ravel()
        dkey, dvalue = dkey.ravel(), dvalue.ravel()
        pairs = np.empty(senders * 2 * width, dtype)
        dpairs = np.empty(senders * 2 * width, dtype)
        weights = np.empty(longest, dtype)
        slopes = np.empty(longest, dtype)
        turns = heads if per_sample else batch * heads  # passes over one graph's edges
        for task in range(first, last):
            chunk, group, graph = task % chunks, task // chunks % groups, task // (chunks * groups)
            top, bottom = chunk * receivers // chunks, (chunk + 1) * receivers // chunks
            base = graph * receivers if per_sample else 0
            dweight[group, rowptr[base + top] : rowptr[base + bottom]] = dtype(0)
            for turn in range(group * turns // groups, (group + 1) * turns // groups):
                b = graph if per_sample else turn // heads
                h = turn if per_sample else turn % heads
                for j in range(senders):
                    at = ((b * senders + j) * heads + h) * width
                    store(pairs, 2 * j * width, load(key, at, width))
                    store(pairs, (2 * j + 1) * width, load(value, at, width))
                dpairs[:] = dtype(0)
                for i in range(top, bottom):
                    begin, count = rowptr[base + i], rowptr[base + i + 1] - rowptr[base + i]
                    at = ((b * receivers + i) * heads + h) * width
                    q, do = scale(factor, load(query, at, width)), load(upstream, at, width)
                    mean, norm = dot(do, load(out, at, width)), lse[b, h, i]
                    for e in range(count):
                        j = np.intp(sender[begin + e]) * 2 * width
                        weights[e] = dot(q, load(pairs, j, width)) + weight[begin + e] - norm
                        slopes[e] = dot(do, load(pairs, j + width, width)) - mean
                    for e in range(count):
                        p = exp32(weights[e]) if single else np.exp(weights[e])
                        weights[e] = p
                        slopes[e] *= p
                    for e in range(count):
                        dweight[group, begin + e] += slopes[e]
                    dq = scale(dtype(0), q)
                    for e in range(count):
                        j = np.intp(sender[begin + e]) * 2 * width
                        dq = scale_add(slopes[e], load(pairs, j, width), dq)
                        store(dpairs, j, scale_add(slopes[e], q, load(dpairs, j, width)))
                        j += width
                        store(dpairs, j, scale_add(weights[e], do, load(dpairs, j, width)))
                    store(dquery, at, scale(factor, dq))
                for j in range(senders):
                    at = (((chunk * batch + b) * senders + j) * heads + h) * width
                    store(dkey, at, load(dpairs, 2 * j * width, width))
                    store(dvalue, at, load(dpairs, (2 * j + 1) * width, width))

    return backward
