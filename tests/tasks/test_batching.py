"""Flat sequences, batches of like length, padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nacgraph.tasks.batching import (
    Sequences,
    batches_by_symbols,
    concatenate,
    like_length_batches,
    padded,
)


def make(lengths: list[int], seed: int = 0) -> Sequences:
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    tokens = rng.integers(1, 16, offsets[-1]).astype(np.uint8)
    return Sequences(tokens, offsets, rng.integers(0, 10, len(lengths)))


LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=40)


@given(LENGTHS, st.data())
def test_padding_keeps_every_symbol(lengths: list[int], data: st.DataObject) -> None:
    rows = make(lengths)
    places = st.integers(0, len(lengths) - 1)
    index = np.array(data.draw(st.lists(places, min_size=1, max_size=8)))
    batch = padded(rows, index)
    assert batch.inputs.shape == batch.mask.shape == (len(index), max(rows.lengths[index]))
    assert batch.index.tolist() == index.tolist() and len(batch) == len(index)
    assert batch.labels.tolist() == rows.labels[index].tolist()
    assert not batch.inputs[~batch.mask].any()
    for number, row in enumerate(index):
        assert batch.inputs[number][batch.mask[number]].tolist() == rows.row(row).tolist()
        assert batch.mask[number, : rows.lengths[row]].all()


@given(LENGTHS, LENGTHS, st.data())
def test_rows_take_and_concatenate_agree(
    first: list[int], second: list[int], data: st.DataObject
) -> None:
    a, b = make(first), make(second, seed=1)
    both = concatenate([a, b])
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(both))] * 2)))
    for part in (both.rows(start, stop), both.take(np.arange(start, stop))):
        assert len(part) == stop - start
        for new, old in enumerate(range(start, stop)):
            source, row = (a, old) if old < len(a) else (b, old - len(a))
            assert part.row(new).tolist() == source.row(row).tolist()
            assert part.labels[new] == source.labels[row]


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=300), st.integers(1, 9), st.integers(0, 99)
)
def test_an_epoch_takes_no_row_twice(lengths: list[int], size: int, seed: int) -> None:
    if len(lengths) < size:
        with pytest.raises(ValueError, match=f"batch_size {size} is more than"):
            like_length_batches(np.array(lengths), size, (seed, 0))
        return
    plan = like_length_batches(np.array(lengths), size, (seed, 0))
    assert plan.shape == (len(lengths) // size, size)
    assert len(set(plan.ravel().tolist())) == plan.size
    assert np.array_equal(plan, like_length_batches(np.array(lengths), size, (seed, 0)))


def test_batches_are_of_like_length_and_in_random_order() -> None:
    lengths = np.random.default_rng(0).integers(500, 2000, 20_000)
    plan = like_length_batches(lengths, 32, (0, 0))
    found = lengths[plan]
    waste = 1 - found.sum() / (found.max(1) * 32).sum()
    assert waste < 0.03  # random batches waste about a third
    means = found.mean(1)
    assert abs(np.corrcoef(means[1:], means[:-1])[0, 1]) < 0.15
    assert not np.array_equal(plan, like_length_batches(lengths, 32, (0, 1)))


@given(
    st.lists(st.integers(1, 500), min_size=9, max_size=300), st.integers(1, 9),
    st.integers(1, 2000), st.integers(0, 99),
)  # fmt: skip
def test_batches_keep_to_rows_and_symbols(
    lengths: list[int], size: int, symbols: int, seed: int
) -> None:
    found = batches_by_symbols(np.array(lengths), size, symbols, (seed, 0))
    rows = np.concatenate(found).tolist()
    assert len(rows) == len(set(rows)) == len(lengths) // size * size
    for batch in found:
        padded_symbols = max(lengths[row] for row in batch) * len(batch)
        assert 1 <= len(batch) <= size
        assert padded_symbols <= symbols or len(batch) == 1
    again = batches_by_symbols(np.array(lengths), size, symbols, (seed, 0))
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
