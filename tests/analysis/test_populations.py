"""Circuits that differ by sample: gathered once each, and measured against tags."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fewshot_tasks import Clusters, small
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score

from nacgraph.analysis.populations import (
    components,
    embed_circuits,
    gather,
    separation,
    tag_words,
    variation,
)
from nacgraph.analysis.populations.points import principal_components
from nacgraph.graph.links import link_probabilities
from nacgraph.viz.populations import circuits_figure, population_figure


def circuits(m: int = 24, n: int = 7, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    links = rng.uniform(size=(m, n, n))
    links = (links + links.transpose(0, 2, 1)) / 2
    links[:, range(n), range(n)] = 1
    return links.astype(np.float32)


def test_each_condition_has_its_circuit_once() -> None:
    task, model = Clusters(), small(condition="task")
    found = gather(model, task, "test")
    assert found.samples == len(task.table("test")) and len(found.rows) == 3  # three colours
    assert found.links.shape == (3, 6, 6)
    colours = task.table("test").columns["colour"][found.rows]
    assert sorted(colours) == [0, 1, 2]
    words = tag_words(task, "test", found)
    assert words["colour"] == [["red", "green", "blue"][c] for c in colours]
    assert words["label"] == [task.classes[k] for k in task.table("test").labels[found.rows]]
    assert (np.diagonal(found.links, axis1=1, axis2=2) == 1).all()
    for k, row in enumerate(found.rows):
        batch = task.collate(task.table("test"), np.array([row]), None)
        with torch.no_grad():
            design = model.design(batch, *model.tokenizer(batch))
            alone = design.links(model.circuit.kernel.bandwidth)[0][0].fill_diagonal_(1)
        np.testing.assert_allclose(found.links[k], alone.numpy(), atol=1e-5)


def test_circuits_of_inputs_are_as_many_as_inputs() -> None:
    task = Clusters()
    found = gather(small(condition="inputs"), task, "val", samples=9, precision="bf16-mixed")
    assert found.samples == len(found.rows) == 9
    assert found.links.dtype == np.float32 and np.isfinite(found.links).all()


def test_what_all_samples_share_is_refused() -> None:
    with pytest.raises(ValueError, match="nacgraph train --condition inputs"):
        gather(small(), Clusters(), "val")
    with pytest.raises(ValueError, match="got the complete graph"):
        gather(small(condition="inputs", wiring="complete"), Clusters(), "val")


def test_components_keep_all_distances_and_agree_with_sklearn() -> None:
    links = circuits()
    points = components(links)
    rows, columns = np.tril_indices(7, -1)
    flat = links[:, rows, columns].astype(float)
    wanted = np.linalg.norm(flat[:, None] - flat, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(points[:, None] - points, axis=-1), wanted, atol=1e-6)
    few = components(links, 4)
    np.testing.assert_allclose(np.abs(few), np.abs(PCA(4).fit_transform(flat)), atol=1e-5)


def test_components_have_the_sign_of_their_third_moment() -> None:
    flat = np.random.default_rng(1).normal(size=(9, 30)) ** 3
    points = principal_components(flat, 64)
    assert points.shape == (9, 8)  # nine centred rows span eight directions
    assert ((points**3).sum(0) >= 0).all()
    np.testing.assert_allclose(principal_components(flat[::-1], 64), points[::-1], atol=1e-9)
    # Turning all rows around leaves nothing for a sign to depend on but the points themselves.
    np.testing.assert_allclose(principal_components(-flat, 64), points, atol=1e-9)


def test_equal_circuits_have_no_components() -> None:
    with pytest.raises(ValueError, match="the generator ignores its condition"):
        components(np.repeat(circuits(1), 5, axis=0))
    with pytest.raises(ValueError, match="expected at least 3 different ones .* got 2 of 7"):
        components(circuits(2))


def test_variation_counts_links_that_come_and_go() -> None:
    links = np.zeros((2, 3, 3), np.float32)
    for i, j, here in ((1, 0, (1, 1)), (2, 0, (1, 0))):
        links[:, i, j] = links[:, j, i] = here
    found = variation(links)
    assert found["links_in_all"] == pytest.approx(1 / 3) == found["links_in_some"]
    assert found["mean_link_sd"] == pytest.approx(0.5 / 3)
    assert found["mean_degree"] == pytest.approx(1) and found["degree_sd"] == pytest.approx(1 / 3)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_silhouette_and_guesses_are_what_they_say(seed: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(17, 3))
    labels = np.concatenate([np.arange(groups), rng.integers(0, groups, 17 - groups)])
    found = separation(points, [f"w{k}" for k in labels], permutations=3)
    assert found["silhouette"]["value"] == pytest.approx(silhouette_score(points, labels))
    centred = points - points.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    assert found["silhouette_cosine"]["value"] == pytest.approx(silhouette_score(unit, labels))
    assert found["majority"] == np.bincount(labels).max() / 17

    right_near = right_mean = 0
    for k in range(17):  # by loops, each circuit guessed from the sixteen others
        others = np.delete(np.arange(17), k)
        apart = np.linalg.norm(points[others] - points[k], axis=1)
        near = others[np.argsort(apart)[:5]]
        votes = [(labels[near] == g).sum() for g in range(groups)]
        ranked = [sum(0.5**r for r, i in enumerate(near) if labels[i] == g) for g in range(groups)]
        right_near += max(range(groups), key=lambda g: (votes[g], ranked[g], -g)) == labels[k]
        means = [
            points[others[labels[others] == g]].mean(0) if (labels[others] == g).any() else np.inf
            for g in range(groups)
        ]
        right_mean += int(np.argmin([np.linalg.norm(points[k] - c) for c in means])) == labels[k]
    assert found["neighbours"]["value"] == pytest.approx(right_near / 17)
    assert found["centroid"]["value"] == pytest.approx(right_mean / 17)


def test_groups_apart_are_found_and_chance_is_not() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    centres = np.array([[8, 0, 0], [0, 8, 0], [0, 0, 8.0]])
    points = centres[labels] + rng.normal(size=(60, 3))
    words = [f"w{k}" for k in labels]
    apart = separation(points, words, permutations=199)
    for kind in ("silhouette", "silhouette_cosine", "neighbours", "centroid"):
        assert apart[kind]["value"] > 0.5 and apart[kind]["p"] == 1 / 200
        assert apart[kind]["chance"] < 0.4
    assert apart["counts"] == {"w0": 20, "w1": 20, "w2": 20}
    mixed = separation(points, rng.permutation(words).tolist(), permutations=199)
    assert all(mixed[k]["p"] > 0.01 for k in ("silhouette", "neighbours", "centroid"))
    assert separation(points, words, 20, seed=1) == separation(points, words, 20, seed=1)


def test_p_values_of_random_tags_are_uniform() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(12, 2))
    p = [
        separation(points, [str(w) for w in rng.permutation([0, 1] * 6)], 39, seed=k)["silhouette"][
            "p"
        ]
        for k in range(120)
    ]
    assert np.mean(np.array(p) <= 0.1) < 0.2 and np.mean(np.array(p) <= 0.5) == pytest.approx(
        0.5, abs=0.15
    )


def test_tags_that_make_no_groups_have_a_reason() -> None:
    points = np.random.default_rng(0).normal(size=(6, 2))
    same = separation(points, ["a"] * 6)
    assert same["value"] is None and "all samples have the same: 1 values among 6" in same["reason"]
    each = separation(points, list("abcdef"))
    assert each["value"] is None and "there are few samples of each: 6 values" in each["reason"]
    with pytest.raises(ValueError, match="words: expected 6, got 5"):
        separation(points, ["a"] * 5)
    with pytest.raises(ValueError, match="permutations: expected at least 1, got 0"):
        separation(points, list("aaabbb"), 0)


def seen(figure: Figure) -> list[Any]:
    return [axes for axes in figure.axes if axes.get_visible()]


def test_points_have_a_panel_for_each_perplexity_and_colours_by_word() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{k % 12}" for k in range(40)]
    figure = population_figure(
        {5.0: rng.normal(size=(40, 2)), 30.0: rng.normal(size=(40, 2))}, words
    )
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == ["perplexity 5", "perplexity 30"]
    names = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert len(names) == 11 and "w0 (4)" in names and names[-1].startswith("others (")
    assert len(figure.axes[0].collections[0].get_offsets()) == 40
    with pytest.raises(ValueError, match=r"points: expected \(40, 2\), got shape \(39, 2\)"):
        population_figure({5.0: np.zeros((39, 2))}, words)
    with pytest.raises(ValueError, match="expected at least one perplexity"):
        population_figure({}, words)


def test_circuits_stand_under_their_sentences_group_by_group() -> None:
    links = circuits(5)
    titles = ["short", "a sentence " * 20, "c", "d", "e"]
    figure = circuits_figure(links, titles, ["x", "x", "x", "y", "y"], columns=2)
    shown = seen(figure)
    assert [axes.get_title("left") for axes in shown][::2][:1] == ["short"]
    assert len(shown) == 5 and len(figure.axes) == 6  # rows: x x, x, y y
    long = shown[1].get_title("left")
    assert long.endswith("…") and len(long.splitlines()) == 3
    pairs = int((np.triu(links[0], 1) > 0.5).sum())
    assert shown[0].get_xlabel() == f"x · {pairs} links"
    assert len(shown[0].collections[0].get_segments()) == pairs
    with pytest.raises(ValueError, match="titles: expected 5, got 1"):
        circuits_figure(links, ["a"], ["x"] * 5)
    with pytest.raises(ValueError, match="links: expected at least one circuit"):
        circuits_figure([], [], [])


def forming(count: int, n: int = 12, groups: int = 3) -> list[np.ndarray]:
    """Link probabilities of circuits from random signatures to groups of like ones."""
    rng = np.random.default_rng(0)
    random = rng.normal(size=(n, 16))
    grouped = rng.normal(size=(groups, 16))[np.arange(n) % groups]
    links = []
    for part in np.linspace(0, 0.95, count):
        signatures = torch.from_numpy((1 - part) * random + part * grouped)
        links.append(link_probabilities(signatures, signatures, 0.334).numpy())
    return links


def test_circuits_of_a_run_lie_near_in_order() -> None:
    links = forming(24)
    places = embed_circuits(links, perplexity=5, seed=1)
    np.testing.assert_array_equal(places, embed_circuits(links, perplexity=5, seed=1))
    assert places.shape == (24, 2)
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    apart = np.linalg.norm(places[:12] - places[12:], axis=1)
    assert steps.mean() < 0.5 * apart.mean()


@pytest.mark.parametrize(
    ("links", "perplexity", "message"),
    [
        (np.ones((2, 4, 4)), 1, "link_matrices: expected at least 3 circuits, got 2"),
        (np.ones((4, 4, 4)), 4, "perplexity: expected above 0 and below the number of circuits, 4"),
        (np.ones((4, 4, 4)), 2, "link_matrices: expected circuits that differ"),
        ([np.ones((3, 3)), np.ones((4, 4))], 1, "link_matrices: expected circuits of one size"),
        (np.ones((4, 1, 1)), 2, r"link_matrices: expected \(m, U, U\), U > 1"),
    ],
)
def test_circuits_that_cannot_be_embedded(links: Any, perplexity: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embed_circuits(links, perplexity)


def test_two_modules_are_placed_by_their_single_link() -> None:
    links = np.ones((6, 2, 2))
    links[:, 0, 1] = links[:, 1, 0] = np.linspace(0.1, 0.9, 6)
    assert np.isfinite(embed_circuits(links, 2.0)).all()
