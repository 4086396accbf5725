"""Accuracy of a model on a split, each sample counted once, over all processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nacgraph.models.nac import NAC
from nacgraph.tasks import Task
from nacgraph.utils.stats import wilson


@dataclass(frozen=True)
class Score:
    """Right answers among ``n`` samples, and their mean loss.

    Attributes:
        right_among: Right answers if only the classes that occur in the split may be answered;
            None where all classes do.
    """

    right: int
    n: int
    loss: float
    right_among: int | None = None

    @property
    def accuracy(self) -> float:
        return self.right / self.n

    @property
    def accuracy_among(self) -> float | None:
        return None if self.right_among is None else self.right_among / self.n

    @property
    def ci95(self) -> tuple[float, float]:
        return wilson(self.right, self.n)


def prepared_for(model: nn.Module) -> dict[str, Any]:
    """Arguments with which a model answers many batches: its circuit, where it can be prepared."""
    circuit = model.prepare() if isinstance(model, NAC) else None
    return {} if circuit is None else {"circuit": circuit}


@torch.no_grad()
def score(
    model: nn.Module,
    task: Task,
    split: str,
    device: torch.device | str = "cpu",
    precision: str = "32",
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    each: Callable[[Tensor, Tensor], None] | None = None,
) -> Score:
    """Run ``model`` over ``split``; under ``torch.distributed`` every rank takes its share.

    ``progress`` is called with (right, seen) after every batch of this process, ``each`` with its
    rows of the split and whether they were answered right, both (B) on the CPU.

    Raises:
        ValueError: If the split is empty.
    """
    spread = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank, world = 0, 1
    if spread:
        rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    device = torch.device(device)
    was_training = model.training
    model.eval()
    counts = torch.zeros(4, dtype=torch.float64, device=device)
    present = task.present(split)
    among = None if present is None else torch.as_tensor(present, device=device)
    low = precision == "bf16-mixed"
    with torch.autocast(device.type, torch.bfloat16, enabled=low):
        prepared = prepared_for(model)
    for batch in task.eval_batches(split, rank, world, limit):
        batch = batch.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            logits = model(batch, **prepared).logits.float()
        hits = logits.argmax(-1) == batch.labels
        right = hits.sum()
        if each is not None:
            each(batch.index.cpu(), hits.cpu())
        loss = task.loss(logits, batch) * len(batch)
        found = (
            right if among is None else ((among[logits[:, among].argmax(-1)] == batch.labels).sum())
        )
        size = counts.new_tensor(len(batch))
        counts += torch.stack([right.double(), size, loss.double(), found.double()])
        if progress is not None:
            progress(int(counts[0]), int(counts[1]))
    model.train(was_training)
    if spread:
        torch.distributed.all_reduce(counts)
    right, n, loss, found_among = counts.tolist()
    if n == 0:
        raise ValueError(f"split {split!r} holds no samples")
    return Score(int(right), int(n), loss / n, None if among is None else int(found_among))
