"""The circuits of samples, one for each condition, with the samples' tags."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from nacgraph.models.nac import NAC
from nacgraph.tasks import Batch, Task


@dataclass(frozen=True)
class Population:
    """The different circuits of samples with different inputs.

    Attributes:
        links: Link probabilities P of each, (m, U, U), ones on the diagonal.
        rows: Row of the split that each belongs to, (m,).
        labels: The class of that sample, (m,).
        samples: Number of samples. Samples with equal inputs have the same circuit, which is
            listed once, with the first of them.
    """

    links: NDArray[np.float32]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    samples: int


@torch.no_grad()
def gather(
    model: NAC,
    task: Task,
    split: str,
    samples: int | None = None,
    precision: str = "32",
    progress: Callable[[str, float], None] | None = None,
) -> Population:
    """The circuits that a conditional model makes for samples of ``split``.

    Args:
        model: A conditional model.
        task: Where samples come from.
        split: "val" or "test".
        samples: The first ``samples`` of the split, always the same ones; all if None.
        precision: "32" or "bf16-mixed".
        progress: Called with (what is done, share done).

    Raises:
        ValueError: If all samples share one circuit, or its links are all certain.
    """
    if model.config.condition == "none":
        raise ValueError(
            "run: expected a conditional circuit, one for each sample, got one that all samples "
            "share; train one with nacgraph train --condition inputs, or with --condition task "
            "where the task has a condition (nlvr2 has)"
        )
    bandwidth = model.circuit.kernel.bandwidth
    if math.isinf(bandwidth):
        raise ValueError("run: expected learned links, got the complete graph, the same for all")
    model.eval()
    found: dict[bytes, tuple[int, int]] = {}
    links: list[NDArray[np.float32]] = []
    seen = 0
    for batch in task.eval_batches(split, limit=samples):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            design = model.design(batch, *model.tokenizer(batch))
        among = design.links(bandwidth)[0].float()
        among.diagonal(dim1=-2, dim2=-1).fill_(1.0)
        for k, condition in enumerate(conditions(batch, model.config.condition)):
            if condition not in found:
                found[condition] = int(batch.index[k]), int(batch.labels[k])
                links.append(among[k].numpy().copy())
        seen += len(batch)
        if progress is not None and samples:
            progress("circuits", min(1.0, seen / samples))
    rows, labels = (np.array(column, np.int64) for column in zip(*found.values(), strict=True))
    return Population(np.stack(links), rows, labels, seen)


def conditions(batch: Batch, condition: str) -> list[bytes]:
    """The bytes that each sample's circuit is made from, without padding."""
    given, mask = batch.inputs, batch.mask
    if condition == "task" and batch.condition is not None:
        given = batch.condition
        mask = batch.condition_mask if batch.condition_mask is not None else batch.mask
    real = given.shape[: mask.dim()] == mask.shape
    return [
        (given[k][mask[k]] if real else given[k]).contiguous().numpy().tobytes()
        for k in range(len(batch))
    ]


def tag_words(task: Task, split: str, population: Population) -> dict[str, list[str]]:
    """The tags of the samples: ``{"label": [word of each], "skill": […], …}``."""
    classes: Sequence[str] | None = task.classes
    found = {"label": [str(k) if classes is None else classes[k] for k in population.labels]}
    for name, words in task.tags(split).items():
        found[name] = [str(words[row]) for row in population.rows]
    return found
