"""The shipped priors against exact counts and networkx ensemble means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nacgraph.priors import (
    PRIORS,
    ErdosRenyi,
    GraphPrior,
    PlantedPartition,
    RingOfCliques,
    ScaleFree,
    WattsStrogatz,
    get_prior,
)
from nacgraph.testing import assert_prior

NAMES = [
    "erdos_renyi", "none", "planted_partition", "ring_of_cliques", "scale_free", "watts_strogatz",
]  # fmt: skip


def ensemble_mean(draw: Callable[[int], nx.Graph], n: int, count: int) -> Tensor:
    total = sum(nx.to_numpy_array(draw(seed), range(n)) for seed in range(count))
    return torch.as_tensor(total / count)


def degrees(target: Tensor) -> Tensor:
    return target.sum(1) - target.diagonal()


def links(target: Tensor) -> float:
    return target.triu(1).sum().item()


def test_all_are_there() -> None:
    assert set(NAMES) <= set(PRIORS.names())


@pytest.mark.parametrize("name", NAMES)
def test_every_prior_keeps_the_promises(name: str) -> None:
    assert_prior(get_prior(name), sizes=(1, 2, 3, 7, 8, 16, 33, 100))


@given(
    n=st.integers(1, 60),
    prior=st.one_of(
        st.builds(ScaleFree, st.floats(0, 70)),
        st.builds(PlantedPartition, st.integers(1, 70), st.floats(0, 1), st.floats(0, 1)),
        st.builds(RingOfCliques, st.integers(1, 70)),
        st.builds(ErdosRenyi, st.floats(0, 1)),
        st.builds(WattsStrogatz, st.integers(1, 35).map(lambda k: 2 * k), st.floats(0, 1)),
    ),
)
def test_any_size_and_any_parameters(n: int, prior: GraphPrior) -> None:
    target = prior.edge_probabilities(n)
    assert target.shape == (n, n) and target.dtype == torch.float64
    assert torch.equal(target, target.T)
    assert bool(((target >= 0) & (target <= 1)).all()) and bool((target.diagonal() == 1).all())


@pytest.mark.parametrize("name", sorted({*NAMES} - {"none"}))
@pytest.mark.parametrize("n", [8, 32, 128, 1024])
def test_defaults_give_sparse_connected_graphs_at_every_size(name: str, n: int) -> None:
    degree = degrees(get_prior(name).edge_probabilities(n)).mean().item()
    assert 2 <= degree <= max(7, 0.25 * n)


@given(n=st.integers(2, 200), degree=st.floats(0.1, 250))
def test_scale_free_has_the_mean_degree_asked_for(n: int, degree: float) -> None:
    target = ScaleFree(degree).edge_probabilities(n)
    assert degrees(target).mean().item() == pytest.approx(min(degree, n - 1), rel=1e-9)


def test_scale_free_has_the_degrees_of_barabasi_albert_growth() -> None:
    n, m = 200, 3
    grown = ensemble_mean(lambda seed: nx.barabasi_albert_graph(n, m, seed=seed), n, 150)
    target = ScaleFree(2 * m).edge_probabilities(n)
    # networkx starts from a star of m + 1, so that the very first modules differ; the rest must
    # not. Degrees fall from about 25 to 3 over this range.
    ratio = degrees(target)[10:] / degrees(grown)[10:]
    assert 0.75 < ratio.min() and ratio.max() < 1.25
    assert ratio.mean().item() == pytest.approx(1, abs=0.08)


def test_scale_free_samples_have_the_target_as_mean() -> None:
    prior = ScaleFree(6)
    mean = ensemble_mean(lambda seed: prior.sample(30, seed), 30, 1500).fill_diagonal_(1)
    assert (mean - prior.edge_probabilities(30)).abs().max() < 5 * 0.5 / 1500**0.5


def test_planted_partition_is_the_mean_of_random_partition_graphs() -> None:
    prior = PlantedPartition(groups=3, p_in=0.7, p_out=0.1)
    n = 20  # uneven: 7, 7, 6
    sizes = prior.communities(n).bincount().tolist()
    assert sizes == [7, 7, 6]
    mean = ensemble_mean(lambda s: nx.random_partition_graph(sizes, 0.7, 0.1, seed=s), n, 1500)
    assert (mean.fill_diagonal_(1) - prior.edge_probabilities(n)).abs().max() < 5 * 0.5 / 1500**0.5


@pytest.mark.parametrize("cliques", [2, 3, 5, 16])
@pytest.mark.parametrize("size", [3, 8])
def test_ring_of_cliques_is_that_of_networkx(cliques: int, size: int) -> None:
    ours = RingOfCliques(size).sample(cliques * size, seed=0)
    theirs = nx.ring_of_cliques(cliques, size)
    assert ours.number_of_edges() == theirs.number_of_edges()
    assert nx.is_isomorphic(ours, theirs)


@pytest.mark.parametrize(("n", "size"), [(250, 8), (100, 9), (21, 8), (33, 10), (17, 3)])
def test_ring_of_cliques_is_closed_whatever_the_size(n: int, size: int) -> None:
    prior = RingOfCliques(size)
    label = prior.communities(n)
    sizes = label.bincount()
    count = len(sizes)
    assert count == round(n / size) and sizes.max() - sizes.min() <= 1
    target = prior.edge_probabilities(n)
    assert links(target) == sum(s * (s - 1) // 2 for s in sizes.tolist()) + count
    member = torch.nn.functional.one_hot(label).double()
    between = (member.T @ target @ member).fill_diagonal_(0)
    # Every clique has one link to each of its two neighbours in the ring, and the ring is one.
    assert bool((between.sum(1) == 2).all())
    assert nx.is_isomorphic(nx.from_numpy_array(between.numpy()), nx.cycle_graph(count))
    assert degrees(target).max() <= sizes.max()  # no member carries both of its clique's links


def test_ring_of_one_and_of_two_cliques() -> None:
    assert bool((RingOfCliques(8).edge_probabilities(8) == 1).all())
    assert links(RingOfCliques(4).edge_probabilities(8)) == 2 * 6 + 2
    assert links(RingOfCliques(1).edge_probabilities(2)) == 1
    assert links(RingOfCliques(1).edge_probabilities(6)) == 6  # cliques of one: a plain ring


def test_erdos_renyi_is_constant() -> None:
    target = ErdosRenyi(0.3).edge_probabilities(9)
    assert links(target) == pytest.approx(0.3 * 36)
    assert set(target[0, 1:].tolist()) == {0.3}


@pytest.mark.parametrize(("n", "k", "beta"), [(20, 4, 0.3), (40, 8, 0.1), (20, 8, 0.5), (21, 4, 1)])
def test_watts_strogatz_is_the_mean_of_rewired_lattices(n: int, k: int, beta: float) -> None:
    count = 800
    target = WattsStrogatz(k, beta).edge_probabilities(n)
    assert links(target) == pytest.approx(n * k / 2)  # rewiring keeps the number of links
    mean = ensemble_mean(lambda seed: nx.watts_strogatz_graph(n, k, beta, seed=seed), n, count)
    around = torch.arange(n)
    for offset in range(1, n // 2 + 1):  # n pairs each: the mean over them is sharp
        drawn = mean[around, (around + offset) % n].mean().item()
        assert target[0, offset].item() == pytest.approx(drawn, abs=0.012 + 2 / (n * count) ** 0.5)


def test_watts_strogatz_without_rewiring_is_the_lattice() -> None:
    lattice = nx.to_numpy_array(nx.watts_strogatz_graph(15, 4, 0))
    target = WattsStrogatz(4, 0.0).edge_probabilities(15)
    assert torch.equal(target.fill_diagonal_(0), torch.as_tensor(lattice))


def test_none_asks_for_nothing() -> None:
    assert get_prior("none").is_none
    assert not any(get_prior(name).is_none for name in NAMES if name != "none")


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("planted_partition", {"p_in": 1.5}, "p_in: expected a probability"),
        ("planted_partition", {"groups": 0}, "groups: expected a whole number >= 1, got 0"),
        ("ring_of_cliques", {"clique_size": 2.5}, "clique_size: expected a whole number"),
        ("erdos_renyi", {"p": "x"}, "p: expected a probability"),
        ("scale_free", {"mean_degree": -1}, "mean_degree: expected at least 0"),
        ("scale_free", {"mean_degree": float("nan")}, "mean_degree: expected at least 0"),
        ("watts_strogatz", {"neighbours": 3}, "expected an even number, got 3"),
        ("scale_free", {"degree": 3}, r"expected parameters among \(mean_degree\), got degree"),
        ("scalefree", {}, "did you mean 'scale_free'"),
    ],
)
def test_wrong_parameters_are_told(name: str, parameters: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_prior(name, **parameters)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [0, -3, 2.5, True])
def test_a_wrong_size_is_told(name: str, n: int) -> None:
    with pytest.raises(ValueError, match="n: expected a whole number >= 1"):
        get_prior(name).edge_probabilities(n)


@dataclass(frozen=True)
class Faulty(GraphPrior):
    """A prior with one thing wrong."""

    fault: str = ""

    def edge_probabilities(self, n: int) -> Tensor:
        target = torch.full((n, n), 0.5, dtype=torch.float64).fill_diagonal_(1)
        if self.fault == "single":
            return target.float()
        if self.fault == "shape":
            return target[:, 1:]
        if self.fault == "diagonal":
            return target.fill_diagonal_(0)
        if n > 1 and self.fault in ("range", "lopsided", "nan"):
            wrong = {"range": 1.5, "lopsided": 0.7, "nan": float("nan")}[self.fault]
            target[0, 1] = wrong
            target[1, 0] = wrong if self.fault == "range" else 0.5
        return target

    def sample(self, n: int, seed: int) -> nx.Graph:
        if self.fault == "loops":
            return nx.from_edgelist([(k, k) for k in range(n)])
        if self.fault == "nodes":
            return nx.empty_graph(n + 1)
        if self.fault == "empty":
            return nx.empty_graph(n)
        return super().sample(n, seed)

    def communities(self, n: int) -> Tensor | None:
        return torch.zeros(n + 1, dtype=torch.long) if self.fault == "communities" else None


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("single", "expected dtype torch.float64"),
        ("shape", "expected shape"),
        ("diagonal", "expected 1 on the diagonal"),
        ("range", r"expected entries in \[0, 1\], got 1 to 1.5"),
        ("lopsided", "expected a symmetric matrix, got differences up to 0.2"),
        ("nan", "expected finite entries"),
        ("loops", "expected no self-loops"),
        ("nodes", "expected the nodes 0"),
        ("empty", "expected about"),
        ("communities", "communities: expected"),
    ],
)
def test_assert_prior_says_what_is_wrong(fault: str, message: str) -> None:
    assert_prior(Faulty())
    with pytest.raises(AssertionError, match=message):
        assert_prior(replace(Faulty(), fault=fault))
