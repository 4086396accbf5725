"""What a run answers: its accuracy on a split, and its classes for raw samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nacgraph.training.scoring import prepared_for, score
from nacgraph.utils.machine import device_of
from nacgraph.utils.stats import wilson

if TYPE_CHECKING:
    from nacgraph.training.run import Run


@dataclass(frozen=True)
class Evaluation:
    """The score of a run on a split.

    Attributes:
        run: Its folder.
        checkpoint: File that the weights are from.
        step: Step of these weights.
        data: Which data was scored.
        split: Which split of it.
        n: Samples.
        accuracy: Share of right answers.
        ci95: Wilson's 95 % interval of it.
        loss: Mean loss.
        baselines: Accuracies that need no learning, by name.
        accuracy_among_present: Accuracy if only the classes that occur in the split may be
            answered; None where all occur.
        by: Tag → word → {"n", "accuracy", "ci95"}.
    """

    run: str
    checkpoint: str
    step: int
    data: str
    split: str
    n: int
    accuracy: float
    ci95: tuple[float, float]
    loss: float
    baselines: Mapping[str, float]
    accuracy_among_present: float | None = None
    by: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values, without what there is not."""
        among = self.accuracy_among_present
        return {
            **{k: getattr(self, k) for k in ("run", "checkpoint", "step", "data", "split", "n")},
            "accuracy": self.accuracy,
            "ci95": list(self.ci95),
            **({} if among is None else {"accuracy_among_present": among}),
            "loss": self.loss,
            **self.baselines,
            **({"by": dict(self.by)} if self.by else {}),
        }


@dataclass(frozen=True, repr=False)
class Predictions:
    """Answers to samples, in their order.

    Attributes:
        labels: Number of the most probable class, (N) int64.
        probabilities: Of every class, (N, C) float32.
        names: Name of every class; numbers where they have none.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    names: tuple[str, ...]

    @property
    def classes(self) -> list[str]:
        """Name of the most probable class of every sample."""
        return [self.names[k] for k in self.labels]

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """(class, its probability) of every sample."""
        return zip(self.classes, self.probabilities.max(-1).tolist(), strict=True)

    def __repr__(self) -> str:
        shown = [f"{name} ({100 * p:.1f} %)" for name, p in list(self)[:8]]
        more = [f"… {len(self)} in all"] if len(self) > 8 else []
        return f"Predictions({', '.join([*shown, *more])})"


def evaluate(
    run: Run,
    data: str | None,
    split: str = "test",
    by: Sequence[str] = (),
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score a run on a split of its task; ``data`` is what other data is called.

    Raises:
        ValueError: If the task has no such tag, or the split is empty.
    """
    task, by = run.task, [by] if isinstance(by, str) else list(by)
    tags = task.tags(split) if by else {}
    if unknown := [name for name in by if name not in tags]:
        raise ValueError(
            f"by: expected one of {', '.join(tags) or 'none'} for task {run.config.task.name}, "
            f"got {unknown[0]!r}"
        )
    hits: dict[int, bool] = {}

    def note(rows: Tensor, right: Tensor) -> None:
        hits.update(zip(rows.tolist(), right.tolist(), strict=True))

    place = device_of(device)
    found = score(
        run.model.to(place),
        task,
        split,
        place,
        run.config.precision,
        progress=progress,
        each=note if by else None,
    )
    return Evaluation(
        run=str(run.path),
        checkpoint=run.checkpoint.path.name,
        step=run.checkpoint.state["step"],
        data=data or task.describe(),
        split=split,
        n=found.n,
        accuracy=found.accuracy,
        ci95=found.ci95,
        loss=found.loss,
        baselines=task.baselines(split),
        accuracy_among_present=found.accuracy_among,
        by={name: by_tag(tags[name], hits) for name in by},
    )


@torch.no_grad()
def predict(run: Run, samples: Sequence[Any], device: str = "auto") -> Predictions:
    """Answers of a run to raw samples of its task; what :meth:`Run.predict` does."""
    if isinstance(samples, (str, bytes, Path, Mapping)) or not isinstance(samples, Iterable):
        raise ValueError(
            f"samples: expected a list of them, got one {type(samples).__name__}; "
            "for a single sample give [sample]"
        )
    task, config = run.task, run.config
    place = torch.device(device_of(device))
    model = run.model.to(place).eval()
    low = config.precision == "bf16-mixed"
    with torch.autocast(place.type, torch.bfloat16, enabled=low):
        prepared = prepared_for(model)
    found = [torch.zeros(0, task.num_classes)]
    everything = list(samples)
    for start in range(0, len(everything), config.batch_size):
        part = everything[start : start + config.batch_size]
        batch = task.encode(part, first=start).to(place)
        with torch.autocast(place.type, torch.bfloat16, enabled=low):
            logits = model(batch, **prepared).logits.float()
        found.append(logits.softmax(-1).cpu())
    probabilities = torch.cat(found).numpy()
    names = task.classes or tuple(map(str, range(task.num_classes)))
    return Predictions(probabilities.argmax(-1), probabilities, tuple(names))


def by_tag(words: Sequence[str], hits: Mapping[int, bool]) -> dict[str, Any]:
    """Word → samples, accuracy and its 95 % interval; words in their natural order."""
    groups: dict[str, list[bool]] = {}
    for row, right in hits.items():
        groups.setdefault(str(words[row]), []).append(right)
    return {
        word: {
            "n": len(found),
            "accuracy": sum(found) / len(found),
            "ci95": list(wilson(sum(found), len(found))),
        }
        for word, found in sorted(groups.items(), key=lambda item: _natural(item[0]))
    }


def _natural(word: str) -> tuple[bool, float, str]:
    """Numbers by size, before words by letter; a range by its start."""
    start = word.partition("–")[0]
    number = start.replace(".", "", 1).isdigit()
    return not number, float(start) if number else 0.0, word
