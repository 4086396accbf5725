"""Which sequences are trained on at which step: stages by length, then the train split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from nacgraph.tasks.batching import (
    Sequences,
    batches_by_symbols,
    concatenate,
    like_length_batches,
)

_REVIEW = 0.25  # rows of earlier stages seen in a stage, as a share of its own rows


def stages_of(stages: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The stages, whole numbers all.

    Raises:
        ValueError: If they are not pairs (limit, until_step), both rising.
    """
    try:
        found = tuple((int(limit), int(until)) for limit, until in stages)
        limits, starts = (3, *(limit for limit, _ in found)), (0, *(until for _, until in found))
        rising = all(a < b for numbers in (limits, starts) for a, b in pairwise(numbers))
    except (TypeError, ValueError):
        rising = False
    if not rising:
        raise ValueError(
            "curriculum: expected pairs (limit, until_step), both rising, limits from 4 and steps "
            f"from 1, got {stages}"
        )
    return found


class TrainingOrder:
    """Batches by step: a function of seed and step alone, as resuming needs it.

    Before the first ``until_step`` they are drawn from stage 0, then until the second from stage
    1 and a fifth from stage 0, and so on; after the last from the train split alone, which counts
    as one more stage. Within a stage, epochs follow each other, no row twice in one of them.

    Args:
        stages: Pairs (limit, until_step), both rising, the least limit 4 symbols.
        load: Sequences of stage k, ``k = len(stages)`` being the train split.
        seed: Seed of the order.
        batch_size: Rows per batch.
        symbols: Most symbols in a batch, which then has fewer rows; 0 is no limit.

    Raises:
        ValueError: If ``stages`` are no such pairs.
    """

    def __init__(
        self,
        stages: Sequence[tuple[int, int]],
        load: Callable[[int], Sequences],
        seed: int,
        batch_size: int,
        symbols: int = 0,
    ) -> None:
        self.stages = stages_of(stages)
        self._starts = (0, *(until for _, until in self.stages))
        self._load, self._seed, self._batch_size = load, seed, batch_size
        self._symbols = symbols
        # Batches that the epochs of a stage have, as far as they were made: (epochs) each.
        self._counts: dict[int, list[int]] = {}
        # The present epoch and the one before stay in memory: a batch costs no sorting.
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)

    def batch(self, step: int) -> tuple[Sequences, np.ndarray]:
        """Sequences, and which rows of them are the batch of ``step``."""
        if step < 0:
            raise ValueError(f"step must be at least 0, got {step}")
        stage = sum(start <= step for start in self._starts) - 1
        epoch, place = self._place(stage, step - self._starts[stage])
        rows, plan = self._epoch(stage, epoch)
        return rows, plan[place]

    def _place(self, stage: int, step: int) -> tuple[int, int]:
        """Epoch, and batch within it, of a stage's ``step``."""
        if not self._symbols:
            size = len(self._load(stage)) + self._review_size(stage)
            return divmod(step, max(1, size // self._batch_size))
        # Cut by symbols, epochs differ in the number of their batches.
        counts = self._counts.setdefault(stage, [])
        for epoch in range(step + 1):
            if epoch == len(counts):
                counts.append(len(self._epoch(stage, epoch)[1]))
            if step < counts[epoch]:
                return epoch, step
            step -= counts[epoch]
        raise AssertionError("every epoch has a batch")

    def _review_size(self, stage: int) -> int:
        """How many rows of the earlier stages an epoch of this stage sees again."""
        if stage == len(self.stages):
            return 0
        earlier = sum(len(self._load(k)) for k in range(stage))
        return min(earlier, int(_REVIEW * len(self._load(stage))))

    def _make_epoch(self, stage: int, epoch: int) -> tuple[Sequences, list[np.ndarray]]:
        rows, again = self._load(stage), self._review_size(stage)
        if again:
            earlier = concatenate([self._load(k) for k in range(stage)])
            rng = np.random.default_rng((self._seed, stage, epoch, 1))
            chosen = rng.choice(len(earlier), again, replace=False)
            rows = concatenate([rows, earlier.take(chosen)])
        seed = (self._seed, stage, epoch)
        if self._symbols:
            return rows, batches_by_symbols(rows.lengths, self._batch_size, self._symbols, seed)
        return rows, list(like_length_batches(rows.lengths, self._batch_size, seed))
