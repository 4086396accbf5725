"""The statistics of a circuit as a whole: P, its threshold, its draws, and its priors."""

from __future__ import annotations

import json

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nacgraph.graph.links import DEFAULT_BANDWIDTH, link_probabilities
from nacgraph.priors import PRIORS, GraphPrior, best_signatures, get_prior
from nacgraph.viz import statistics as s
from nacgraph.viz.statistics.views import draw_graph

FEW = {"nulls": 3, "samples": 2, "seeds": 2}


def circuit(n: int, groups: int = 4, seed: int = 0) -> np.ndarray:
    """P of signatures in groups."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(groups, 16, generator=generator, dtype=torch.float64)
    signatures = centres[torch.arange(n) * groups // n]
    signatures = signatures + 0.4 * torch.randn(n, 16, generator=generator, dtype=torch.float64)
    return link_probabilities(signatures, signatures, DEFAULT_BANDWIDTH).numpy()


@pytest.fixture(scope="module")
def found() -> dict:
    return s.circuit_statistics(circuit(24), **FEW)


def test_all_is_there_finite_and_reproducible(found: dict) -> None:
    assert set(found) == {"views", "communities", "block_models", "degree_tail"}
    assert set(found["views"]) == {"probability", "threshold", "sampled"}
    text = json.dumps(found, allow_nan=False)
    assert text == json.dumps(s.circuit_statistics(circuit(24), **FEW), allow_nan=False)
    other = s.circuit_statistics(circuit(24), **FEW, seed=1)
    assert other["views"]["sampled"]["links"] != found["views"]["sampled"]["links"]
    assert (
        other["views"]["probability"]["clustering"] == (found["views"]["probability"]["clustering"])
    )


def test_every_view_has_the_same_names_and_says_why_not(found: dict) -> None:
    names = set(found["views"]["threshold"])
    assert names == set(found["views"]["sampled"])
    assert names <= set(found["views"]["probability"])
    for view in found["views"].values():
        for name, statistic in view.items():
            assert statistic["value"] is not None or statistic["reason"], name
            assert statistic.get("z", 0) is not None or statistic["reason"], name


def test_views_are_of_what_they_say(found: dict) -> None:
    p = circuit(24)
    np.fill_diagonal(p, 0)
    views = found["views"]
    assert views["probability"]["degrees"]["value"] == pytest.approx(p.sum(1).tolist())
    assert views["probability"]["links"]["value"] == pytest.approx(p.sum() / 2)
    assert views["threshold"]["degrees"]["value"] == (p > 0.5).sum(1).tolist()
    draws = [draw_graph(p, 0, k) for k in range(2)]
    links = [int(draw.sum()) // 2 for draw in draws]
    got = views["sampled"]["links"]
    assert got["value"] == np.mean(links) and got["sd"] == pytest.approx(np.std(links, ddof=1))
    pooled = np.concatenate([draw.sum(1) for draw in draws])
    assert views["sampled"]["ccdf"]["value"] == s.degree_ccdf(pooled)
    beside = views["threshold"]["clustering"]
    assert beside["value"] == s.clustering((p > 0.5).astype(int))["value"]
    assert beside["nulls"] == 3 and len(views["threshold"]["cores"]["value"]) == 24


def test_drawn_graphs_have_the_probabilities() -> None:
    p = circuit(12)
    np.fill_diagonal(p, 0)
    rate = np.mean([draw_graph(p, 0, k) for k in range(2000)], axis=0)
    assert abs(rate - p).max() < 5 * (0.25 / 2000) ** 0.5
    assert (rate == rate.T).all() and not rate.diagonal().any()


def test_planted_groups_are_seen_from_every_side(found: dict) -> None:
    planted = np.arange(24) * 4 // 24
    assert s.adjusted_rand(found["communities"]["labels"], planted)["value"] == 1
    assert found["views"]["threshold"]["communities"]["value"] >= 4
    assert found["block_models"]["sbm"]["blocks"]["value"] >= 1
    assert found["views"]["threshold"]["modularity"]["z"] > 3


@pytest.mark.parametrize(
    "p",
    [
        np.ones((1, 1)),
        np.array([[1, 0.7], [0.7, 1]]),
        np.eye(6),
        np.ones((6, 6)),
        np.full((6, 6), 0.3),
        np.kron(np.eye(2), np.ones((4, 4))),
    ],
    ids=["single", "pair", "empty", "complete", "uniform", "two components"],
)
def test_the_edges_of_definition(p: np.ndarray) -> None:
    got = s.circuit_statistics(p, **FEW)
    json.dumps(got, allow_nan=False)
    views = got["views"]
    assert views["probability"]["nodes"] == {"value": len(p)}
    # All of these are regular: nothing varies, so there is no correlation.
    assert views["probability"]["assortativity"]["value"] is None
    assert views["threshold"]["assortativity"]["value"] is None


def test_weighted_statistics_of_0_and_1_are_the_binary_ones() -> None:
    for seed in range(5):
        adjacency = nx.to_numpy_array(nx.gnp_random_graph(25, 0.2, seed=seed))
        mean_local, ratio = s.weighted_clustering(adjacency)
        assert mean_local["value"] == pytest.approx(s.clustering(adjacency)["value"])
        assert mean_local["over"] == s.clustering(adjacency)["over"]
        assert ratio["value"] == pytest.approx(s.transitivity(adjacency)["value"])
        got = s.weighted_assortativity(adjacency)["value"]
        assert got == pytest.approx(s.assortativity(adjacency)["value"])


def test_a_uniform_p_has_closed_forms() -> None:
    p = np.full((8, 8), 0.3)
    local, ratio = s.weighted_clustering(p)
    assert local["value"] == pytest.approx(0.3) and ratio["value"] == pytest.approx(0.3)
    paths = s.weighted_path_lengths(p)
    assert paths.path_length["value"] == pytest.approx(-np.log(0.3))
    assert paths.reliability["value"] == pytest.approx(0.3)
    assert s.spectral_gap(p)["value"] == pytest.approx(8 / 7)
    assert s.algebraic_connectivity(p)["value"] == pytest.approx(8 * 0.3)
    view = s.circuit_statistics(p, **FEW)["views"]["probability"]
    assert view["isolated"]["value"] == pytest.approx(8 * 0.7**7)
    assert view["density"]["value"] == pytest.approx(0.3)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 25), st.floats(0.05, 1), st.integers(0, 10**6))
def test_most_probable_paths_as_networkx_finds_them(n: int, filled: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    w = rng.uniform(0.05, 1, (n, n)) * (rng.random((n, n)) < filled)
    w = np.triu(w, 1) + np.triu(w, 1).T
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_weighted_edges_from((i, j, -np.log(w[i, j])) for i, j in np.argwhere(np.triu(w)))
    length = dict(nx.all_pairs_dijkstra_path_length(graph))
    reliable = [np.exp(-length[i].get(j, np.inf)) for i in graph for j in graph if i != j]
    got = s.weighted_path_lengths(w)
    assert got.reliability["value"] == pytest.approx(np.mean(reliable))
    parts = sorted(nx.connected_components(graph), key=len, reverse=True)
    inside = [
        length[i][j]
        for part in parts
        if len(part) == len(parts[0])
        for i in part
        for j in part
        if i != j
    ]
    if inside:
        assert got.path_length["value"] == pytest.approx(np.mean(inside))
        assert got.diameter["value"] == pytest.approx(max(inside))
    else:
        assert got.path_length["value"] is None


def test_progress_rises_to_one() -> None:
    seen: list[float] = []
    s.circuit_statistics(circuit(10), **FEW, progress=lambda what, part: seen.append(part))
    assert seen == sorted(seen) and seen[-1] == 1 and len(seen) > 3 * 3 + 3


@pytest.mark.parametrize(
    ("p", "numbers", "message"),
    [
        (np.ones((2, 3)), {}, r"probability: expected a square matrix, got shape \(2, 3\)"),
        (np.full((3, 3), 1.5), {}, r"probability: expected numbers in \[0, 1\]"),
        (np.full((3, 3), np.nan), {}, r"probability: expected numbers in \[0, 1\]"),
        (np.triu(np.ones((3, 3))), {}, "probability: expected a symmetric matrix"),
        (np.ones((0, 0)), {}, "probability: expected at least one module, got none"),
        (np.ones((3, 3)), {"samples": 0}, "samples: expected at least 1, got 0"),
        (np.ones((3, 3)), {"nulls": -1}, "nulls: expected at least 0, got -1"),
    ],
)
def test_what_will_not_do_is_refused(p: np.ndarray, numbers: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        s.circuit_statistics(p, **numbers)


def test_without_nulls_there_is_no_z() -> None:
    got = s.circuit_statistics(circuit(12), nulls=0, samples=1, seeds=1)
    z = got["views"]["threshold"]["clustering"]
    assert z["value"] is not None and z["z"] is None and "no null graphs" in z["reason"]
    assert got["views"]["threshold"]["sigma"]["value"] is None


def test_distances_to_every_prior() -> None:
    n, width = 12, 12
    target = get_prior("planted_partition").edge_probabilities(n)
    fit = best_signatures(target, DEFAULT_BANDWIDTH, width)
    order = np.random.default_rng(0).permutation(n)
    p = link_probabilities(fit.signatures, fit.signatures, DEFAULT_BANDWIDTH).numpy()
    seen: list[float] = []
    got = s.prior_distances(
        p[order][:, order],
        DEFAULT_BANDWIDTH,
        width,
        untrained=2,
        progress=lambda what, part: seen.append(part),
    )
    assert set(got) == {name for name in PRIORS.names() if name != "none"}
    json.dumps(got, allow_nan=False)
    own = got["planted_partition"]
    assert own["matched"]["value"] == pytest.approx(own["floor"]["value"], abs=1e-4)
    assert own["raw"]["value"] > 10 * own["matched"]["value"] + 1e-3
    assert own["untrained"]["value"] > own["matched"]["value"] + 1e-3
    for parts in got.values():
        assert parts["matched"]["value"] <= parts["raw"]["value"] + 1e-12
        assert parts["floor"]["value"] <= parts["untrained"]["value"]
        assert parts["untrained"]["sd"] is not None
    assert seen == sorted(seen) and seen[-1] == 1


def test_a_single_module_has_no_distance() -> None:
    got = s.prior_distances(np.ones((1, 1)), DEFAULT_BANDWIDTH, 4)
    for parts in got.values():
        assert all(
            part["value"] is None and "no pairs" in part["reason"] for part in parts.values()
        )


def test_a_broken_prior_hides_no_other() -> None:
    class Broken(GraphPrior):
        def edge_probabilities(self, n: int) -> torch.Tensor:
            return torch.ones(n, n) @ torch.ones(n + 1)

    priors = {"broken": Broken(), "erdos_renyi": get_prior("erdos_renyi")}
    got = s.prior_distances(np.eye(6), DEFAULT_BANDWIDTH, 4, untrained=1, priors=priors)
    assert got["broken"]["raw"]["value"] is None
    assert "prior broken raised RuntimeError" in got["broken"]["raw"]["reason"]
    assert got["erdos_renyi"]["raw"]["value"] > 0
