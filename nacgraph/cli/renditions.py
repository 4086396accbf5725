"""``nacgraph renditions RUN …``: accuracy on images drawn otherwise, bent and spoilt."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nacgraph.cli.answer import answer
from nacgraph.cli.reading import add_shared, prepare, read_run, task_arguments
from nacgraph.training.scoring import wilson
from nacgraph.utils.files import write_atomically
from nacgraph.utils.machine import device_of
from nacgraph.utils.progress import ProgressPrinter, percent

if TYPE_CHECKING:
    from nacgraph.models.transformer import Model
    from nacgraph.tasks.images import Images

CLEAN = ("clean", 0)
Right = dict[tuple[str, int], np.ndarray]
"""Whether each sample is answered right, by rendition and strength: bool (N)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate on renditions; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="nacgraph renditions",
        description="Accuracy of image runs on renditions of their test images: sketches, "
        "inverted, blurred, rotated and more, in five strengths. Prints a table, writes "
        "renditions.json and renditions.md.",
        allow_abbrev=False,
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of one task")
    parser.add_argument("--only", help="these renditions, as blur,invert; all if not given")
    parser.add_argument("--strengths", default="1,2,3,4,5", help="of 1 to 5")
    parser.add_argument("--limit", type=int, default=1000, help="images each; 0: all")
    parser.add_argument("--split", choices=("test", "val"), default="test")
    parser.add_argument("--seed", type=int, default=0, help="of the noise within renditions")
    parser.add_argument("--out", type=Path, help="folder of results; the first RUN if not given")
    parser.add_argument("--sheet", action="store_true", help="also draw renditions.png")
    add_shared(
        parser,
        "data",
        "cache_dir",
        "device",
        "threads",
        "plugin",
        data="other images; the run's own if not given",
        cache_dir="where decoded images are kept",
    )
    arguments = parser.parse_args(argv)
    return answer(lambda: "\n".join(lines(evaluate(arguments))))


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Score all runs on the same renditions of the same images, and write what comes out.

    Raises:
        ConfigError, CheckpointError: If a folder is no run or holds no valid checkpoint.
        ValueError: If an argument is out of range, or the runs are not of one image task.
    """
    from nacgraph.tasks.images import Images

    chosen = chosen_renditions(arguments.only, arguments.strengths)
    if arguments.limit < 0 or arguments.seed < 0:
        raise ValueError(
            f"limit, seed: expected at least 0, got {arguments.limit} and {arguments.seed}"
        )
    prepare(arguments)
    device = device_of(arguments.device)
    models: list[Model] = []
    tasks: list[Images] = []
    names: list[str] = []
    for folder in arguments.runs:
        run = read_run(folder, **task_arguments(arguments))
        model, task, config = run.model, run.task, run.config
        if not isinstance(task, Images):
            raise ValueError(f"{folder}: expected a run of the images task, got {config.task.name}")
        models.append(model.to(device))
        tasks.append(task)
        names.append(str(folder))
    split, limit = arguments.split, arguments.limit or None
    same_images(tasks, names, split)
    found = score_all(models, tasks[0], split, limit, chosen, arguments.seed, device)
    result = summary(names, found, chosen) | {
        "data": tasks[0].describe(),
        "split": split,
        "seed": arguments.seed,
        "majority_accuracy": tasks[0].baselines(split)["majority_accuracy"],
    }
    out = arguments.out or arguments.runs[0]
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(out / "renditions.json", text.encode())
    write_atomically(out / "renditions.md", ("\n".join(lines(result)) + "\n").encode())
    if arguments.sheet:
        from nacgraph.viz.output import save

        save(sheet(tasks[0], split, chosen, arguments.seed), out / "renditions.png")
    return result


def chosen_renditions(only: str | None, strengths: str) -> dict[str, list[int]]:
    """``"blur,invert"`` and ``"1,3"`` → {"blur": [1, 3], "invert": [1, 3]}.

    Raises:
        ValueError: If there is no such rendition or strength.
    """
    from nacgraph.tasks.images.renditions import RENDITIONS, check

    names = list(RENDITIONS) if only is None else [n.strip() for n in only.split(",") if n.strip()]
    parts = [part.strip() for part in strengths.split(",") if part.strip()]
    if not names or not parts or not all(part.isdigit() for part in parts):
        raise ValueError(
            f"only, strengths: expected names and numbers 1 to 5, got {only!r} and {strengths!r}"
        )
    levels = sorted({int(part) for part in parts})
    for name in names:
        for level in levels:
            check(name, level)
    return {name: levels for name in names}


def same_images(tasks: Sequence[Images], names: Sequence[str], split: str) -> None:
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


def score_all(
    models: Sequence[Model],
    task: Images,
    split: str,
    limit: int | None,
    chosen: Mapping[str, list[int]],
    seed: int,
    device: str,
) -> list[Right]:
    """Which samples each model answers right; an image is rendered once for all models."""
    import torch

    told = ProgressPrinter()
    pairs = [CLEAN, *((name, level) for name, levels in chosen.items() for level in levels)]
    found: list[Right] = [{} for _ in models]
    present = task.present(split)  # only classes that occur may be answered
    among = torch.arange(task.num_classes) if present is None else torch.as_tensor(present)
    among = among.to(device)
    for done, (name, level) in enumerate(pairs):
        told(f"renditions: {name} {level or ''}".rstrip(), done / len(pairs))
        shown = task if (name, level) == CLEAN else task.rendered(name, level, seed)
        rows: list[list[np.ndarray]] = [[] for _ in models]
        for batch in shown.eval_batches(split, limit=limit):
            there = batch.to(device)
            for model, row in zip(models, rows, strict=True):
                with torch.no_grad():
                    logits = model(there).logits.float()
                said = among[logits[:, among].argmax(-1)]
                row.append((said == there.labels).cpu().numpy())
        for each, row in zip(found, rows, strict=True):
            each[name, level] = np.concatenate(row)
    return found


def summary(
    names: Sequence[str], found: Sequence[Right], chosen: Mapping[str, list[int]]
) -> dict[str, Any]:
    """Accuracies with Wilson's intervals, and the difference between two runs, sample by sample."""
    runs = []
    for name, right in zip(names, found, strict=True):
        rendered = {
            rendition: {str(level): accuracy(right[rendition, level]) for level in levels}
            for rendition, levels in chosen.items()
        }
        means = {
            rendition: float(np.mean([cell["accuracy"] for cell in cells.values()]))
            for rendition, cells in rendered.items()
        }
        runs.append(
            {
                "run": name,
                "clean": accuracy(right[CLEAN]),
                "renditions": rendered,
                "means": means,
                "mean": float(np.mean(list(means.values()))),
            }
        )
    result: dict[str, Any] = {"n": len(found[0][CLEAN]), "runs": runs}
    if len(found) == 2:
        result["difference"] = {
            "clean": paired(*(right[CLEAN] for right in found)),
            "mean": paired(*(over_renditions(right) for right in found)),
            **{
                rendition: paired(
                    *(np.mean([right[rendition, k] for k in levels], axis=0) for right in found)
                )
                for rendition, levels in chosen.items()
            },
        }
    return result


def accuracy(right: np.ndarray) -> dict[str, Any]:
    """Accuracy, and Wilson's 95 % interval."""
    count = int(right.sum())
    return {"accuracy": count / len(right), "ci95": list(wilson(count, len(right)))}


def over_renditions(right: Right) -> np.ndarray:
    """For each sample, the share of its renditions that are answered right (N)."""
    return np.mean([answers for key, answers in right.items() if key != CLEAN], axis=0)


def paired(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Mean difference first − second over samples, with a normal 95 % interval.

    All renditions of one image count as one sample. With a single sample there is no interval.
    """
    apart = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    mean = float(apart.mean())
    if len(apart) < 2:
        return {"value": mean, "ci95": None}
    half = 1.959964 * float(apart.std(ddof=1)) / len(apart) ** 0.5
    return {"value": mean, "ci95": [mean - half, mean + half]}


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The result as a Markdown table: one row a rendition, mean over its strengths."""
    runs, apart = result["runs"], result.get("difference")
    yield f"{result['data']}; {result['n']:,} images of {result['split']} each; "
    yield f"majority {percent(result['majority_accuracy'])}. Means over strengths, 95 % intervals."
    yield ""
    heads = [Path(run["run"]).name for run in runs]
    levels = list(next(iter(runs[0]["renditions"].values())))
    if len(runs) == 1:
        heads += [f"strength {level}" for level in levels]
    heads += ["difference"] if apart else []
    yield "| rendition | " + " | ".join(heads) + " |"
    yield "|---" + "|--:" * len(heads) + "|"

    def row(key: str, values: list[str], more: Sequence[str] = ()) -> str:
        cells = [*values, *more]
        if apart:
            cells.append(_difference(apart[key]))
        return f"| {key} | " + " | ".join(cells) + " |"

    filler = ["–"] * len(levels) if len(runs) == 1 else []
    yield row("clean", [_interval(run["clean"]) for run in runs], filler)
    for rendition, cells in runs[0]["renditions"].items():
        more = [percent(cell["accuracy"]) for cell in cells.values()] if filler else []
        yield row(rendition, [percent(run["means"][rendition]) for run in runs], more)
    yield row("mean", [percent(run["mean"]) for run in runs], filler)


def _interval(cell: Mapping[str, Any]) -> str:
    low, high = cell["ci95"]
    return f"{percent(cell['accuracy'])} ({100 * low:.1f}–{100 * high:.1f})"


def _difference(cell: Mapping[str, Any]) -> str:
    value = f"{100 * cell['value']:+.1f}"
    if cell["ci95"] is None:
        return value
    return f"{value} ({100 * cell['ci95'][0]:+.1f} to {100 * cell['ci95'][1]:+.1f})"


def sheet(task: Images, split: str, chosen: Mapping[str, list[int]], seed: int) -> Any:
    """A figure with one row a rendition: an image, then its strengths."""
    from nacgraph.tasks.images.renditions import render
    from nacgraph.viz.style import new_figure, styled

    images = task.table(split).columns["images"]
    levels = max(chosen.values(), key=len)

    @styled
    def draw() -> Any:
        figure = new_figure(1.1 * (2 + len(levels)), 1.05 * len(chosen))
        panels = figure.subplots(len(chosen), 1 + len(levels), squeeze=False)
        for k, (name, row) in enumerate(zip(chosen, panels, strict=True)):
            place = np.array([k * len(images) // len(chosen)])
            shown = [images[place], *(render(images[place], name, s, place, seed) for s in levels)]
            for axes, image in zip(row, shown, strict=True):
                axes.imshow(np.broadcast_to(image[0], (*image.shape[1:3], 3)))
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
            row[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for axes, title in zip(panels[0], ["original", *map(str, levels)], strict=True):
            axes.set_title(title, loc="center", fontsize=9)
        return figure

    return draw()
