"""Layouts: deterministic, blind to the numbering of modules, linked modules near each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nacgraph.viz import force_layout, readout_layout


def planted(n: int, groups: int, spread: float = 0.5, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Link probabilities of signatures around common directions, and their groups."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % groups
    around = rng.normal(size=(groups, 32))[labels] + spread * rng.normal(size=(n, 32))
    unit = around / np.linalg.norm(around, axis=1, keepdims=True)
    return np.exp(-(1 - unit @ unit.T).clip(0) / 0.334), labels


def distances(places: np.ndarray) -> np.ndarray:
    return np.linalg.norm(places[:, None] - places[None], axis=-1)


@pytest.mark.parametrize("n", [8, 48, 200])
def test_linked_modules_are_nearer(n: int) -> None:
    link, labels = planted(n, 4)
    apart = distances(force_layout(link))
    same = labels[:, None] == labels[None]
    pairs = ~np.eye(n, dtype=bool)
    assert apart[same & pairs].mean() < 0.5 * apart[~same].mean()
    # Whoever is nearest is, as a rule, of one's own group.
    np.fill_diagonal(apart, np.inf)
    assert (labels[apart.argmin(1)] == labels).mean() > 0.9


@settings(max_examples=15, deadline=None)
@given(n=st.integers(3, 40), seed=st.integers(0, 1000))
def test_relabelled_modules_keep_their_places(n: int, seed: int) -> None:
    link, _ = planted(n, 3, seed=seed)
    order = np.random.default_rng(seed).permutation(n)
    places = force_layout(link)
    np.testing.assert_allclose(force_layout(link[np.ix_(order, order)]), places[order], atol=1e-9)
    assert places.shape == (n, 2) and np.abs(places).max(initial=0) <= 1 + 1e-12


def test_the_same_seed_gives_the_same_places_also_of_twins() -> None:
    link = np.ones((12, 12))
    first = force_layout(link, seed=3)
    np.testing.assert_array_equal(first, force_layout(link, seed=3))
    apart = distances(first)[~np.eye(12, dtype=bool)]
    assert apart.min() > 0.1  # twins do not lie on each other


def test_modules_without_any_link_are_spread() -> None:
    places = force_layout(np.eye(30))
    assert distances(places)[~np.eye(30, dtype=bool)].min() > 0.05
    assert np.isfinite(places).all()


def test_a_nearer_signature_is_a_nearer_place() -> None:
    # Three modules: the springs alone decide.
    link = np.array([[1.0, 0.9, 0.2], [0.9, 1.0, 0.2], [0.2, 0.2, 1.0]])
    apart = distances(force_layout(link))
    assert apart[0, 1] < apart[0, 2]
    # The minimum of w r²/2 - log r has r = 1/√w, w = 1/max(-log P, 0.1): the ratio of the
    # two distances is the root of that of the springs, were the pairs on their own.
    pair = force_layout(np.array([[1.0, 0.3], [0.3, 1.0]]))
    np.testing.assert_allclose(np.abs(pair[:, 0]), [1, 1])


def test_a_start_is_neither_turned_nor_mirrored() -> None:
    link, _ = planted(40, 4)
    places = force_layout(link)
    turned = places @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    again = force_layout(link, start=turned)
    assert np.abs(again - turned).max() < 0.1
    assert np.abs(again - places).max() > 0.5


def test_read_outs_lie_by_what_they_listen_to() -> None:
    link, labels = planted(40, 4)
    places = force_layout(link)
    heard = np.stack([np.where(labels == group, 0.9, 0.02) for group in (0, 0, 1, 2, 3)])
    beside = readout_layout(places, heard)
    centres = np.stack([places[labels == group].mean(0) for group in range(4)])
    nearest = np.linalg.norm(beside[:, None] - centres[None], axis=-1).argmin(1)
    assert nearest.tolist() == [0, 0, 1, 2, 3]
    everything = np.concatenate([places, beside])
    apart = distances(everything) + 9 * np.eye(len(everything))
    assert apart[len(places) :].min() > 0.02  # on no module and on no other read-out
    np.testing.assert_array_equal(beside, readout_layout(places, heard))


def test_no_read_out_is_no_error() -> None:
    assert readout_layout(np.zeros((3, 2)), np.zeros((0, 3))).shape == (0, 2)


@pytest.mark.parametrize(
    ("link", "message"),
    [
        (np.ones((2, 3)), r"probability: expected a \(n, n\) matrix, got shape \(2, 3\)"),
        (np.ones((0, 0)), "probability: expected"),
        (np.full((2, 2), np.nan), "probability: expected finite numbers"),
        (2 * np.ones((2, 2)), r"probability: expected probabilities in \[0, 1\], got 2 to 2"),
    ],
)
def test_what_is_no_probability_is_refused(link: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        force_layout(link)


def test_positions_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"start: expected finite positions \(3, 2\)"):
        force_layout(np.eye(3), start=np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"readout_probability: expected \(O, 3\)"):
        readout_layout(np.zeros((3, 2)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="positions: expected"):
        readout_layout(np.zeros((3, 3)), np.zeros((2, 3)))
