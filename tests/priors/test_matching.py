"""Matched losses: definition, gradients, the search against brute force and planted answers."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nacgraph.priors import GraphPrior, MatchedLoss, get_prior, match, matched_loss
from nacgraph.priors.matching import KINDS, METHODS


def random_link(n: int, seed: int) -> Tensor:
    values = torch.rand(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return ((values + values.T) / 2).fill_diagonal_(1)


def planted(name: str, n: int, noise: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """A noisy, relabelled target, the target, and the relabelling undone."""
    generator = torch.Generator().manual_seed(seed)
    target = get_prior(name).edge_probabilities(n)
    error = torch.randn(n, n, generator=generator, dtype=torch.float64).triu(1)
    link = (target + noise * (error + error.T)).clamp(0.001, 0.999).fill_diagonal_(1)
    order = torch.randperm(n, generator=generator)
    return link[order][:, order], target, order.argsort()


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_what_it_says(kind: str) -> None:
    link, target = random_link(5, 0), random_link(5, 1)
    permutation = torch.tensor([3, 0, 4, 1, 2])
    total = 0.0
    for i in range(5):
        for j in range(5):
            p, t = link[permutation[i], permutation[j]], target[i, j]
            if i != j and kind == "mse":
                total += (p - t) ** 2
            elif i != j:
                total += t * (t / p).log() + (1 - t) * ((1 - t) / (1 - p)).log()
    assert matched_loss(link, target, permutation, kind).item() == pytest.approx(float(total / 20))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_go_to_the_link_alone(kind: str) -> None:
    link, target = random_link(6, 0).clamp(0.01, 0.99).requires_grad_(), random_link(6, 1)
    target.requires_grad_()
    order = torch.randperm(6)
    matched_loss(link, target, order, kind).backward()
    assert target.grad is None
    assert link.grad is not None and bool((link.grad.diagonal() == 0).all())
    assert torch.autograd.gradcheck(lambda x: matched_loss(x, target, order, kind), (link,))


@pytest.mark.parametrize("kind", KINDS)
def test_certain_links_and_one_module_are_finite(kind: str) -> None:
    target = get_prior("ring_of_cliques").edge_probabilities(16)
    for link in (torch.ones(16, 16), torch.zeros(16, 16), target.float()):
        link = link.clone().requires_grad_()
        loss = matched_loss(link, target, torch.arange(16), kind)
        loss.backward()
        assert torch.isfinite(loss) and link.grad is not None
        assert bool(torch.isfinite(link.grad).all())
    one = torch.ones(1, 1)
    assert match(one, one).tolist() == [0]
    assert matched_loss(one, one, torch.tensor([0]), kind).item() == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 3, 5, 6, 7])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_iterated_finds_the_best_of_all_permutations(kind: str, n: int, seed: int) -> None:
    link, target = random_link(n, seed), random_link(n, 100 + seed)
    every = [torch.tensor(p) for p in permutations(range(n))]
    least = min(matched_loss(link, target, p, kind).item() for p in every)
    found = match(link, target, kind=kind)
    assert matched_loss(link, target, found, kind).item() == pytest.approx(least, abs=1e-12)


@settings(max_examples=25)
@given(
    n=st.integers(1, 20),
    seed=st.integers(0, 1000),
    method=st.sampled_from(["rows", "iterated"]),
    kind=st.sampled_from(KINDS),
)
def test_never_worse_than_the_identity_or_the_start(
    n: int, seed: int, method: str, kind: str
) -> None:
    link, target = random_link(n, seed), random_link(n, seed + 1)
    start = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    found = match(link, target, method, start=start, kind=kind)
    assert found.sort().values.tolist() == list(range(n))
    loss = matched_loss(link, target, found, kind)
    for other in (start, torch.arange(n)):
        assert loss <= matched_loss(link, target, other, kind) + 1e-12


@pytest.mark.parametrize("n", [256, 250])
@pytest.mark.parametrize("name", ["planted_partition", "ring_of_cliques"])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_planted_structure_is_recovered(name: str, noise: float, n: int) -> None:
    link, target, true = planted(name, n, noise, seed=n)
    found = matched_loss(link, target, match(link, target))
    # Equal up to relabellings that the target does not see; noise may favour another by a hair.
    assert found <= matched_loss(link, target, true) + 1e-12


def test_planted_structure_is_recovered_under_the_divergence_too() -> None:
    link, target, true = planted("planted_partition", 128, 0.1, seed=3)
    found = match(link, target, kind="kl")
    assert matched_loss(link, target, found, "kl") <= matched_loss(link, target, true, "kl") + 1e-12


def test_a_warm_start_mends_a_few_wrong_places() -> None:
    link, target, true = planted("watts_strogatz", 200, 0.1, seed=5)
    wrong = true.clone()
    places = torch.randperm(200, generator=torch.Generator().manual_seed(0))[:20]
    wrong[places] = true[places.roll(1)]
    found = match(link, target, start=wrong)
    assert matched_loss(link, target, found) <= matched_loss(link, target, true) + 1e-12


def test_rows_are_a_weak_heuristic_and_graph_agrees_with_iterated() -> None:
    link, target, true = planted("planted_partition", 48, 0.05, seed=1)
    least = matched_loss(link, target, true).item()
    loss = {m: matched_loss(link, target, match(link, target, m)).item() for m in METHODS}
    assert loss["iterated"] == pytest.approx(least, abs=1e-12)
    assert loss["graph"] == pytest.approx(least, abs=1e-12)
    assert loss["rows"] > 4 * least


def test_a_batch_has_one_permutation_best_for_its_mean_loss() -> None:
    link, target, true = planted("planted_partition", 32, 0.05, seed=2)
    batch = torch.stack([link, link * 0.9, link * 0.8])
    found = match(batch, target)
    each = torch.stack([matched_loss(one, target, found) for one in batch])
    assert matched_loss(batch, target, found).item() == pytest.approx(each.mean().item())
    assert matched_loss(batch, target, found) <= matched_loss(batch, target, true) + 1e-12


def test_the_module_refreshes_on_time_and_resumes() -> None:
    link, target, true = planted("ring_of_cliques", 40, 0.05, seed=4)
    loss = MatchedLoss(target, match_every=5)
    assert len(loss.state()) == 0 and not loss.state_dict()
    first = loss(link, 3)  # no permutation yet: found whatever the step
    assert first.item() == pytest.approx(matched_loss(link, target, true).item())
    kept = loss.state().clone()
    order = torch.randperm(40)
    moved = link[order][:, order]
    assert loss(moved, 4) > first and torch.equal(loss.state(), kept)
    resumed = MatchedLoss(target, match_every=5)
    resumed.load_state(kept)
    assert torch.equal(loss(moved, 5), resumed(moved, 5))
    assert torch.equal(loss.state(), resumed.state())
    assert loss(moved, 6) <= matched_loss(moved, target, kept)


def test_relabelling_the_modules_leaves_the_loss() -> None:
    link, target, _ = planted("planted_partition", 64, 0.1, seed=6)
    order = torch.randperm(64)
    one = MatchedLoss(target)(link, 0)
    other = MatchedLoss(target)(link[order][:, order], 0)
    assert one.item() == pytest.approx(other.item(), abs=1e-12)


@pytest.mark.parametrize("given", ["ring_of_cliques", get_prior("ring_of_cliques")])
@pytest.mark.parametrize("num_nodes", [None, 40])
def test_a_prior_is_its_target(given: str | GraphPrior, num_nodes: int | None) -> None:
    link, target, _ = planted("ring_of_cliques", 40, 0.05, seed=4)
    loss, wanted = MatchedLoss(given, num_nodes=num_nodes), MatchedLoss(target)
    assert f"n={num_nodes or '?'}" in repr(loss)
    for step in range(3):
        assert torch.equal(loss(link), wanted(link, step))
    resumed = MatchedLoss(given)
    resumed.load_state(loss.state())  # before it knows any size
    assert torch.equal(resumed(link, 1), loss(link, 1)) and not loss.state_dict()
    with pytest.raises(ValueError, match=r"link: expected shape \(40, 40\)"):
        loss(link[:4, :4])


def test_calls_count_as_steps() -> None:
    link, target, _ = planted("ring_of_cliques", 40, 0.05, seed=4)
    order = torch.randperm(40)
    moved = link[order][:, order]
    loss, wanted = (MatchedLoss(target, match_every=2) for _ in range(2))
    for step, one in enumerate((link, moved, moved)):
        assert torch.equal(loss(one), wanted(one, step))


def test_nan_gives_a_nan_loss_and_no_traceback() -> None:
    target = random_link(6, 0)
    link = target.clone()
    link[2, 3] = float("nan")
    assert MatchedLoss(target)(link, 0).isnan()


def _resume_at_another_size(link: Tensor) -> None:
    loss = MatchedLoss("ring_of_cliques")
    loss.load_state(torch.arange(4))
    loss(link)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: match(x, x, "hungarian"), "method: expected one of rows, iterated, graph"),
        (lambda x: match(x, x, kind="l1"), "kind: expected one of mse, kl"),
        (lambda x: match(x[:4], x), "link: expected shape"),
        (lambda x: match(x, x[:4]), "target: expected a square matrix"),
        (lambda x: match(x, x, start=torch.zeros(5).long()), "start: expected a permutation"),
        (lambda x: matched_loss(x, x, torch.arange(4)), "permutation: expected shape"),
        (lambda x: MatchedLoss(x, match_every=0), "match_every: expected a whole number"),
        (lambda x: MatchedLoss(x).load_state(torch.arange(4)), "permutation: expected shape"),
        (lambda x: MatchedLoss(x, num_nodes=4), "num_nodes: expected 5, got 4"),
        (lambda x: MatchedLoss("none"), "target: expected edge probabilities, or a prior"),
        (lambda x: MatchedLoss(3 * x), r"target: expected probabilities in \[0, 1\], got"),
        (lambda x: MatchedLoss(torch.nan * x), "target: expected probabilities .* got nan"),
        (lambda x: MatchedLoss(3.0), "target: expected edge probabilities, or a prior"),
        (lambda x: MatchedLoss("ring"), "ring"),
        (lambda x: _resume_at_another_size(x), r"permutation: expected shape \(5,\), got \(4,\)"),
    ],
)
def test_wrong_arguments_are_told(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call(random_link(5, 0))
