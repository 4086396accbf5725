"""Single statistics of graphs: closed forms, networkx where it is right, what is not defined."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nacgraph.viz import statistics as s


def array(graph: nx.Graph) -> np.ndarray:
    return nx.to_numpy_array(graph, dtype=int)


def empty(n: int) -> np.ndarray:
    return np.zeros((n, n), int)


COMPLETE, STAR, RING, PATH = (
    array(nx.complete_graph(6)),
    array(nx.star_graph(5)),
    array(nx.cycle_graph(8)),
    array(nx.path_graph(5)),
)
TWO_CLIQUES = array(nx.disjoint_union(nx.complete_graph(4), nx.complete_graph(4)))
UNEQUAL = array(nx.disjoint_union(nx.complete_graph(4), nx.path_graph(3)))

SCALARS: dict[str, Callable[[np.ndarray], s.Statistic]] = {
    "density": s.density,
    "clustering": s.clustering,
    "transitivity": s.transitivity,
    "path_length": lambda a: s.path_lengths(a).path_length,
    "diameter": lambda a: s.path_lengths(a).diameter,
    "global_efficiency": lambda a: s.path_lengths(a).global_efficiency,
    "assortativity": s.assortativity,
    "spectral_gap": s.spectral_gap,
    "algebraic_connectivity": s.algebraic_connectivity,
    "gini": lambda a: s.gini(s.degrees(a)),
    "hubs": lambda a: s.defined(s.hubs(s.degrees(a))["count"]),
    "cores": lambda a: s.defined(int(s.core_numbers(a).max())),
    "components": lambda a: s.defined(int(s.components(a).max())),
}

HARMONIC_PATH = (4 / 1 + 3 / 2 + 2 / 3 + 1 / 4) * 2 / 20
CLOSED_FORMS = {
    "complete": (COMPLETE, {
        "density": 1, "clustering": 1, "transitivity": 1, "path_length": 1, "diameter": 1,
        "global_efficiency": 1, "assortativity": None, "spectral_gap": 6 / 5,
        "algebraic_connectivity": 6, "gini": 0, "hubs": 0, "cores": 5, "components": 0,
    }),
    "star": (STAR, {
        "density": 1 / 3, "clustering": 0, "transitivity": 0, "path_length": 50 / 30,
        "diameter": 2, "global_efficiency": (10 + 20 / 2) / 30, "assortativity": -1,
        "spectral_gap": 1, "algebraic_connectivity": 1, "gini": 1 / 3, "hubs": 1, "cores": 1,
        "components": 0,
    }),
    "ring": (RING, {
        "density": 2 / 7, "clustering": 0, "transitivity": 0, "path_length": 16 / 7,
        "diameter": 4, "global_efficiency": (2 * (1 + 1 / 2 + 1 / 3) + 1 / 4) / 7,
        "assortativity": None, "spectral_gap": 1 - np.cos(np.pi / 4),
        "algebraic_connectivity": 2 - 2 * np.cos(np.pi / 4), "gini": 0, "hubs": 0, "cores": 2,
        "components": 0,
    }),
    "path": (PATH, {
        "density": 0.4, "clustering": 0, "transitivity": 0, "path_length": 2, "diameter": 4,
        "global_efficiency": HARMONIC_PATH, "assortativity": -1 / 3,
        "spectral_gap": 1 - np.cos(np.pi / 4), "algebraic_connectivity": 2 - 2 * np.cos(np.pi / 5),
        "cores": 1, "components": 0,
    }),
    "two components": (TWO_CLIQUES, {
        "density": 3 / 7, "clustering": 1, "transitivity": 1, "path_length": 1, "diameter": 1,
        "global_efficiency": 3 / 7, "assortativity": None, "spectral_gap": 4 / 3,
        "algebraic_connectivity": 0, "cores": 3, "components": 1,
    }),
    "unequal components": (UNEQUAL, {
        "clustering": 4 / 5, "transitivity": 12 / 13, "path_length": 1, "diameter": 1,
        "spectral_gap": 4 / 3, "algebraic_connectivity": 0, "components": 1,
    }),
    "empty": (empty(5), {
        "density": 0, "clustering": None, "transitivity": None, "path_length": None,
        "diameter": None, "global_efficiency": 0, "assortativity": None, "spectral_gap": None,
        "algebraic_connectivity": 0, "gini": None, "hubs": 0, "cores": 0, "components": 4,
    }),
    "single node": (empty(1), {
        "density": None, "clustering": None, "path_length": None, "global_efficiency": None,
        "assortativity": None, "spectral_gap": None, "algebraic_connectivity": None, "gini": None,
        "cores": 0, "components": 0,
    }),
    "two nodes": (array(nx.path_graph(2)), {
        "density": 1, "clustering": None, "path_length": 1, "diameter": 1, "global_efficiency": 1,
        "assortativity": None, "spectral_gap": 2, "algebraic_connectivity": 2, "gini": 0,
        "cores": 1,
    }),
}  # fmt: skip


@pytest.mark.parametrize("graph", CLOSED_FORMS)
def test_closed_forms(graph: str) -> None:
    adjacency, wanted = CLOSED_FORMS[graph]
    for name, value in wanted.items():
        got = SCALARS[name](adjacency)
        if value is None:
            assert got["value"] is None and got["reason"], name
        else:
            assert got["value"] == pytest.approx(value, abs=1e-12), name


def test_what_is_of_a_part_says_of_how_much() -> None:
    paths = s.path_lengths(UNEQUAL)
    assert paths.path_length["share"] == paths.diameter["share"] == 4 / 7
    assert s.clustering(UNEQUAL)["over"] == 5  # two ends of the path have one neighbour
    assert s.spectral_gap(UNEQUAL)["share"] == 4 / 7


def test_components_that_tie_for_the_largest_all_count() -> None:
    graph = nx.disjoint_union(nx.complete_graph(4), nx.path_graph(4))
    paths = s.path_lengths(array(graph))
    assert paths.path_length["value"] == pytest.approx((12 * 1 + 12 * 5 / 3) / 24)
    assert paths.diameter["value"] == 3
    assert s.spectral_gap(array(graph))["value"] == pytest.approx(0.5)  # the path's 1 - cos(π/3)


random_graphs = st.builds(
    lambda n, p, seed: nx.gnp_random_graph(n, p, seed=seed),
    st.integers(2, 90),
    st.floats(0, 1),
    st.integers(0, 10**6),
)


@settings(max_examples=40, deadline=None)
@given(random_graphs)
def test_as_networkx_says(graph: nx.Graph) -> None:
    adjacency = array(graph)
    local = nx.clustering(graph)
    known = [local[node] for node in graph if graph.degree(node) > 1]
    got = s.local_clustering(adjacency)
    assert got[np.isfinite(got)] == pytest.approx(known)
    assert s.clustering(adjacency)["value"] == (pytest.approx(np.mean(known)) if known else None)
    if known:
        assert s.transitivity(adjacency)["value"] == pytest.approx(nx.transitivity(graph))
    assert s.core_numbers(adjacency).tolist() == list(nx.core_number(graph).values())
    paths = s.path_lengths(adjacency)
    assert paths.global_efficiency["value"] == pytest.approx(nx.global_efficiency(graph))
    assert s.density(adjacency)["value"] == pytest.approx(nx.density(graph))
    parts = sorted(nx.connected_components(graph), key=len, reverse=True)
    assert sorted(map(len, parts)) == sorted(np.bincount(s.components(adjacency)).tolist())
    if len(parts[0]) > 1 and (len(parts) == 1 or len(parts[0]) > len(parts[1])):
        part = graph.subgraph(parts[0])
        wanted = nx.average_shortest_path_length(part)
        assert paths.path_length["value"] == pytest.approx(wanted)
        assert paths.diameter["value"] == nx.diameter(part)
        spectrum = np.sort(nx.normalized_laplacian_spectrum(part))
        assert s.spectral_gap(adjacency)["value"] == pytest.approx(spectrum[1], abs=1e-9)
    degree = {d for _, d in graph.degree if d}
    if len(degree) > 1:
        wanted = nx.degree_pearson_correlation_coefficient(graph)
        assert s.assortativity(adjacency)["value"] == pytest.approx(wanted, abs=1e-9)
    else:
        assert s.assortativity(adjacency)["value"] is None
    labels = s.components(adjacency) % 3
    if graph.number_of_edges():
        groups = [set(np.flatnonzero(labels == c)) for c in np.unique(labels)]
        wanted = nx.community.modularity(graph, groups)
        assert s.modularity(adjacency, labels)["value"] == pytest.approx(wanted)


@settings(max_examples=25, deadline=None)
@given(random_graphs, st.integers(0, 10**6))
def test_relabelling_changes_nothing(graph: nx.Graph, seed: int) -> None:
    adjacency = array(graph)
    order = np.random.default_rng(seed).permutation(len(adjacency))
    moved = adjacency[order][:, order]
    for name, statistic in SCALARS.items():
        one, other = statistic(adjacency), statistic(moved)
        assert one.keys() == other.keys(), name
        for key in one:
            if isinstance(one[key], float | int):
                assert one[key] == pytest.approx(other[key], abs=1e-9), name
            else:
                assert one[key] == other[key], name
    assert s.core_numbers(moved).tolist() == s.core_numbers(adjacency)[order].tolist()
    assert s.degree_ccdf(s.degrees(moved)) == s.degree_ccdf(s.degrees(adjacency))


def test_ccdf_gini_and_hubs() -> None:
    assert s.degree_ccdf(np.array([1, 1, 3, 2])) == [[1, 1.0], [2, 0.5], [3, 0.25]]
    assert s.gini(np.array([0, 0, 0, 8]))["value"] == pytest.approx(3 / 4)
    found = s.hubs(np.array([1] * 20 + [9]))
    assert found["value"] == [20] and found["count"] == 1
    assert found["threshold"] == pytest.approx(29 / 21 + 2 * np.std([1] * 20 + [9]))


def test_the_embedding_is_the_factor_of_what_it_embeds() -> None:
    labels = np.arange(30) % 3
    weight = np.where(labels[:, None] == labels, 0.8, 0.1)
    found = s.spectral_embedding(weight, dimensions=3)
    places = np.array(found["value"])
    assert abs(places - places[labels]).max() < 1e-5  # members of a block lie together
    product = places @ places.T
    off = ~np.eye(30, dtype=bool)
    assert abs(product - weight)[off].max() < 0.06  # of rank 3 up to the diagonal
    assert s.spectral_embedding(empty(4))["value"] is None


@pytest.mark.parametrize(
    ("adjacency", "message"),
    [
        (np.zeros((2, 3)), r"adjacency: expected a square matrix, got shape \(2, 3\)"),
        (np.array([[0, 1], [0, 0]]), "adjacency: expected a symmetric matrix"),
        (np.array([[0, 0.5], [0.5, 0]]), "adjacency: expected entries of 0 and 1"),
        (np.array([[0, np.nan], [np.nan, 0]]), "adjacency: expected entries of 0 and 1"),
    ],
)
def test_what_is_no_graph_is_refused(adjacency: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        s.clustering(adjacency)


def test_the_diagonal_is_not_looked_at() -> None:
    assert s.clustering(RING + 7 * np.eye(8, dtype=int)) == s.clustering(RING)


def test_undefined_has_a_reason_and_numbers_are_finite() -> None:
    assert s.undefined("no links") == {"value": None, "reason": "no links"}
    assert json.dumps(s.defined(np.float64(1.5), list=np.arange(2)), allow_nan=False)
    with pytest.raises(ValueError, match="sd: expected a finite number, got nan"):
        s.defined(1.0, sd=float("nan"))


def test_importing_is_light(tmp_path: Path) -> None:
    heavy = "graspologic graspologic_native matplotlib numba sklearn"
    code = f"import sys, nacgraph.viz.statistics; print(*set({heavy.split()}) & set(sys.modules))"
    root = str(Path(s.__file__).resolve().parents[2])
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""
