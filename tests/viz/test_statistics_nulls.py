"""Null graphs: exactly the degrees, simple, uniform; and what is measured against them."""

from __future__ import annotations

from collections import Counter

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nacgraph.viz import statistics as s
from nacgraph.viz.statistics.values import against_nulls, over_draws


def array(graph: nx.Graph) -> np.ndarray:
    return nx.to_numpy_array(graph, dtype=int)


random_graphs = st.builds(
    lambda n, p, seed: array(nx.gnp_random_graph(n, p, seed=seed)),
    st.integers(1, 70),
    st.floats(0, 1),
    st.integers(0, 10**6),
)


@settings(max_examples=30, deadline=None)
@given(random_graphs, st.integers(0, 10**9))
def test_nulls_are_simple_and_keep_every_degree(adjacency: np.ndarray, seed: int) -> None:
    for make in (s.degree_preserving_null, s.lattice_null):
        null = make(adjacency, seed)
        assert (null.sum(1) == adjacency.sum(1)).all()
        assert (null == null.T).all() and not null.diagonal().any() and null.max(initial=0) <= 1
        assert (null == make(adjacency, seed)).all()  # the same seed, the same graph


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_nulls_forget_the_graph(p: float) -> None:
    adjacency = array(nx.gnp_random_graph(60, p, seed=1))
    one, other = (s.degree_preserving_null(adjacency, seed) for seed in (1, 2))
    pairs = np.triu_indices(60, 1)
    for a, b in ((adjacency, one), (one, other)):
        # As two graphs drawn on their own: correlation near 0 over 1770 pairs.
        assert abs(np.corrcoef(a[pairs], b[pairs])[0, 1]) < 0.12


@pytest.mark.parametrize(
    ("graph", "realisations"),
    [
        (nx.from_edgelist([(0, 1), (2, 3)]), 3),
        (nx.cycle_graph(4), 3),
        (nx.cycle_graph(5), 12),
        # Degrees 3, 2, 2, 2, 1 (a kite): counted by hand of networkx below.
        (nx.from_edgelist([(0, 1), (0, 2), (1, 2), (0, 3), (3, 4)]), None),
        (nx.complement(nx.cycle_graph(5)), 12),
    ],
)
def test_every_graph_with_these_degrees_is_equally_likely(
    graph: nx.Graph, realisations: int | None
) -> None:
    graph = nx.relabel_nodes(graph, {node: node for node in graph})
    adjacency = nx.to_numpy_array(graph, nodelist=sorted(graph), dtype=int)
    n = len(adjacency)
    pairs = np.triu_indices(n, 1)
    possible = 0  # by trying all graphs on n nodes
    for code in range(2 ** len(pairs[0])):
        links = np.zeros((n, n), int)
        links[pairs] = (code >> np.arange(len(pairs[0]))) & 1
        possible += ((links + links.T).sum(1) == adjacency.sum(1)).all()
    assert realisations in (None, possible)
    draws = 400 * possible
    counted = Counter(
        s.degree_preserving_null(adjacency, seed)[pairs].tobytes() for seed in range(draws)
    )
    assert len(counted) == possible
    # Each count is binomial: 5 standard deviations of 20.
    assert all(abs(count - 400) < 100 for count in counted.values())


@pytest.mark.parametrize(
    "graph", [nx.complete_graph(5), nx.star_graph(6), nx.empty_graph(4), nx.path_graph(2)]
)
def test_a_graph_alone_with_its_degrees_is_its_own_null(graph: nx.Graph) -> None:
    adjacency = array(graph)
    assert (s.degree_preserving_null(adjacency, 3) == adjacency).all()


def test_a_lattice_is_as_clustered_as_a_ring_lattice() -> None:
    ring = array(nx.watts_strogatz_graph(200, 8, 0, seed=0))
    mixed = s.degree_preserving_null(ring, 0)
    assert s.clustering(mixed)["value"] < 0.1
    found = s.clustering(s.lattice_null(mixed, 0))["value"]
    assert found > 0.95 * s.clustering(ring)["value"]


def test_a_ring_lattice_stands_out_and_a_random_graph_does_not() -> None:
    ring = array(nx.watts_strogatz_graph(100, 6, 0.05, seed=0))
    found = s.small_world(ring, s.null_graphs(ring, 20, 0), 0)
    assert found["clustering"]["z"] > 10 and found["transitivity"]["z"] > 10
    assert found["path_length"]["z"] > 3
    assert found["sigma"]["value"] > 2
    assert -1 < found["omega"]["value"] < 0  # nearer to a lattice than to chance
    z = []
    for seed in range(4):
        random = array(nx.gnp_random_graph(100, 0.08, seed=seed))
        nulls = s.null_graphs(random, 20, seed)
        found = s.small_world(random, nulls, seed)
        z += [found[name]["z"] for name in ("clustering", "path_length", "assortativity")]
        assert 0.7 < found["sigma"]["value"] < 1.4
        assert found["omega"]["value"] > 0.6
    assert max(map(abs, z)) < 4.5 and abs(np.mean(z)) < 1.2


def test_sigma_is_what_its_parts_say() -> None:
    graph = array(nx.watts_strogatz_graph(60, 6, 0.1, seed=2))
    found = s.small_world(graph, s.null_graphs(graph, 5, 0), 0)
    close, far, sigma = found["clustering"], found["path_length"], found["sigma"]
    wanted = (close["value"] / close["null_mean"]) / (far["value"] / far["null_mean"])
    assert sigma["value"] == pytest.approx(wanted)
    assert sigma["clustering_ratio"] / sigma["path_ratio"] == pytest.approx(wanted)
    omega = found["omega"]
    wanted = far["null_mean"] / far["value"] - close["value"] / omega["lattice_clustering"]
    assert omega["value"] == pytest.approx(wanted)


def test_a_complete_graph_has_no_z() -> None:
    complete = array(nx.complete_graph(7))
    found = s.small_world(complete, s.null_graphs(complete, 5, 0), 0)
    assert found["clustering"]["value"] == 1 and found["clustering"]["null_sd"] == 0
    assert found["clustering"]["z"] is None and "same value" in found["clustering"]["reason"]
    assert found["sigma"]["value"] == pytest.approx(1)
    assert found["assortativity"]["value"] is None


def test_a_graph_in_pieces_has_no_sigma_but_one_by_efficiency() -> None:
    cliques = array(nx.disjoint_union_all([nx.complete_graph(8)] * 6))
    found = s.small_world(cliques, s.null_graphs(cliques, 5, 0), 0)
    assert found["path_length"]["share"] == pytest.approx(1 / 6)
    assert found["path_length"]["null_share"] > 0.9
    assert found["sigma"]["value"] is None and "17% of the nodes" in found["sigma"]["reason"]
    assert found["sigma_efficiency"]["value"] > 1


@pytest.mark.parametrize("graph", [nx.empty_graph(4), nx.path_graph(2), nx.empty_graph(1)])
def test_small_worlds_need_neighbours(graph: nx.Graph) -> None:
    adjacency = array(graph)
    found = s.small_world(adjacency, s.null_graphs(adjacency, 3, 0), 0)
    for name in ("sigma", "sigma_efficiency", "omega"):
        assert found[name] == s.undefined("no node has two neighbours")


def test_a_star_has_no_triangles_to_compare() -> None:
    star = array(nx.star_graph(6))
    found = s.small_world(star, s.null_graphs(star, 3, 0), 0)
    assert found["sigma"] == s.undefined("the null graphs have no triangles")
    assert found["omega"] == s.undefined("the lattices have no triangles")


def test_z_is_the_distance_in_standard_deviations() -> None:
    nulls = [s.defined(1.0), s.defined(2.0), s.defined(3.0), s.undefined("not this one")]
    found = against_nulls(s.defined(5.0), nulls)
    assert found == {"value": 5.0, "null_mean": 2.0, "null_sd": 1.0, "nulls": 3, "z": 3.0}
    assert against_nulls(s.defined(5.0), [])["z"] is None
    assert "one null" in against_nulls(s.defined(5.0), nulls[:1])["reason"]
    assert against_nulls(s.undefined("no links"), nulls) == s.undefined("no links")


def test_draws_without_a_value_are_counted_and_left_out() -> None:
    found = over_draws([s.defined(1.0), s.undefined("no links"), s.defined(3.0)])
    assert found == {"value": 2.0, "sd": pytest.approx(2**0.5), "undefined": 1}
    none = over_draws([s.undefined("no links")] * 2)
    assert none["value"] is None and none["reason"] == "in every draw: no links"
    assert over_draws([s.defined([1, None]), s.defined([2, None])])["value"] == [1.5, None]
