"""The search behind matching: the quadratic assignment problem, by local search.

Everywhere ``wanted`` (the target) and ``affinity`` (of the link probabilities) are symmetric
with zero diagonal, and the permutation π with the largest sum of T_ij A_π(i)π(j) is sought.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.optimize import linear_sum_assignment

from nacgraph.priors.seriation import Matrix, Permutation, guesses

SEARCH = 2**20  # over n^2: assignments that one local search may make
FOLLOWED = 2  # guesses that a cold search follows up beyond 256 modules
RESTARTS = 8  # random starts of a cold search while they are cheap: up to 64 modules


def score_of(wanted: Matrix, affinity: Matrix, permutation: Permutation) -> float:
    return float(np.vdot(wanted, affinity[np.ix_(permutation, permutation)]))


def best(wanted: Matrix, affinity: Matrix, candidates: list[Permutation]) -> Permutation:
    """The first of the best, so that a tie keeps the identity or the earlier answer."""
    return max(candidates, key=lambda permutation: score_of(wanted, affinity, permutation))


def warm(wanted: Matrix, affinity: Matrix, permutation: Permutation) -> Permutation:
    """Local search: whole reassignments while they help, then disjoint pair swaps, in turn.

    An assignment costs O(n^3), more the less structure there is to go by, so large circuits get
    few of them (16 at n = 256, 1 at n = 1024); a round of swaps costs one matrix product.
    """
    score = score_of(wanted, affinity, permutation)
    assignments = max(1, SEARCH // len(wanted) ** 2)
    for _ in range(min(50, 10 + 2 * assignments)):
        placed = affinity[np.ix_(permutation, permutation)]
        # fit[i, b]: what place i earns if the module at b takes it and b's place is i's in turn.
        # Least row distance is largest fit, since the norms of rows sum to a constant.
        fit = wanted @ placed + wanted * placed
        for move in _moves(fit, assignments > 0):
            moved = permutation[move]
            after = score_of(wanted, affinity, moved)
            if after > score + 1e-12 * (1 + abs(score)):
                permutation, score = moved, after
                break
        else:
            break
        assignments -= 1
    return permutation


def _moves(fit: Matrix, assign: bool) -> Iterator[Permutation]:
    if assign:
        yield linear_sum_assignment(fit, maximize=True)[1]
    yield from _swaps(fit)


def _swaps(fit: Matrix) -> list[Permutation]:
    """All disjoint swaps that gain, as one move, and the single best one (whose gain is sure)."""
    own = fit.diagonal()
    gain = fit + fit.T - own[:, None] - own[None, :]  # half of what swapping i and b earns
    partner = gain.argmax(1)
    most = gain[np.arange(len(fit)), partner]
    every = np.arange(len(fit))
    single = every.copy()
    used: set[int] = set()
    for i in np.argsort(-most, kind="stable"):
        b = int(partner[i])
        if most[i] <= 1e-12:
            break
        if i in used or b in used:
            continue
        used |= {int(i), b}
        every[[i, b]] = b, i
        if len(used) == 2:
            single[[i, b]] = b, i
    return [every, single] if used else []


def graph_matching(wanted: Matrix, affinity: Matrix, seed: int) -> Permutation:
    from graspologic.match import graph_match

    if len(wanted) < 2:
        return np.arange(len(wanted))
    found = graph_match(wanted, affinity, n_init=10, init_perturbation=0.5, rng=seed)
    return np.asarray(found.indices_B)[np.argsort(found.indices_A)].astype(np.int64)


def rows(wanted: Matrix, affinity: Matrix) -> Permutation:
    """One assignment of rows, columns left where they are."""
    return linear_sum_assignment(wanted @ affinity, maximize=True)[1]


def cold(wanted: Matrix, affinity: Matrix, seed: int) -> list[Permutation]:
    """Answers of the local search from the identity, from guesses, from random starts."""
    n = len(wanted)
    starts = [np.arange(n), *guesses(wanted, affinity)]
    if n <= 64:
        shuffle = np.random.default_rng(seed)
        starts += [shuffle.permutation(n) for _ in range(RESTARTS)]
    if n > 256:
        starts.sort(key=lambda start: -score_of(wanted, affinity, start))
        del starts[FOLLOWED:]
    return [warm(wanted, affinity, start) for start in starts]
