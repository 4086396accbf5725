"""The compiled search of large circuits: its bookkeeping, what it ends at, what it recovers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nacgraph.priors import PRIORS, get_prior, match, matched_loss
from nacgraph.priors.chains import descend
from nacgraph.priors.search import LARGE, score_of, warm

Problem = tuple[np.ndarray, np.ndarray, np.ndarray]


def random_problem(n: int, seed: int) -> Problem:
    """Target and affinity, symmetric with zero diagonal, and a permutation."""
    draw = np.random.default_rng(seed)
    target, affinity = draw.random((n, n)), draw.standard_normal((n, n))
    for matrix in (target, affinity):
        matrix += matrix.T.copy()
        np.fill_diagonal(matrix, 0.0)
    target[:, : n // 2] = np.round(target[:, : n // 2])  # ties, as community targets have
    return np.maximum(target, target.T), affinity, draw.permutation(n)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_a_descent_knows_what_it_earned_and_ends_where_no_swap_helps(n: int, seed: int) -> None:
    target, affinity, start = random_problem(n, seed)
    single = target.astype(np.float32), affinity.astype(np.float32)
    found = start.copy()
    fit = single[0] @ single[1][start]
    moves, earned = descend(*single, fit, found, 1e-3, 10_000)
    assert sorted(found) == list(range(n))
    assert (moves == 0) == bool((found == start).all())
    change = score_of(target, affinity, found) - score_of(target, affinity, start)
    assert 2 * earned == pytest.approx(change, abs=1e-3)
    assert np.allclose(fit, target @ affinity[found], atol=1e-3)
    least = score_of(target, affinity, found) + 2 * (1e-3 + 1e-4)
    for i in range(n):
        for j in range(i):
            swapped = found.copy()
            swapped[[i, j]] = found[[j, i]]
            assert score_of(target, affinity, swapped) <= least


def test_chains_find_what_no_swap_finds() -> None:
    # Three groups of unlike needs, each group in the next one's place: a swap helps one of the
    # two groups and harms the other.
    found = np.array([1, 2, 0, 3, 4, 5])
    target = np.zeros((6, 6), np.float32)
    affinity = np.zeros((6, 6), np.float32)
    for i in range(3):
        target[i, 3 + i] = target[3 + i, i] = 1
        for j in range(3):  # module j in place i earns 2 at home, 1 now, 0 one place further
            affinity[j, 3 + i] = affinity[3 + i, j] = (2, 0, 1)[(i - j) % 3] if i != j else 2
    affinity[[1, 2, 0], [3, 4, 5]] = affinity[[3, 4, 5], [1, 2, 0]] = 1.2
    start = found.copy()
    moves, earned = descend(target, affinity, target @ affinity[start], found, 1e-6, 100)
    assert moves > 0 and earned == pytest.approx(3 * (2 - 1.2), abs=1e-5)
    assert found.tolist() == [0, 1, 2, 3, 4, 5]


def test_moves_are_bounded() -> None:
    target, affinity, start = (x.astype(np.float32) for x in random_problem(30, 0))
    found = start.astype(np.int64)
    moves, _ = descend(target, affinity, target @ affinity[found], found, 1e-6, 2)
    assert moves == 2


@pytest.mark.parametrize("name", [name for name in PRIORS.names() if name != "none"])
@pytest.mark.parametrize("kind", ["mse", "kl"])
def test_large_circuits_are_mended_never_harmed_and_always_alike(name: str, kind: str) -> None:
    n = LARGE + 14
    generator = torch.Generator().manual_seed(n)
    target = get_prior(name).edge_probabilities(n)
    noise = 0.05 * torch.randn(n, n, generator=generator, dtype=torch.float64)
    link = (target + noise + noise.T).clamp(0.001, 0.999).fill_diagonal_(1)
    order = torch.randperm(n, generator=generator)
    link, true = link[order][:, order], order.argsort()
    wrong = true.clone()
    places = torch.randperm(n, generator=generator)[:20]
    wrong[places] = true[places.roll(1)]
    found = match(link, target, start=wrong, kind=kind)
    loss = matched_loss(link, target, found, kind)
    for other in (wrong, true, torch.arange(n)):
        assert loss <= matched_loss(link, target, other, kind) + 1e-9
    assert torch.equal(found, match(link.clone(), target, start=wrong, kind=kind))
    again = match(link, target, start=found, kind=kind)
    assert matched_loss(link, target, again, kind) <= loss + 1e-15


def test_the_best_there_is_stays() -> None:
    target = get_prior("planted_partition").edge_probabilities(LARGE + 1).numpy().copy()
    np.fill_diagonal(target, 0.0)
    order = np.random.default_rng(0).permutation(len(target))
    affinity = target[np.ix_(order, order)]
    assert (warm(target, affinity, np.argsort(order)) == np.argsort(order)).all()
