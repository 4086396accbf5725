"""Numba kernels of nacgraph/graph/edges.py: scalar products at edges, their gradients, sorting."""

from __future__ import annotations

import numpy as np

from nacgraph.ops.numba.compile import njit

_SUM = {"reassoc", "contract", "nsz"}  # lets a sum be vectorised


@njit(nogil=True, cache=True, fastmath=_SUM)
def dot(a, b):
    """Scalar product in the arrays' own precision."""
    total = a[0] - a[0]  # a zero of their type
    for k in range(a.shape[0]):
        total += a[k] * b[k]
    return total


@njit(nogil=True, cache=True)
def dots(
    receivers, senders, rowptr, sender, num_receivers, num_senders, per_sample, first, last, out
):
    for row in range(first, last):
        graph = row // num_receivers
        signature = receivers[row if per_sample else row - graph * num_receivers]
        offset = graph * num_senders if per_sample else 0
        for e in range(rowptr[row], rowptr[row + 1]):
            out[e] = dot(signature, senders[offset + sender[e]])


@njit(nogil=True, cache=True, fastmath={"contract"})
def gather(factor, source, pointer, index, nodes, others, first, last, out):
    graphs = (pointer.shape[0] - 1) // out.shape[0]  # more than one where signatures are shared
    for row in range(first, last):
        offset = 0 if source.shape[0] == others else row // nodes * others
        total = out[row]
        total[:] = 0
        for graph in range(graphs):
            at = graph * nodes + row
            for e in range(pointer[at], pointer[at + 1]):
                value = source[offset + index[e]]
                for k in range(total.shape[0]):
                    total[k] += factor[e] * value[k]


@njit(nogil=True, cache=True)
def transpose(rowptr, sender, num_receivers, num_senders):
    """Counting sort of the edges by (graph, sender); equal ones keep their order."""
    rows = rowptr.shape[0] - 1
    colptr = np.zeros(rows // num_receivers * num_senders + 1, np.int64)
    receiver = np.empty(sender.shape[0], np.int32)
    edge = np.empty(sender.shape[0], np.int64)
    for row in range(rows):
        offset = row // num_receivers * num_senders
        for e in range(rowptr[row], rowptr[row + 1]):
            colptr[offset + sender[e] + 1] += 1
    for column in range(colptr.shape[0] - 1):
        colptr[column + 1] += colptr[column]
    free = colptr[:-1].copy()
    for row in range(rows):
        graph = row // num_receivers
        for e in range(rowptr[row], rowptr[row + 1]):
            column = graph * num_senders + sender[e]
            receiver[free[column]] = row - graph * num_receivers
            edge[free[column]] = e
            free[column] += 1
    return colptr, receiver, edge
