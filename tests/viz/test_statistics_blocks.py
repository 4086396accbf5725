"""Communities and block models: planted groups come back, estimates equal closed forms."""

from __future__ import annotations

import json

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nacgraph.viz import statistics as s


def planted(n: int, groups: int, inside: float, between: float, seed: int = 0) -> tuple:
    """Adjacency and labels of a planted partition."""
    labels = np.arange(n) * groups // n
    p = np.where(labels[:, None] == labels, inside, between)
    upper = np.triu(np.random.default_rng(seed).random((n, n)) < p, 1)
    return (upper | upper.T).astype(int), labels


def test_planted_communities_come_back() -> None:
    labels = np.arange(60) * 4 // 60
    weight = np.where(labels[:, None] == labels, 0.9, 0.05)
    found = s.communities(weight, seeds=4, seed=1)
    assert s.adjusted_rand(found["labels"], labels)["value"] == 1
    assert found["labels"] == labels.tolist()  # of equal size: in order of the first member
    assert found["count"]["value"] == 4 and found["agreement"]["value"] == 1
    inside, between = 0.9 * 14, 0.05 * 45
    assert found["modularity"]["value"] == pytest.approx(inside / (inside + between) - 1 / 4)
    assert found["modularity"]["sd"] == 0 and found["modularity"]["seeds"] == 4
    assert found == s.communities(weight, seeds=4, seed=1)


def test_nodes_without_links_are_groups_of_their_own() -> None:
    adjacency = nx.to_numpy_array(nx.disjoint_union(nx.complete_graph(4), nx.empty_graph(2)))
    found = s.communities(adjacency, seeds=1)
    assert found["labels"] == [0, 0, 0, 0, 1, 2]
    assert found["agreement"]["value"] is None and found["modularity"]["sd"] is None


def test_no_links_no_communities() -> None:
    found = s.communities(np.eye(5))
    assert found["labels"] is None and found["modularity"] == s.undefined("no links")
    with pytest.raises(ValueError, match="seeds: expected at least 1, got 0"):
        s.communities(np.eye(5), seeds=0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30))
def test_adjusted_rand_as_scikit_learn_says(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import adjusted_rand_score

    one, other = np.array(pairs).T
    assert s.adjusted_rand(one, other)["value"] == pytest.approx(adjusted_rand_score(one, other))


def test_adjusted_rand_needs_the_same_nodes() -> None:
    with pytest.raises(ValueError, match="other: expected as many labels"):
        s.adjusted_rand(np.arange(3), np.arange(4))


def test_planted_blocks_come_back() -> None:
    adjacency, labels = planted(80, 4, 0.7, 0.05)
    found = s.block_models(adjacency, seed=0)
    for model in ("sbm", "dcsbm"):
        fit = found[model]
        assert s.adjusted_rand(fit["labels"], labels)["value"] > 0.95
        assert fit["blocks"]["value"] == 4 and sum(fit["sizes"]) == 80
        p = np.array(fit["block_p"])
        off = p[~np.eye(4, dtype=bool)]
        # Within four standard deviations of shares of 190 pairs inside, 400 between.
        assert abs(p.diagonal() - 0.7).max() < 4 * (0.7 * 0.3 / 190) ** 0.5
        assert abs(off - 0.05).max() < 4 * (0.05 * 0.95 / 400) ** 0.5
    assert found["better"]["value"] == "sbm"  # its degrees need no correction
    json.dumps(found, allow_nan=False)


def test_unequal_degrees_call_for_the_correction() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(200) * 2 // 200
    theta = rng.pareto(2.5, 200) + 0.3
    mean = np.outer(theta, theta) * np.where(labels[:, None] == labels, 0.5, 0.05)
    upper = np.triu(rng.random((200, 200)) < mean.clip(max=1), 1)
    found = s.block_models((upper | upper.T).astype(int), labels)
    assert found["better"]["value"] == "dcsbm"


def test_a_random_graph_is_one_block() -> None:
    found = s.block_models(nx.to_numpy_array(nx.gnp_random_graph(60, 0.15, seed=0)))
    for model in ("sbm", "dcsbm"):
        assert found[model]["blocks"]["value"] == 1 and found[model]["found_by"] == "one block"


def test_estimates_are_graspologics_where_it_has_any() -> None:
    from graspologic.models import DCSBMEstimator, SBMEstimator

    adjacency, labels = planted(40, 3, 0.5, 0.1, seed=3)
    found = s.block_models(adjacency, labels)
    plain = SBMEstimator(directed=False).fit(adjacency.astype(float), y=labels)
    assert np.allclose(found["sbm"]["block_p"], plain.block_p_)
    wanted = plain.score(adjacency.astype(float))
    assert found["sbm"]["log_likelihood"]["value"] == pytest.approx(wanted)
    corrected = DCSBMEstimator(directed=False).fit(adjacency.astype(float), y=labels)
    assert np.allclose(found["dcsbm"]["omega"], corrected.block_p_)
    assert np.allclose(found["dcsbm"]["theta"], corrected.degree_corrections_[:, 0])


def test_likelihoods_are_those_of_the_pairs() -> None:
    adjacency, labels = planted(30, 2, 0.5, 0.1, seed=4)
    found = s.block_models(adjacency, labels)
    i, j = np.triu_indices(30, 1)
    linked = adjacency[i, j]
    p = np.array(found["sbm"]["block_p"])[labels[i], labels[j]]
    bernoulli = (linked * np.log(p) + (1 - linked) * np.log1p(-p)).sum()
    assert found["sbm"]["log_likelihood"]["value"] == pytest.approx(bernoulli)
    assert found["sbm"]["poisson"]["log_likelihood"] == pytest.approx(
        (linked * np.log(p) - p).sum()
    )
    theta = np.array(found["dcsbm"]["theta"])
    mean = theta[i] * theta[j] * np.array(found["dcsbm"]["omega"])[labels[i], labels[j]]
    poisson = np.where(linked, np.log(np.where(linked, mean, 1)), 0).sum() - mean.sum()
    assert found["dcsbm"]["log_likelihood"]["value"] == pytest.approx(poisson)
    bic = 3 * np.log(435) - 2 * bernoulli
    assert found["sbm"]["parameters"]["value"] == 3
    assert found["sbm"]["bic"]["value"] == pytest.approx(bic)
    assert found["sbm"]["description_length"]["value"] == pytest.approx(bic / 2 + 30 * np.log(2))
    assert found["dcsbm"]["parameters"]["value"] == 3 + 28


def test_a_block_of_one_node_has_no_pairs_inside() -> None:
    star = nx.to_numpy_array(nx.star_graph(5))
    found = s.block_models(star, np.array([7, 2, 2, 2, 2, 2]))
    assert found["sbm"]["labels"] == [1, 0, 0, 0, 0, 0]
    assert found["sbm"]["block_p"] == [[0, 1], [1, None]]
    assert found["sbm"]["log_likelihood"]["value"] == 0  # a certain graph


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("full", [False, True])
def test_small_empty_and_complete_graphs(n: int, full: bool) -> None:
    adjacency = (np.ones((n, n)) - np.eye(n)) * full
    found = s.block_models(adjacency)
    if full and n >= 3:
        assert found["sbm"]["blocks"]["value"] == 1 and found["sbm"]["block_p"] == [[1]]
    else:
        assert found["sbm"]["value"] is None and found["sbm"]["reason"]


def test_labels_must_fit() -> None:
    with pytest.raises(ValueError, match=r"labels: expected shape \(4,\), got \(3,\)"):
        s.block_models(np.ones((4, 4)) - np.eye(4), np.arange(3))
    with pytest.raises(ValueError, match=r"labels: expected shape \(4,\), got \(3,\)"):
        s.modularity(np.ones((4, 4)), np.arange(3))
