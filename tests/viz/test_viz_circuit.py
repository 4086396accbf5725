"""Drawings of circuits and priors hold what the numbers say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from nacgraph.priors import PlantedPartition, RingOfCliques, register_prior
from nacgraph.priors.base import PRIORS
from nacgraph.viz import (
    COMMUNITY_COLOURS,
    block_figure,
    circuit_drawing,
    circuit_figure,
    degree_ccdf_figure,
    frames_figure,
    modules_figure,
    prior_figure,
    priors_figure,
    spectral_figure,
)
from nacgraph.viz.degrees import ccdf
from nacgraph.viz.frames import Frame
from nacgraph.viz.style import NEUTRAL


def links(figure: Figure, panel: int = 0) -> int:
    """Line segments drawn in a panel's first collection, its links."""
    found = [c for c in figure.axes[panel].collections if isinstance(c, LineCollection)]
    return len(found[0].get_segments())


def dots(figure: Figure, panel: int = 0) -> PathCollection:
    return next(c for c in figure.axes[panel].collections if isinstance(c, PathCollection))


def colours(collection: PathCollection) -> list[str]:
    return [to_hex(colour) for colour in collection.get_facecolors()]


def random_link(n: int, seed: int = 0) -> np.ndarray:
    upper = np.triu(np.random.default_rng(seed).random((n, n)), 1)
    return upper + upper.T + np.eye(n)


@pytest.mark.parametrize("n", [1, 2, 3, 30])
@pytest.mark.parametrize("threshold", [0.5, 0.9])
def test_as_many_links_and_modules_as_there_are(n: int, threshold: float) -> None:
    link = random_link(n)
    figure = circuit_drawing(link, threshold=threshold)
    wanted = int((np.triu(link, 1) > threshold).sum())
    assert links(figure) == wanted
    assert len(dots(figure).get_offsets()) == n
    assert f"{wanted} link{'s' * (wanted != 1)} with P > {threshold:g}" in (
        figure.axes[0].get_title("left")
    )


def test_modules_are_coloured_by_expected_degree() -> None:
    link = random_link(12)
    figure = circuit_drawing(link)
    np.testing.assert_allclose(np.sort(dots(figure).get_array()), np.sort(link.sum(1) - 1))
    assert figure.axes[1].get_ylabel() == "expected degree"


def test_a_module_without_number_is_grey() -> None:
    figure = circuit_drawing(random_link(3), colour_by=[1.0, np.nan, 3.0], scale_label="lost")
    grey, coloured = [c for c in figure.axes[0].collections if isinstance(c, PathCollection)]
    assert len(grey.get_offsets()) == 1 and colours(grey) == [NEUTRAL]
    np.testing.assert_array_equal(coloured.get_array(), [1, 3])
    assert figure.axes[1].get_ylabel() == "lost"


def test_read_outs_are_squares_that_keep_at_least_one_link() -> None:
    heard = np.array([[0.9, 0.8, 0.1, 0.0], [0.1, 0.3, 0.2, 0.1]])
    figure = circuit_drawing(np.eye(4), readout_probability=heard)
    lines = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    assert len(lines[1].get_segments()) == 3  # two above one half, and the likeliest of the other
    squares = [c for c in figure.axes[0].collections if isinstance(c, PathCollection)][-1]
    assert len(squares.get_offsets()) == 2


def test_a_community_has_the_same_colour_in_every_figure() -> None:
    labels = np.array([1, 0, 1, 3, -1, 0])
    wanted = [NEUTRAL if k < 0 else COMMUNITY_COLOURS[k] for k in labels]
    rng = np.random.default_rng(0)
    link = random_link(6)
    assert colours(dots(circuit_drawing(link, colour_by="community", labels=labels))) == wanted
    assert colours(dots(spectral_figure(rng.normal(size=(6, 3)), labels))) == wanted
    table = [{"degree": k, "community": c, "accuracy_lost": 0.1} for k, c in enumerate(labels)]
    assert colours(dots(modules_figure({"modules": table}))) == wanted
    frame = Frame(0, rng.normal(size=(6, 4)), rng.normal(size=(1, 4)))
    assert colours(dots(frames_figure([frame], labels=labels), 1)) == wanted


def test_a_link_within_a_community_has_its_colour() -> None:
    figure = circuit_drawing(np.ones((3, 3)), colour_by="community", labels=[0, 0, 1])
    drawn = next(c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    assert [to_hex(c) for c in drawn.get_colors()].count(COMMUNITY_COLOURS[0]) == 1
    shown = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert shown == ["0 (2)", "1 (1)"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"colour_by": "community"}, "labels: expected the community of each module"),
        ({"colour_by": "role"}, "colour_by: expected 'degree', 'community' or numbers, got 'role'"),
        ({"colour_by": [1, 2]}, "colour_by: expected 3 numbers"),
        ({"labels": [0, 1]}, "labels: expected 3 whole numbers"),
        ({"positions": np.zeros((2, 2))}, r"positions: expected \(3, 2\)"),
        ({"readout_probability": np.ones((2, 2))}, r"readout_probability: expected \(O, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        circuit_drawing(np.eye(3), **arguments)


def test_priors_are_drawn_on_one_scale_of_degrees() -> None:
    figure = priors_figure(["ring_of_cliques", "planted_partition", RingOfCliques(4)], 16, seed=2)
    samples = [
        prior.sample(16, 2) for prior in (RingOfCliques(), PlantedPartition(), RingOfCliques(4))
    ]
    for panel, graph in enumerate(samples):
        assert links(figure, panel) == graph.number_of_edges()
        degrees = sorted(degree for _, degree in graph.degree)
        assert sorted(dots(figure, panel).get_array()) == degrees
    most = max(degree for graph in samples for _, degree in graph.degree)
    assert {dots(figure, panel).norm.vmax for panel in range(3)} == {most}


def test_all_registered_priors_but_none_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PRIORS, "_classes", dict(PRIORS._classes))
    register_prior("mine")(type("Mine", (RingOfCliques,), {}))
    titles = [axes.get_title("left") for axes in priors_figure(n=8).axes]
    shown = {title.split(":")[0].replace(" ", "_") for title in titles if title}
    assert shown == set(PRIORS.names()) - {"none"}
    with pytest.raises(ValueError, match="priors: expected at least one"):
        priors_figure([])


def test_the_circuit_is_in_matched_order_beside_its_prior() -> None:
    target = RingOfCliques(4).edge_probabilities(12)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    link = torch.empty_like(target)
    link[order[:, None], order[None]] = target  # link[order][:, order] is the target
    figure = circuit_figure("title", link, target, order, difference=True)
    images = [axes.images[0].get_array() for axes in figure.axes[:3]]
    np.testing.assert_array_equal(images[0], target)
    np.testing.assert_array_equal(images[1], target)
    assert images[2].max() == 0 and "mean square 0" in figure.axes[2].get_title("left")
    assert links(figure, 3) == int((torch.triu(target, 1) > 0.5).sum())
    assert len(circuit_figure("title", link, target, order).axes) == 3 + 2  # two scales
    with pytest.raises(ValueError, match="link, target, permutation: expected"):
        circuit_figure("title", link, target, order[:5])


@pytest.mark.parametrize("n", [1, 2])
def test_few_modules_are_no_error(n: int) -> None:
    prior = RingOfCliques()
    target = prior.edge_probabilities(n)
    circuit_figure("few", target, target, torch.arange(n), difference=True)
    prior_figure("few", target, target, prior.sample(n, 0))
    priors_figure(["ring_of_cliques"], n)
    spectral_figure(np.ones((n, 1)))
    degree_ccdf_figure({"probability": target.sum(1) - 1}).canvas.draw()


def test_ccdf_of_a_star() -> None:
    # A hub with four leaves: all have at least one link, a fifth have four.
    at, mean, low, high = ccdf(np.array([[4.0, 1, 1, 1, 1]]))
    assert at.tolist() == [1, 4] and mean.tolist() == [1.0, 0.2]
    at, mean, low, high = ccdf(np.array([[0.0, 2], [2, 2]]))
    assert (at.tolist(), mean.tolist()) == ([0, 2], [1.0, 0.75])
    assert (low.tolist(), high.tolist()) == ([1.0, 0.5], [1.0, 1.0])


def test_degrees_have_a_line_a_view_and_a_fitting_scale() -> None:
    even = {"probability": np.full(20, 4.5), "sampled": np.full((3, 20), 4)}
    figure = degree_ccdf_figure(even, prior=np.full(20, 4.0))
    axes = figure.axes[0]
    assert len(axes.lines) == 3 and axes.get_xscale() == "linear"
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["P (expected degree)", "sampled graphs (mean of 3)", "prior (expected degree)"]
    hubs = np.array([40.0, 20, *np.ones(17), 0])
    heavy = degree_ccdf_figure({"threshold": hubs}).axes[0]
    assert (heavy.get_xscale(), heavy.get_yscale()) == ("log", "log")
    assert "1 of 20 without link" in heavy.get_title("left")  # what a log scale cannot show
    np.testing.assert_allclose(heavy.lines[0].get_ydata()[:-1], [0.95, 0.95, 0.1, 0.05])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({},), "views: expected degrees of at least one view"),
        (({"threshold": [-1.0]},), r"views\['threshold'\]: expected finite degrees of at least 0"),
        (({"threshold": [1.0]}, None, "cubic"), "scale: expected 'auto', 'linear' or 'log'"),
    ],
)
def test_what_are_no_degrees_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        degree_ccdf_figure(*arguments)


def test_blocks_show_their_numbers() -> None:
    figure = block_figure({"SBM": [[0.9, 0.05], [0.05, 0.8]], "DCSBM": [[30, 2], [2, 25.5]]})
    shown = [[text.get_text() for text in axes.texts] for axes in figure.axes[:2]]
    assert shown == [["0.90", "0.05", "0.05", "0.80"], ["30", "2", "2", "25.5"]]
    with pytest.raises(ValueError, match=r"blocks\['SBM'\]: expected a \(n, n\) matrix"):
        block_figure({"SBM": [[1, 2]]})


def test_latent_positions_are_points() -> None:
    places = np.random.default_rng(0).normal(size=(9, 4))
    figure = spectral_figure(places, values=[5, 3, 2, 1, 0.5])
    np.testing.assert_array_equal(dots(figure).get_offsets(), places[:, :2])
    np.testing.assert_array_equal(dots(figure, 1).get_offsets(), places[:, 1:3])
    assert figure.axes[2].get_title("left") == "4 kept"
    with pytest.raises(ValueError, match="embedding: expected finite numbers"):
        spectral_figure([[np.nan, 1.0]])
