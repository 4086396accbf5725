"""The batches of a run, in order, for PyTorch's loader."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import IterableDataset

from nacgraph.tasks import Batch, Task


class Steps(IterableDataset[Batch]):
    """The batches of steps ``first`` to ``last``, this process's share of each."""

    def __init__(self, task: Task, first: int, last: int, rank: int, world: int) -> None:
        self.task, self.first, self.last = task, first, last
        self.rank, self.world = rank, world

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self.first, self.last):
            yield self.task.train_batch(step, self.rank, self.world)
