"""Local search by chains of exchanges for large circuits, compiled by Numba.

Notation as in search.py. ``fit[i, m]`` is what place i earns from module m with all others where
they are, Σ_k T_ik A_{m π(k)}. It is kept up to date move by move: a move changes only those rows
whose places see the moved ones differently, few under most targets.

Imported when first needed: compiling takes seconds, reading what an earlier process compiled less.
"""

from __future__ import annotations

import numpy as np
from numba import njit

DEPTH = 6  # places that a chain may pass through


@njit(cache=True)
def swap_gains(target, affinity, fit, permutation):  # type: ignore[no-untyped-def]
    """Half of what the best swap of every place earns, (n,) float32; negative where none does."""
    n = len(permutation)
    half, kept, best = np.empty(n, np.float32), np.empty(DEPTH, np.int64), np.empty(n, np.float32)
    _halve(fit, permutation, half)
    for i in range(n):
        best[i] = _swap(target, affinity, fit, permutation, half, i, kept)
    return best


@njit(cache=True)
def descend(target, affinity, fit, permutation, least, most):  # type: ignore[no-untyped-def]
    """Better ``permutation`` and ``fit`` in place until no chain earns more than ``least``.

    From every place in turn: the best swap, if one earns; else a chain, in which a place takes
    the module that serves it best, the place robbed does the same, and so on, and the last takes
    the first one's module (Lin and Kernighan's way). ``fit`` proposes, in single precision; the
    exact change of score decides.

    Shapes:
        target, affinity, fit (n, n) float32 · permutation (n,) int64

    Returns:
        The number of moves, at most ``most``, and the sum of their changes of score.
    """
    n = len(permutation)
    half = np.empty(n, np.float32)  # of what each place earns now
    used = np.zeros(n, np.bool_)
    chain, kept = np.empty(DEPTH, np.int64), np.empty(DEPTH, np.int64)
    moves, earned, before = 0, 0.0, -1
    _halve(fit, permutation, half)
    while before < moves < most:
        before = moves
        # The largest gain comes first: small gains taken early block large ones.
        gains = swap_gains(target, affinity, fit, permutation)
        for i in np.argsort(-gains, kind="mergesort"):
            length = 2
            if _swap(target, affinity, fit, permutation, half, i, kept) <= least:
                length = _chain(fit, permutation, half, i, least, used, chain, kept)
            if length == 0 or moves == most:
                continue
            change = _change(target, affinity, permutation, kept, length)
            if change > least:
                _move(target, affinity, fit, permutation, kept, length)
                _halve(fit, permutation, half)
                moves, earned = moves + 1, earned + change
    return moves, earned


@njit(cache=True)
def _halve(fit, permutation, half):  # type: ignore[no-untyped-def]
    for i in range(len(half)):
        half[i] = np.float32(0.5) * fit[i, permutation[i]]


@njit(cache=True)
def _swap(target, affinity, fit, permutation, half, i, kept):  # type: ignore[no-untyped-def]
    """Put the best swap of place i into ``kept``; what it earns."""
    own, top, partner = permutation[i], np.float32(-np.inf), i
    for j in range(len(half)):
        other = permutation[j]
        gain = (fit[i, other] - half[j]) + (fit[j, own] - half[j])
        gain += np.float32(2.0) * target[i, j] * affinity[own, other]
        if gain > top and j != i:
            top, partner = gain, j
    kept[0], kept[1] = i, partner
    return top - 2 * half[i]


@njit(cache=True)
def _chain(fit, permutation, half, i, least, used, chain, kept):  # type: ignore[no-untyped-def]
    """Put the best chain from place i into ``kept``; its length, or 0 if none earns."""
    best, length, here, total = least, 0, i, np.float32(0.0)
    depth = 0
    while True:
        chain[depth] = here
        used[here] = True
        depth += 1
        if depth > 2:  # close it: the last place takes the first one's module
            closed = total + fit[here, permutation[i]] - half[here] - half[i]
            if closed > best:
                best, length = closed, depth
                kept[:depth] = chain[:depth]
        if depth == DEPTH:
            break
        top, following = np.float32(-np.inf), -1
        for j in range(len(half)):
            gain = fit[here, permutation[j]] - half[j]
            if gain > top and not used[j]:
                top, following = gain, j
        total += top - half[here]
        if following < 0 or total <= least:  # a chain worth closing has earned all along
            break
        here = following
    for t in range(depth):
        used[chain[t]] = False
    return length


@njit(cache=True)
def _change(target, affinity, permutation, chain, length):  # type: ignore[no-untyped-def]
    """Half the change of score if each place of the chain takes the next one's module."""
    outside, inside = 0.0, 0.0
    for t in range(length):
        i, following = chain[t], chain[(t + 1) % length]
        old, new = permutation[i], permutation[following]
        for k in range(len(permutation)):
            other = permutation[k]
            outside += target[i, k] * (affinity[new, other] - affinity[old, other])
        for u in range(length):  # places of the chain have other modules afterwards
            k, after = chain[u], permutation[chain[(u + 1) % length]]
            other = permutation[k]
            outside -= target[i, k] * (affinity[new, other] - affinity[old, other])
            inside += target[i, k] * (affinity[new, after] - affinity[old, other])
    return outside + inside / 2


@njit(cache=True)
def _move(target, affinity, fit, permutation, chain, length):  # type: ignore[no-untyped-def]
    n = len(permutation)
    first = permutation[chain[0]]
    differences = np.empty((length - 1, n), np.float32)
    for t in range(1, length):
        differences[t - 1] = affinity[permutation[chain[t]]] - affinity[first]
    for i in range(n):
        for t in range(1, length):
            factor = target[i, chain[t - 1]] - target[i, chain[t]]
            if factor != 0:
                for m in range(n):
                    fit[i, m] += factor * differences[t - 1, m]
    for t in range(length - 1):
        permutation[chain[t]] = permutation[chain[t + 1]]
    permutation[chain[length - 1]] = first
