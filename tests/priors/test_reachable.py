"""What signatures reach of each prior, from random and in closed form."""

from __future__ import annotations

import math

import networkx as nx
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from nacgraph.graph.links import link_probabilities
from nacgraph.priors import (
    PlantedPartition,
    best_signatures,
    fit_signatures,
    get_prior,
    lowest_probability,
    matched_loss,
    prior_signatures,
    reachable,
    reachable_floor,
)

BANDWIDTH, WIDTH, N = 0.334, 64, 128


@pytest.mark.parametrize(
    "name",
    ["scale_free", "planted_partition", "ring_of_cliques", "erdos_renyi", "watts_strogatz"],
)
def test_random_signatures_reach_the_floor_and_show_the_communities(name: str) -> None:
    prior = get_prior(name)
    target = prior.edge_probabilities(N)
    fit = fit_signatures(target, BANDWIDTH, WIDTH, seed=1)
    assert fit.loss <= 1.05 * reachable_floor(target, BANDWIDTH, WIDTH)
    link = link_probabilities(fit.signatures, fit.signatures, BANDWIDTH)
    assert matched_loss(link, target, fit.permutation).item() == pytest.approx(fit.loss)

    planted = prior.communities(N)
    if planted is not None:
        near = (link > 0.5).fill_diagonal_(False)
        graph = nx.from_numpy_array(near.numpy().astype(int))
        found = torch.empty(N, dtype=torch.long)
        for label, members in enumerate(nx.community.louvain_communities(graph, seed=0)):
            found[list(members)] = label
        # Module π(i) plays part i of the target.
        assert adjusted_rand_score(planted, found[fit.permutation]) >= 0.99


@pytest.mark.parametrize("name", ["planted_partition", "watts_strogatz"])
def test_the_divergence_reaches_its_floor_too(name: str) -> None:
    target = get_prior(name).edge_probabilities(32)
    floor = reachable_floor(target, BANDWIDTH, 16, steps=150, kind="kl")
    fit = fit_signatures(target, BANDWIDTH, 16, seed=2, steps=300, kind="kl")
    assert fit.loss <= 1.05 * floor + 1e-6


def test_the_closed_form_is_exact_where_the_width_allows() -> None:
    # Fully linked groups of orthogonal directions: the cosine matrix has rank 8.
    prior = PlantedPartition(groups=8, p_in=1.0, p_out=math.exp(-1 / BANDWIDTH))
    target = prior.edge_probabilities(64)
    signatures, error = prior_signatures(target, BANDWIDTH, 16)
    assert signatures.shape == (64, 16) and error < 1e-9
    assert torch.allclose(link_probabilities(signatures, signatures, BANDWIDTH), target)
    assert reachable_floor(target, BANDWIDTH, 16) < 1e-12


def test_the_closed_form_says_how_wrong_it_is_and_the_floor_is_lower() -> None:
    target = get_prior("erdos_renyi").edge_probabilities(32)
    signatures, error = prior_signatures(target, BANDWIDTH, 4)
    link = link_probabilities(signatures, signatures, BANDWIDTH)
    assert error == pytest.approx(matched_loss(link, target, torch.arange(32)).sqrt().item())
    floor = reachable_floor(target, BANDWIDTH, 4)
    assert 0 < floor < error**2
    assert floor == reachable_floor(target, BANDWIDTH, 4)
    assert reachable_floor(target, BANDWIDTH, 8) < 0.9 * floor  # more width reaches more


def test_a_bandwidth_bounds_what_can_be_reached() -> None:
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    link = link_probabilities(opposite, opposite, BANDWIDTH)
    assert link.min().item() == pytest.approx(lowest_probability(BANDWIDTH))
    # Two modules that should never link: the best there is is the bound itself.
    apart = torch.eye(2, dtype=torch.float64)
    assert reachable_floor(apart, 1.0, 4) == pytest.approx(lowest_probability(1.0) ** 2)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_modules(n: int) -> None:
    target = get_prior("planted_partition").edge_probabilities(n)
    signatures, error = prior_signatures(target, BANDWIDTH, 8)
    assert signatures.shape == (n, 8) and math.isfinite(error)
    assert fit_signatures(target, BANDWIDTH, 8, steps=30).loss < 0.1
    assert reachable_floor(target, BANDWIDTH, 8) < 0.01


def test_an_answer_is_found_once_a_process_and_nobody_can_spoil_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = get_prior("watts_strogatz").edge_probabilities(20)
    first = best_signatures(target, BANDWIDTH, 6, steps=40)
    kept = first.signatures.clone()
    first.signatures.zero_()
    searches = []
    usual = reachable._best_signatures
    monkeypatch.setattr(reachable, "_best_signatures", lambda *a: searches.append(a) or usual(*a))
    again = best_signatures(target.clone(), BANDWIDTH, 6, steps=40)
    assert torch.equal(again.signatures, kept) and again.loss == first.loss and not searches
    # All else is another question.
    other = target.clone()
    other[3, 4] = other[4, 3] = 0.5
    answers = [
        best_signatures(other, BANDWIDTH, 6, steps=40).loss,
        best_signatures(target, BANDWIDTH, 7, steps=40).loss,
        best_signatures(target, 0.5, 6, steps=40).loss,
        best_signatures(target, BANDWIDTH, 6, steps=1).loss,
        best_signatures(target, BANDWIDTH, 6, steps=40, kind="kl").loss,
    ]
    assert len(searches) == 5 and len({first.loss, *answers}) == 6
    assert best_signatures(target, BANDWIDTH, 6, steps=40).loss == first.loss  # forgotten, equal


def test_wrong_arguments_are_told() -> None:
    target = get_prior("erdos_renyi").edge_probabilities(8)
    with pytest.raises(ValueError, match="bandwidth: expected a number > 0"):
        prior_signatures(target, 0.0, 8)
    with pytest.raises(ValueError, match="width: expected a whole number >= 1"):
        reachable_floor(target, BANDWIDTH, 0)
