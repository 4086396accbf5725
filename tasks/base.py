"""What a task is: batches to train and to evaluate on, a tokenizer, a loss, baselines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from nacgraph.registry import Registry


@dataclass(frozen=True)
class Batch:
    """Samples padded to one length.

    Shapes:
        inputs (B, T) int64 · mask (B, T) bool, True where real · labels (B) int64 ·
        index (B) int64, the row of each sample in its split
    """

    inputs: Tensor
    mask: Tensor
    labels: Tensor
    index: Tensor

    def __len__(self) -> int:
        return self.labels.shape[0]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on ``device``."""
        return replace(
            self,
            inputs=self.inputs.to(device),
            mask=self.mask.to(device),
            labels=self.labels.to(device),
            index=self.index.to(device),
        )


class Task(ABC):
    """Data, input tokens, loss and baselines of one problem. It never sees a circuit.

    A subclass registered with ``@register_task("name")`` can be trained by name.

    Attributes:
        num_classes: Number of classes C.
        token_names: A name for every kind of token, by id; None shows the ids.
        token_groups: Names of kinds that belong together, by a word that describes them; reports
            say which group a module reads.
    """

    num_classes: ClassVar[int]
    token_names: ClassVar[Sequence[str] | None] = None
    token_groups: ClassVar[Mapping[str, Sequence[str]]] = {}

    def prepare(self) -> None:  # noqa: B027 (a task without data to make needs none)
        """Read or make the data now rather than at first use."""

    @abstractmethod
    def train_batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """Rows ``rank::world`` of the batch of ``step``: a function of seed and step alone.

        That is what lets a resumed run see the batches that the unbroken run would have seen.
        """

    @abstractmethod
    def eval_batches(
        self, split: str, rank: int = 0, world: int = 1, limit: int | None = None
    ) -> Iterator[Batch]:
        """Batches of ``split`` ("val" or "test"): over all ranks, each sample exactly once.

        ``limit`` takes only the first ``limit`` samples of the split.
        """

    @abstractmethod
    def tokenizer(self, dim: int, seed: int = 0) -> nn.Module:
        """A module that maps a `Batch` to (tokens (B, T, dim), mask (B, T) bool)."""

    def token_kinds(self, batch: Batch) -> Tensor | None:
        """The kind (B, T) int64 of every token of the tokenizer, or None where tokens have none.

        By default the inputs, if they are ids, one a token.
        """
        inputs = batch.inputs
        ids = not inputs.is_floating_point() and inputs.shape == batch.mask.shape
        return inputs if ids else None

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean cross entropy of logits (B, C) and the labels of ``batch``."""
        return nn.functional.cross_entropy(logits, batch.labels)

    @abstractmethod
    def baselines(self, split: str) -> dict[str, float]:
        """Accuracies in [0, 1] that need no learning, "majority_accuracy" at least."""

    @abstractmethod
    def describe(self) -> str:
        """One line for the log: which data this is, and which it is not."""


TASKS: Registry[Task] = Registry("task", "nacgraph.tasks")
register_task = TASKS.register


def get_task(name: str) -> type[Task]:
    """The task class called ``name``; an unknown name is a ValueError that lists the choices."""
    return TASKS.get(name)
