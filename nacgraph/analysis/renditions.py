"""Accuracy of image runs on renditions of their images: drawn, distorted, corrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nacgraph.utils.check import check_at_least
from nacgraph.utils.files import write_atomically
from nacgraph.utils.progress import percent
from nacgraph.utils.result import Result, write_json
from nacgraph.utils.stats import paired_difference, wilson

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nacgraph.tasks.images import Images
    from nacgraph.training.run import Run

CLEAN = ("clean", 0)
STRENGTHS = (1, 2, 3, 4, 5)
Right = dict[tuple[str, int], np.ndarray]
"""Whether each sample is answered right, by rendition and strength: bool (N)."""


@dataclass(frozen=True, eq=False, repr=False)
class Renditions(Result):
    """What :func:`renditions` found, as a mapping.

    Attributes:
        numbers: "runs" with their accuracies, and for two runs their "difference".
        task: The task whose images were rendered.
    """

    task: Images

    def figure(self) -> Figure:
        """One row a rendition: an image of the split, then its strengths."""
        from nacgraph.tasks.images.renditions import render
        from nacgraph.viz import renditions_figure

        images = self.task.table(self["split"]).columns["images"]
        chosen = list(self["runs"][0]["renditions"])
        levels = self._levels()
        rows = {}
        for k, name in enumerate(chosen):
            place = np.array([k * len(images) // len(chosen)])
            image, seed = images[place], self["seed"]
            rows[name] = [image[0], *(render(image, name, s, place, seed)[0] for s in levels)]
        return renditions_figure(rows, ["original", *map(str, levels)])

    def save(self, folder: Path | str) -> Path:
        """Write ``renditions.json`` and ``renditions.md``; returns the folder."""
        out = Path(folder)
        write_json(out / "renditions.json", self.numbers)
        write_atomically(out / "renditions.md", ("\n".join(self.lines()) + "\n").encode())
        return out

    def lines(self) -> list[str]:
        """The result as a Markdown table: one row a rendition, the mean over its strengths."""
        runs, apart = self["runs"], self.get("difference")
        heads, levels = [Path(run["run"]).name for run in runs], []
        if len(runs) == 1:  # then there is room for every strength
            levels = self._levels()
            heads += [f"strength {level}" for level in levels]
        heads += ["difference"] if apart else []

        def row(key: str, cells: list[str], strengths: Sequence[str]) -> str:
            difference = [_difference(apart[key])] if apart else []
            return f"| {key} | " + " | ".join([*cells, *strengths, *difference]) + " |"

        dashes = ["–"] * len(levels)
        lines = [
            f"{self['data']}; {self['n']:,} images of {self['split']} each; ",
            f"majority {percent(self['majority_accuracy'])}. Means over strengths, 95 % intervals.",
            "",
            "| rendition | " + " | ".join(heads) + " |",
            "|---" + "|--:" * len(heads) + "|",
            row("clean", [_interval(run["clean"]) for run in runs], dashes),
        ]
        for name, cells in runs[0]["renditions"].items():
            strengths = [percent(cells[str(level)]["accuracy"]) for level in levels]
            lines.append(row(name, [percent(run["means"][name]) for run in runs], strengths))
        return [*lines, row("mean", [percent(run["mean"]) for run in runs], dashes)]

    def _levels(self) -> list[int]:
        return [int(level) for level in next(iter(self["runs"][0]["renditions"].values()))]


def renditions(
    runs: Run | Sequence[Run],
    *,
    only: Sequence[str] | None = None,
    strengths: Sequence[int] = STRENGTHS,
    limit: int | None = 1000,
    split: str = "test",
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> Renditions:
    """Accuracy of image runs on the same renditions of the same images.

    Two runs are also compared sample by sample.

    Args:
        runs: Runs of the images task with equal classes and images. Each model runs on the device
            that it is on.
        only: Names of renditions; all of :data:`nacgraph.tasks.images.RENDITIONS` if None.
        strengths: Of 1 to 5.
        limit: Images of the split; all if None.
        split: "test" or "val".
        seed: Seed of the noise within renditions.
        progress: Called with (what is scored, share done).

    Raises:
        ValueError: If there is no such rendition or strength, or the runs are not of one images
            task.
    """
    from nacgraph.tasks.images import Images
    from nacgraph.training.run import Run

    runs = [runs] if isinstance(runs, Run) else list(runs)
    if not runs:
        raise ValueError("runs: expected at least one, got none")
    pairs = _pairs(only, strengths)
    check_at_least(0, seed=seed)
    if limit is not None:
        check_at_least(1, limit=limit)
    tasks: list[Images] = []
    for run in runs:
        if not isinstance(run.task, Images):
            raise ValueError(
                f"{run.path}: expected a run of the images task, got {run.config.task.name}"
            )
        tasks.append(run.task)
    _check_same_images(tasks, [str(run.path) for run in runs], split)
    right = _score_all(runs, tasks[0], split, limit, pairs, seed, progress)
    found: dict[str, Any] = {
        "n": len(right[0][CLEAN]),
        "runs": [_accuracies(str(run.path), each) for run, each in zip(runs, right, strict=True)],
    }
    if len(runs) == 2:
        found["difference"] = _compared(*right)
    found |= {
        "data": tasks[0].describe(),
        "split": split,
        "seed": seed,
        "majority_accuracy": tasks[0].baselines(split)["majority_accuracy"],
    }
    return Renditions(found, tasks[0])


def paired(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Mean difference first − second over samples, with its 95 % interval.

    All renditions of one image count as one sample. With a single sample there is no interval.
    """
    found = paired_difference(first, second)
    return {"value": found.mean, "ci95": None if found.ci95 is None else list(found.ci95)}


def _pairs(only: Sequence[str] | None, strengths: Sequence[int]) -> list[tuple[str, int]]:
    """Renditions and strengths, every pair."""
    from nacgraph.tasks.images.renditions import RENDITIONS, check

    names = list(RENDITIONS) if only is None else list(only)
    levels = sorted(set(strengths))
    if not names or not levels:
        raise ValueError(
            f"only, strengths: expected at least one of each, got {names} and {levels}"
        )
    pairs = [(name, level) for name in names for level in levels]
    for name, level in pairs:
        check(name, level)
    return pairs


def _check_same_images(tasks: Sequence[Images], names: Sequence[str], split: str) -> None:
    """Raise ValueError unless all runs have the same classes and see the same images."""
    first = tasks[0].table(split)
    for task, name in zip(tasks[1:], names[1:], strict=True):
        table = task.table(split)
        if list(task.classes) != list(tasks[0].classes):
            raise ValueError(f"{name}: expected the classes of {names[0]}, got others")
        if not (
            np.array_equal(table.labels, first.labels)
            and np.array_equal(table.columns["images"], first.columns["images"])
        ):
            raise ValueError(
                f"{name}: expected the {split} images of {names[0]}, got others; --data gives both "
                "the same"
            )


def _score_all(
    runs: Sequence[Run],
    task: Images,
    split: str,
    limit: int | None,
    pairs: Sequence[tuple[str, int]],
    seed: int,
    progress: Callable[[str, float], None] | None,
) -> list[Right]:
    """Which samples each model answers right; an image is rendered once for all models."""
    import torch

    todo = [CLEAN, *pairs]
    found: list[Right] = [{} for _ in runs]
    present = task.present(split)  # only classes that occur may be answered
    among = torch.arange(task.num_classes) if present is None else torch.as_tensor(present)
    devices = [next(run.model.parameters()).device for run in runs]
    for done, (name, level) in enumerate(todo):
        if progress is not None:
            progress(f"renditions: {name} {level or ''}".rstrip(), done / len(todo))
        shown = task if (name, level) == CLEAN else task.rendered(name, level, seed)
        rows: list[list[np.ndarray]] = [[] for _ in runs]
        for batch in shown.eval_batches(split, limit=limit):
            for run, device, row in zip(runs, devices, rows, strict=True):
                there = batch.to(device)
                with torch.no_grad():
                    logits = run.model(there).logits.float()
                allowed = among.to(device)
                answers = allowed[logits[:, allowed].argmax(-1)]
                row.append((answers == there.labels).cpu().numpy())
        for each, row in zip(found, rows, strict=True):
            each[name, level] = np.concatenate(row)
    return found


def _accuracies(name: str, right: Right) -> dict[str, Any]:
    """Accuracies of one run, with Wilson's intervals."""
    rendered: dict[str, dict[str, Any]] = {}
    for (rendition, level), answers in right.items():
        if (rendition, level) != CLEAN:
            rendered.setdefault(rendition, {})[str(level)] = _accuracy(answers)
    means = {
        rendition: float(np.mean([cell["accuracy"] for cell in cells.values()]))
        for rendition, cells in rendered.items()
    }
    return {
        "run": name,
        "clean": _accuracy(right[CLEAN]),
        "renditions": rendered,
        "means": means,
        "mean": float(np.mean(list(means.values()))),
    }


def _compared(one: Right, other: Right) -> dict[str, Any]:
    """Paired differences of two runs: on clean images, over all renditions, for each of them."""
    names = dict.fromkeys(name for name, _ in one if name != CLEAN[0])

    def difference(*wanted: str) -> dict[str, Any]:
        """Over the share of a sample's renditions that are answered right."""
        shares = [
            np.mean([answers for (name, _), answers in right.items() if name in wanted], axis=0)
            for right in (one, other)
        ]
        return paired(*shares)

    return {
        "clean": difference(CLEAN[0]),
        "mean": difference(*names),
        **{name: difference(name) for name in names},
    }


def _accuracy(right: np.ndarray) -> dict[str, Any]:
    count = int(right.sum())
    return {"accuracy": count / len(right), "ci95": list(wilson(count, len(right)))}


def _interval(cell: Mapping[str, Any]) -> str:
    low, high = cell["ci95"]
    return f"{percent(cell['accuracy'])} ({100 * low:.1f}–{100 * high:.1f})"


def _difference(cell: Mapping[str, Any]) -> str:
    value = f"{100 * cell['value']:+.1f}"
    if cell["ci95"] is None:
        return value
    return f"{value} ({100 * cell['ci95'][0]:+.1f} to {100 * cell['ci95'][1]:+.1f})"
