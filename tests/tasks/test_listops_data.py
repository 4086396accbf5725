"""ListOps data: the distribution, the evaluator, the cache, and LRA's files."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listops_reference import TREES, Tree, sequences, value, words

from nacgraph.tasks.batching import Sequences
from nacgraph.tasks.listops import trees as listops_trees
from nacgraph.tasks.listops.data import Recipe, generate, generated_splits, row_hashes
from nacgraph.tasks.listops.trees import evaluate, grow


@settings(max_examples=150)
@given(st.lists(TREES, min_size=1, max_size=5))
def test_evaluator_agrees_with_a_plain_recursion(trees: list[Tree]) -> None:
    found = sequences(*(words(tree) for tree in trees)).labels
    assert found.tolist() == [value(tree) for tree in trees]


@pytest.mark.parametrize(
    "row", ["X", "[MAX X", "[MAX 2", "2 X", "1 2", "[MAX 2 X 3", "[SM [MIN X X"]
)
def test_evaluator_marks_what_is_no_tree(row: str) -> None:
    assert sequences(row.split()).labels.tolist() == [-1]


def length_law(longest: int, max_depth: int, max_args: int) -> np.ndarray:
    """P(length = l) of a random tree for l = 0 … longest, by convolution from the leaves up."""
    leaf = np.zeros(longest + 1)
    leaf[1] = 1
    law = leaf
    for _ in range(max_depth - 1):
        total, power = np.zeros(longest + 1), np.eye(1, longest + 1)[0]
        for arguments in range(1, max_args + 1):
            power = np.convolve(power, law)[: longest + 1]
            if arguments > 1:
                total[2:] += power[:-2] / (max_args - 1)
        law = 0.75 * leaf + 0.25 * total
    return law


@pytest.mark.parametrize(
    ("max_depth", "max_args", "longest"), [(10, 10, 60), (3, 4, 40), (2, 2, 4)]
)
def test_lengths_follow_their_exact_law(max_depth: int, max_args: int, longest: int) -> None:
    count = 20_000
    _, offsets = grow((3,), count, 1, longest, max_depth, max_args)
    law = length_law(longest, max_depth, max_args)
    expected = count * law / law.sum()
    found = np.bincount(np.diff(offsets), minlength=longest + 1)
    assert found[expected == 0].sum() == 0
    assert np.all(np.abs(found - expected) <= 5 * np.sqrt(expected) + 3)


def test_nodes_are_drawn_as_in_lra() -> None:
    tokens, offsets = grow((0,), 2_000, 501, 1999)
    lengths, labels = np.diff(offsets), evaluate(tokens, offsets)
    assert lengths.min() >= 501 and lengths.max() <= 1999
    assert abs(lengths.mean() - 1036) < 30 and abs(np.median(lengths) - 955) < 40
    share = np.bincount(labels, minlength=10) / len(labels)
    assert np.all(np.abs(share[[0, 9]] - 0.169) < 0.035)
    assert np.all(np.abs(share[1:9] - 0.083) < 0.03)
    digits = np.bincount(tokens[tokens <= 10], minlength=11)[1:]
    kinds = np.bincount(tokens[(tokens > 10) & (tokens < 15)], minlength=15)[11:]
    for counts in (digits, kinds):
        assert np.all(np.abs(counts / counts.mean() - 1) < 0.02)
    depth = np.cumsum(np.where(tokens == 15, -1, (tokens > 10).astype(int)))
    assert depth.max() == 9  # a tenth level holds only digits


@pytest.mark.parametrize("bounds", [(2, 3), (5, 4), (10, 20, 1, 10), (23, 40, 2, 10), (4, 9, 3, 1)])
def test_impossible_lengths_are_refused(bounds: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"no tree|max_args"):
        grow((0,), 1, *bounds)


def test_rare_lengths_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listops_trees, "_PATIENCE", 100)
    with pytest.raises(ValueError, match="too rare"):
        grow((0,), 10, 501, 1999)


SHORT = Recipe(4, 60, (300, 70, 50))


def rows_of(part: Sequences) -> list[bytes]:
    return [part.row(i).tobytes() for i in range(len(part))]


def test_a_seed_gives_the_same_sequences_with_any_number_of_workers() -> None:
    one, two = generate(SHORT, 4, workers=1), generate(SHORT, 4, workers=3)
    assert rows_of(one) == rows_of(two) and one.labels.tolist() == two.labels.tolist()
    assert set(rows_of(one)) != set(rows_of(generate(SHORT, 5)))


@settings(max_examples=8)
@given(st.integers(0, 2**31), st.tuples(*[st.integers(1, 200)] * 3), st.integers(20, 80))
def test_splits_are_disjoint_and_as_large_as_asked(
    seed: int, sizes: tuple[int, int, int], longest: int
) -> None:
    made = generate(Recipe(4, longest, sizes), seed)
    assert len(set(row_hashes(made))) == len(made) == sum(sizes)
    assert 4 <= made.lengths.min() and made.lengths.max() <= longest
    assert made.labels.tolist() == evaluate(made.tokens, made.offsets).tolist()


def test_every_sequence_of_a_small_space_can_be_had_but_no_more() -> None:
    assert len(generate(Recipe(4, 4, (400,)), 0)) == 400  # 4 operators, 10 × 10 digits
    with pytest.raises(ValueError, match="401 different.*got only 400"):
        generate(Recipe(4, 4, (401,)), 0)


def test_splits_come_from_the_cache_the_second_time(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    first = generated_splits(SHORT, 0, tmp_path, progress=lambda *at: calls.append(at))
    assert [len(part) for part in first] == [300, 70, 50] and calls[-1] == (420, 420)
    calls.clear()
    again = generated_splits(SHORT, 0, tmp_path, progress=lambda *at: calls.append(at))
    assert calls == []
    assert [rows_of(part) for part in first] == [rows_of(part) for part in again]
    (file,) = tmp_path.iterdir()
    assert all(part in file.name for part in ("len4-60", "n300+70+50", "seed0"))


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_damaged_cache_file_is_named(tmp_path: Path, damage: str) -> None:
    generated_splits(SHORT, 0, tmp_path, progress=None)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "other":
        generated_splits(SHORT, 1, tmp_path / "b", progress=None)
        content = bytearray(next((tmp_path / "b").iterdir()).read_bytes())
    file.write_bytes({"cut": content[:1000], "empty": b""}.get(damage, content))
    with pytest.raises(ValueError, match=f"{re.escape(file.name)}.*delete it"):
        generated_splits(SHORT, 0, tmp_path, progress=None)


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generated_splits(SHORT, 0, tmp_path, progress=interrupt)
    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        generated_splits(SHORT, 0, tmp_path, progress=None)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="not cached"):
        splits = generated_splits(SHORT, 0, tmp_path / "file" / "sub", progress=None)
    assert len(splits) == 3
