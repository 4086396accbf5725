"""Compiled loops of nacgraph/graph/sampling.py; its docstring has the method and the symbols."""

from __future__ import annotations

import math

import numpy as np

from nacgraph.graph.links import CLOSEST
from nacgraph.ops.numba.compile import njit
from nacgraph.ops.numba.edges import dot

LANES = 32  # cosines ruled out by one comparison; rows are padded to a multiple of it
_BINS = 1024  # of the table of upper bounds
_GRID = 64  # cuts tried per unit of cosine
# Rough costs in ns: drawing for one pair, entering a run of LANES pairs, one candidate.
_PAIR, _RUN, _CANDIDATE = 3.5, 40.0, 30.0
_FAR = np.uint64(1 << 40)  # counters of candidates begin here, those of near pairs at 0
_ALL = np.int16(-32768)


@njit(nogil=True, cache=True)
def _mix(z):
    """SplitMix64's finaliser."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(nogil=True, cache=True)
def _uniform(key, twist, counter):
    """Number ``counter`` of the stream (key, twist), in (0, 1) and never at its ends.

    SplitMix64 with a twist between its rounds: streams whose counters happen to overlap differ.
    """
    z = key + counter * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z ^= twist
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (np.float64(np.int64(z >> np.uint64(12))) + 0.5) * 2.0**-52


@njit(nogil=True, cache=True)
def _q(cosine, bandwidth, odds):
    """Probability of the link, from the cosine."""
    if odds == np.inf:
        return 1.0
    return odds / (odds + math.expm1(max((1.0 - cosine) / bandwidth, CLOSEST)))


@njit(nogil=True, cache=True)
def _links(cosine, bandwidth, least, strict):
    """Whether the pair links in a mode without noise."""
    log_p = -max(1.0 - cosine, 0.0) / bandwidth
    return log_p > least or (log_p == least and not strict)


@njit(nogil=True, cache=True)
def _cosine_of(pattern):
    """The number whose upper half, in single precision, is this bf16 pattern."""
    return np.uint32(np.uint32(np.uint16(pattern)) << np.uint32(16)).view(np.float32)


@njit(nogil=True, cache=True)
def _bin(cosine):
    return min(max(int((cosine + np.float32(1)) * np.float32(_BINS // 2)), 0), _BINS - 1)


@njit(nogil=True, cache=True)
def bounds(bandwidth, odds, least, noisy, strict, error):
    """Per bin of the coarse cosine: the pair links if 1 - u is below [0], and only if below [1]."""
    table = np.empty((2, _BINS))
    for k in range(_BINS):
        middle = (k + 0.5) / (_BINS // 2) - 1
        reach = 1 / _BINS + error + 1e-6
        table[0, k] = _q(middle - reach, bandwidth, odds) if noisy else 0.0
        table[1, k] = _q(middle + reach, bandwidth, odds) if noisy else 1.0
    return table


@njit(nogil=True, cache=True)
def choose_cut(receivers, senders, loops, bandwidth, odds, least, noisy, strict, error):
    """The cut of least work, judged by some cosines; without noise, where links begin."""
    if not noisy:
        return 1.0 + bandwidth * least - 1e-6
    counts = np.zeros(2 * _GRID + 1, np.int64)
    for a in range(min(64, receivers.shape[0])):
        i = a * receivers.shape[0] // min(64, receivers.shape[0])
        for b in range(min(128, senders.shape[0])):
            j = b * senders.shape[0] // min(128, senders.shape[0])
            if not (loops and i == j):
                place = int((dot(receivers[i], senders[j]) + 1.0) * _GRID)
                counts[min(max(place, 0), 2 * _GRID)] += 1
    best, least_work, near, total = -np.inf, _PAIR + _RUN / LANES, 0, max(1, counts.sum())
    for k in range(2 * _GRID, 0, -1):
        near += counts[k]
        share, cut = near / total, k / _GRID - 1.0
        runs = (1.0 - (1.0 - share) ** LANES) * _RUN / LANES
        work = share * _PAIR + runs + _q(cut, bandwidth, odds) * _CANDIDATE
        if work < least_work:
            best, least_work = cut, work
    return best


@njit(nogil=True, cache=True)
def _pattern_below(cosine):
    """Coarse cosines of at least this have a pattern of at least the result, if it is > 0."""
    if cosine < 2.0**-7:
        return _ALL
    return np.int16(np.float32(cosine - 1e-6).view(np.uint32) >> np.uint32(16))


@njit(nogil=True, cache=True)
def _most_probable(row, receiver, senders, error):
    top = np.float32(-2)
    for j in range(senders.shape[0]):
        top = max(top, _cosine_of(row[j]))
    best, nearest = -1, -np.inf
    for j in range(senders.shape[0]):
        if _cosine_of(row[j]) >= top - 2 * error:
            cosine = dot(receiver, senders[j])
            if cosine > nearest:
                best, nearest = j, cosine
    return best


@njit(nogil=True, cache=True)
def draw_block(
    patterns,
    receivers,
    senders,
    first,
    loops,
    seed,
    graph,
    bandwidth,
    odds,
    least,
    noisy,
    strict,
    cut,
    error,
    table,
    degree,
    sender,
    noise,
):
    """Draw the edges of the receivers ``first`` … into ``sender`` and ``noise``; return their end.

    ``patterns`` (rows, padded N) has the coarse cosines of these receivers with all senders.
    """
    others = senders.shape[0]
    near, near_noise = np.empty(others, np.int32), np.empty(others, np.float32)
    far, far_noise = np.empty(others, np.int32), np.empty(others, np.float32)
    lowest = _pattern_below(cut - error)
    rate = _q(cut, bandwidth, odds) if noisy and cut > -np.inf else 0.0
    if rate < 1e-200:  # 1 / v must stay finite, and nobody waits for such a link
        rate = 0.0
    log_miss = math.log1p(-rate)
    graph_key = _mix(_mix(seed + np.uint64(0x9E3779B97F4A7C15)) + graph)
    end = 0
    for r in range(patterns.shape[0]):
        i, row, receiver = first + r, patterns[r], receivers[first + r]
        key = _mix(graph_key + np.uint64(i) * np.uint64(0xD1342543DE82EF95))
        twist = _mix(key ^ np.uint64(0x6A09E667F3BCC909))
        own = i if loops else others

        nears = 0
        for start in range(0, others, LANES):
            if lowest != _ALL:
                top = _ALL
                for j in range(LANES):
                    top = max(top, row[start + j])
                if top < lowest:
                    continue
            for j in range(start, min(start + LANES, others)):
                if row[j] < lowest or j == own:
                    continue
                v = _uniform(key, twist, np.uint64(j)) if noisy else 0.5
                coarse = _cosine_of(row[j])
                k = _bin(coarse)
                if v >= table[1, k]:
                    continue
                if v >= table[0, k] or coarse < cut + error:
                    cosine = np.float64(dot(receiver, senders[j]))
                    if noisy:
                        if cosine < cut or v >= _q(cosine, bandwidth, odds):
                            continue
                    elif not _links(cosine, bandwidth, least, strict):
                        continue
                near[nears], near_noise[nears] = j, math.log((1.0 - v) / v)
                nears += 1

        fars = 0
        if rate > 0:
            j, draw = -1, _FAR
            while True:
                skip = math.log(_uniform(key, twist, draw)) / log_miss
                if skip >= others - 1 - j:
                    break
                j += 1 + int(skip)
                v = rate * _uniform(key, twist, draw + np.uint64(1))
                draw += np.uint64(2)
                coarse = _cosine_of(row[j])
                k = _bin(coarse)
                if v >= table[1, k] or j == own:
                    continue
                if v >= table[0, k] or coarse >= cut - error:
                    cosine = np.float64(dot(receiver, senders[j]))
                    if cosine >= cut or v >= _q(cosine, bandwidth, odds):
                        continue
                far[fars], far_noise[fars] = j, math.log((1.0 - v) / v)
                fars += 1

        begin, a, b = end, 0, 0
        while a < nears or b < fars or own < others:
            x = near[a] if a < nears else others
            y = far[b] if b < fars else others
            if own < x and own < y:
                sender[end], value, own = own, np.float32(0), others
            elif x < y:
                sender[end], value = x, near_noise[a]
                a += 1
            else:
                sender[end], value = y, far_noise[b]
                b += 1
            if noisy:
                noise[end] = value
            end += 1
        if end == begin:
            sender[end] = _most_probable(row, receiver, senders, error)
            if noisy:
                noise[end] = 0
            end += 1
        degree[r] = end - begin
    return end
