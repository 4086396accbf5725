"""Sequences of different lengths: stored flat, batched by similar length, padded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from nacgraph.tasks.base import Batch


@dataclass(frozen=True)
class Sequences:
    """Labelled token sequences in one flat array: row i is ``tokens[offsets[i]:offsets[i + 1]]``.

    Shapes:
        tokens (total) uint8, ids from 1 · offsets (N + 1) int64 · labels (N) int64
    """

    tokens: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray:
        """Number of symbols of every row, (N) int64."""
        return np.diff(self.offsets)

    def row(self, index: int) -> np.ndarray:
        """Token ids of one row, (length) uint8, not copied."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    def rows(self, start: int, stop: int) -> Sequences:
        """The rows ``start`` … ``stop - 1``; their tokens are not copied."""
        offsets = self.offsets[start : stop + 1]
        tokens = self.tokens[offsets[0] : offsets[-1]]
        return Sequences(tokens, offsets - offsets[0], self.labels[start:stop])

    def take(self, index: np.ndarray) -> Sequences:
        """The rows ``index``, in that order, copied."""
        lengths = self.lengths[index]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        tokens = np.empty(offsets[-1], np.uint8)
        for new, old in enumerate(index):
            tokens[offsets[new] : offsets[new + 1]] = self.row(old)
        return Sequences(tokens, offsets, self.labels[index])


def concatenate(parts: list[Sequences]) -> Sequences:
    """All rows of ``parts``, one after the other."""
    lengths = np.concatenate([part.lengths for part in parts])
    return Sequences(
        np.concatenate([part.tokens for part in parts]),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate([part.labels for part in parts]),
    )


def padded(sequences: Sequences, index: np.ndarray) -> Batch:
    """The rows ``index`` as one batch, padded with 0 to the longest of them."""
    lengths = sequences.lengths[index]
    columns = np.arange(lengths.max(initial=0))
    real = columns < lengths[:, None]
    # Padding reads some token of another row, which the product with `real` turns to 0.
    place = np.minimum(sequences.offsets[index][:, None] + columns, len(sequences.tokens) - 1)
    return Batch(
        inputs=torch.from_numpy((sequences.tokens[place] * real).astype(np.int64)),
        mask=torch.from_numpy(real),
        labels=torch.from_numpy(sequences.labels[index].astype(np.int64)),
        index=torch.from_numpy(np.asarray(index, np.int64)),
    )


def like_length_batches(
    lengths: np.ndarray, batch_size: int, seed: tuple[int, ...], pool: int = 50
) -> np.ndarray:
    """One epoch: every row at most once, in full batches whose rows are about as long.

    Rows are shuffled and cut into pools of ``pool`` batches; each pool is sorted by length and
    cut into batches, and the batches are shuffled. Rows that fill no batch are left out, others
    in every epoch.

    Args:
        lengths: Length of every row, (N).
        batch_size: Rows per batch, at most N.
        seed: Entropy of the order, e.g. (seed, epoch).
        pool: Batches per pool; more makes lengths in a batch more similar, batches less random.

    Returns:
        (N // batch_size, batch_size) int64 row numbers.

    Raises:
        ValueError: If there are fewer rows than ``batch_size``.
    """
    count = len(lengths) // batch_size
    if count < 1:
        raise ValueError(f"batch_size {batch_size} is more than the {len(lengths)} sequences")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(lengths))[: count * batch_size]
    pools = [
        part[np.argsort(lengths[part], kind="stable")]
        for part in np.split(order, range(pool * batch_size, len(order), pool * batch_size))
    ]
    return rng.permutation(np.concatenate(pools).reshape(count, batch_size), axis=0)


def batches_by_symbols(
    lengths: np.ndarray, batch_size: int, symbols: int, seed: tuple[int, ...], pool: int = 50
) -> list[np.ndarray]:
    """One epoch as :func:`like_length_batches`, but batches of long rows have fewer of them.

    Args:
        lengths: Length of every row, (N).
        batch_size: Rows per batch, at most, and at most N.
        symbols: Symbols of a batch, padding included, at most; a longer row is a batch by itself.
        seed: Entropy of the order.
        pool: Batches of ``batch_size`` rows per pool.

    Returns:
        Row numbers of each batch, int64.

    Raises:
        ValueError: If there are fewer rows than ``batch_size``.
    """
    full = like_length_batches(lengths, batch_size, seed, pool)
    rng = np.random.default_rng((*seed, 1))
    batches = []
    for rows in full:
        stop = len(rows)
        while stop > 0:  # the longest first: a batch is as wide as its last row
            size = max(1, min(stop, symbols // int(lengths[rows[stop - 1]])))
            batches.append(rows[stop - size : stop])
            stop -= size
    return [batches[k] for k in rng.permutation(len(batches))]
