"""Loops of viz/statistics/ over binary graphs: triangles, distances, cores, swaps of link ends.

A graph is an ``adjacency`` (n, n) of 0 and 1, symmetric with zero diagonal, or its rows packed as
``bits`` (n, words) uint64, node j in bit j % 64 of word j // 64: 64 nodes are met at once.
"""

from __future__ import annotations

import numpy as np

from nacgraph.ops.numba.compile import njit

KEPT = {"nogil": True, "cache": True}
_ONE = np.uint64(1)


@njit(**KEPT)
def _ones(x):
    """Number of bits set."""
    x -= (x >> _ONE) & np.uint64(0x5555555555555555)
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(**KEPT)
def _draw(state):
    """SplitMix64: the next 64 random bits; ``state`` (1,) uint64 moves on."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(**KEPT)
def _below(bits, limit):
    """A whole number in [0, limit), limit < 2^32, from the upper half of ``bits``."""
    return np.int64(((bits >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32))


@njit(**KEPT)
def triangles(adjacency, bits):
    """Triangles through every node, (n,) int64."""
    n = len(bits)
    corners = np.zeros(n, np.int64)
    for i in range(n):
        for j in range(i + 1, n):
            if adjacency[i, j]:
                common = np.int64(0)
                for w in range(bits.shape[1]):
                    common += _ones(bits[i, w] & bits[j, w])
                corners[i] += common
                corners[j] += common
    return corners // 2  # each triangle was met at two links of the node


@njit(**KEPT)
def distances(bits):
    """Ordered pairs by distance: (n, n) int64, row i counts the nodes at 0, 1, 2, … from i."""
    n, words = bits.shape
    counts = np.zeros((n, n), np.int64)
    seen = np.empty(words, np.uint64)
    edge = np.empty(words, np.uint64)
    following = np.empty(words, np.uint64)
    for source in range(n):
        seen[:] = 0
        seen[source >> 6] |= _ONE << np.uint64(source & 63)
        edge[:] = seen
        reached, level = np.int64(1), 0
        while reached:
            counts[source, level] = reached
            following[:] = 0
            for w in range(words):
                word = edge[w]
                while word:
                    lowest = word & (~word + _ONE)
                    node = 64 * w + _ones(lowest - _ONE)
                    word ^= lowest
                    for v in range(words):
                        following[v] |= bits[node, v]
            reached = 0
            for w in range(words):
                edge[w] = following[w] & ~seen[w]
                seen[w] |= edge[w]
                reached += _ones(edge[w])
            level += 1
    return counts


@njit(**KEPT)
def cores(adjacency):
    """Core number of every node, (n,) int64: the node of least degree goes first, again and again.

    Source: Matula & Beck (1983), smallest-last ordering.
    """
    n = len(adjacency)
    degree, core = np.zeros(n, np.int64), np.zeros(n, np.int64)
    left = np.ones(n, np.bool_)
    for i in range(n):
        for j in range(n):
            degree[i] += adjacency[i, j] != 0
    k = np.int64(0)
    for _ in range(n):
        least = -1
        for i in range(n):
            if left[i] and (least < 0 or degree[i] < degree[least]):
                least = i
        k = max(k, degree[least])
        core[least], left[least] = k, False
        for j in range(n):
            if adjacency[least, j]:
                degree[j] -= 1
    return core


@njit(**KEPT)
def swap(adjacency, ends, tries, seed):
    """Exchange ends of two links, ``tries`` times over, in place: a–b, c–d become a–d, c–b.

    A try that would make a loop or a double link changes nothing and counts all the same: so
    every simple graph with these degrees is equally likely in the end.

    Shapes:
        adjacency (n, n) uint8 · ends (m, 2) int64, each link once

    Returns:
        Number of exchanges made.
    """
    m = len(ends)
    state = np.array([seed], np.uint64)
    made = 0
    if m < 2:
        return made
    for _ in range(tries):
        one, two, bits = _below(_draw(state), m), _below(_draw(state), m), _draw(state)
        a, b = ends[one]
        c, d = ends[two]
        if bits & _ONE:
            c, d = d, c
        if one == two or a == d or c == b or adjacency[a, d] or adjacency[c, b]:
            continue
        adjacency[a, b] = adjacency[b, a] = adjacency[c, d] = adjacency[d, c] = 0
        adjacency[a, d] = adjacency[d, a] = adjacency[c, b] = adjacency[b, c] = 1
        ends[one, 1] = d
        ends[two, 0], ends[two, 1] = c, b
        made += 1
    return made


@njit(**KEPT)
def latticise(adjacency, tries, seed):
    """Exchange ends of links so that links grow short, nodes being places on a ring, in place.

    A try takes a link a–b at random and a place d between, nearer to a than b is; of d's links
    it takes d–c with c nearest to b. If a–d and b–c are together no longer, they take over.

    Shapes:
        adjacency (n, n) uint8

    Returns:
        Number of exchanges made.
    """
    n = len(adjacency)
    state = np.array([seed], np.uint64)
    made = 0
    for _ in range(tries):
        a, b, far = _below(_draw(state), n), _below(_draw(state), n), 0
        while far < n and not adjacency[a, b]:
            b, far = (b + 1) % n, far + 1
        apart = _around(a, b, n)
        if far == n or apart < 2:
            continue
        step = 1 + _below(_draw(state), apart - 1)
        d = (a + step) % n if _draw(state) & _ONE else (a - step) % n
        if adjacency[a, d]:
            continue
        for k in range(1, n // 2 + 1):
            c = (b + k) % n
            if not adjacency[d, c] or adjacency[b, c] or c == a:
                c = (b - k) % n
                if not adjacency[d, c] or adjacency[b, c] or c == a:
                    continue
            if _around(a, d, n) + k <= apart + _around(d, c, n):
                adjacency[a, b] = adjacency[b, a] = adjacency[c, d] = adjacency[d, c] = 0
                adjacency[a, d] = adjacency[d, a] = adjacency[c, b] = adjacency[b, c] = 1
                made += 1
            break
    return made


@njit(**KEPT)
def _around(i, j, n):
    """Steps from place i to place j on a ring of n, the shorter way."""
    apart = abs(i - j)
    return min(apart, n - apart)


@njit(**KEPT)
def shorten(length):
    """Replace lengths (n, n) by those of the shortest paths, in place (Floyd and Warshall)."""
    n = len(length)
    for k in range(n):
        through = length[k].copy()
        for i in range(n):
            first = length[i, k]
            row = length[i]
            for j in range(n):
                way = first + through[j]
                row[j] = way if way < row[j] else row[j]
