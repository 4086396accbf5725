"""The search behind matching: the quadratic assignment problem, by local search.

Everywhere ``wanted`` (the target) and ``affinity`` (of the link probabilities) are symmetric
with zero diagonal, and the permutation π with the largest sum of T_ij A_π(i)π(j) is sought.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from nacgraph.priors.seriation import Matrix, Permutation, guesses

F = TypeVar("F", np.float32, np.float64)
SEARCH = 2**20  # over n^2: assignments that one local search of a small circuit may make
LARGE = 256  # modules beyond which compiled code searches: below, loading it costs more
LEAST = 1e-9  # of the scale of scores: what a move must earn; single precision sees little less
FAR = 1e-5  # of the scale of scores, times n: swaps that promise more are far from an optimum
FOLLOWED = 2  # guesses that a cold search follows up beyond 256 modules
RESTARTS = 8  # random starts of a cold search while they are cheap: up to 64 modules


def score_of(wanted: Matrix, affinity: Matrix, permutation: Permutation) -> float:
    return float(np.vdot(wanted, _placed(affinity, permutation)))


def _placed(affinity: NDArray[F], permutation: Permutation) -> NDArray[F]:
    """``affinity[π][:, π]``; taking twice is four times as fast as indexing with both."""
    return affinity.take(permutation, 0).take(permutation, 1)


def best(wanted: Matrix, affinity: Matrix, candidates: list[Permutation]) -> Permutation:
    """The first of the best, so that a tie keeps the identity or the earlier answer."""
    return max(candidates, key=lambda permutation: score_of(wanted, affinity, permutation))


def warm(wanted: Matrix, affinity: Matrix, permutation: Permutation) -> Permutation:
    """The local search: never worse than ``permutation``, equal to it if nothing better is near."""
    search = _by_assignments if len(wanted) <= LARGE else _by_chains
    return search(wanted, affinity, permutation)


def _by_chains(wanted: Matrix, affinity: Matrix, permutation: Permutation) -> Permutation:
    """Chains of exchanges until none helps; before and after, reassignments if far from there.

    A reassignment takes up to a second at n = 1024, and where few modules move, as between two
    refreshes, it hardly ever helps.
    """
    from nacgraph.priors.chains import descend, swap_gains

    target: NDArray[np.float32] = wanted.astype(np.float32)
    near: NDArray[np.float32] = affinity.astype(np.float32)
    scale = float(np.linalg.norm(target)) * float(np.linalg.norm(near))
    fit = target @ near.take(permutation, 0)
    promised = swap_gains(target, near, fit, permutation).clip(0).sum()
    far = promised > FAR * len(wanted) * scale
    assignments = max(1, SEARCH // len(wanted) ** 2) if far else 0
    found, descended = permutation.copy(), False
    while True:
        if assignments > 0:
            assignments -= 1
            moved = found[_reassigned(fit.take(found, 1) + target * _placed(near, found))]
            if score_of(wanted, affinity, moved) > score_of(wanted, affinity, found):
                found, descended = moved, False
                fit = target @ near.take(found, 0)
                continue
        if descended:
            break
        descend(target, near, fit, found, LEAST * scale, 8 * len(wanted))
        descended = True
    if (found == permutation).all():
        return permutation
    # In single precision a move may be taken that earns nothing.
    return best(wanted, affinity, [permutation, found])


def _reassigned(fit: NDArray[F]) -> Permutation:
    return linear_sum_assignment(fit, maximize=True)[1]


def _by_assignments(wanted: Matrix, affinity: Matrix, permutation: Permutation) -> Permutation:
    """Whole reassignments while they help, then disjoint pair swaps, in turn.

    An assignment costs O(n^3), more the less structure there is to go by, so larger circuits get
    fewer of them (16 at n = 256); a round of swaps costs one matrix product.
    """
    score = score_of(wanted, affinity, permutation)
    assignments = max(1, SEARCH // len(wanted) ** 2)
    for _ in range(min(50, 10 + 2 * assignments)):
        placed = _placed(affinity, permutation)
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
        yield _reassigned(fit)
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
