"""The episodes of ``nacgraph fewshot``: which runs, which samples, and what is already done."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from nacgraph.cli.reading import key_values, read_run, task_arguments
from nacgraph.fewshot import (
    Episode,
    Pool,
    Recipe,
    adapt,
    answered,
    draw_episode,
    make_pool,
    usual_rate,
)
from nacgraph.tasks import TableTask, get_task, parameters
from nacgraph.training.config import RunConfig
from nacgraph.training.run import build_task, read_data_record
from nacgraph.utils.files import write_atomically
from nacgraph.utils.progress import ProgressPrinter

if TYPE_CHECKING:
    from nacgraph.models.transformer import Model

# What makes two rows of episodes.jsonl the same piece of work; the digest stands for the samples.
KEY = (
    "weights",
    "adapt",
    "shots",
    "episode",
    "digest",
    "seed",
    "steps",
    "learning_rate",
    "batch_size",
)


@dataclass(frozen=True)
class Source:
    """A pre-trained run; ``weights`` is the digest of its checkpoint."""

    name: str
    folder: Path
    weights: str
    model: Model
    config: RunConfig
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """One fine-tuning: a model, what of it learns, an episode with its number of shots."""

    source: Source
    adapt: str
    shots: int
    episode: Episode
    recipe: Recipe

    @property
    def row(self) -> dict[str, Any]:
        """The columns of ``episodes.jsonl`` that are known before it is done."""
        recipe = self.recipe
        return {
            "model": self.source.name,
            "run": str(self.source.folder),
            "weights": self.source.weights,
            "adapt": self.adapt,
            "shots": self.shots,
            "episode": self.episode.number,
            "digest": self.episode.digest,
            "classes": list(self.episode.classes),
            "seed": recipe.seed,
            "steps": recipe.steps,
            "learning_rate": recipe.rate,
            "batch_size": recipe.batch_size,
        }


def load_sources(arguments: argparse.Namespace) -> list[Source]:
    """The run and its baseline; models of one name go by their folders."""
    folders = [arguments.run] + [arguments.baseline] * (arguments.baseline is not None)
    loaded = [read_run(folder, **task_arguments(arguments)) for folder in folders]
    names = [run.config.model_name for run in loaded]
    if len(set(names)) < len(names):
        names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise ValueError(f"baseline: expected another run, got {folders[1]} again")
    if len({run.config.task.name for run in loaded}) > 1:
        raise ValueError(
            f"baseline: expected a run of task {loaded[0].config.task.name}, "
            f"got {loaded[1].config.task.name}"
        )
    found = []
    for name, folder, run in zip(names, folders, loaded, strict=True):
        model, task, config, checkpoint = run.model, run.task, run.config, run.checkpoint
        weights = str(checkpoint.state["sha256"])[:16]
        found.append(Source(name, folder, weights, model, config, tuple(task.classes or ())))
    return found


def pool_of(
    source: Source, sources: Sequence[Source], shots: int, arguments: argparse.Namespace
) -> Pool:
    """New classes as this source's task reads them: new to the run and to its baseline."""
    config = source.config
    changed: dict[str, Any] = {"without_classes": (), "only_classes": (), "whole_is_test": False}
    if arguments.cache_dir is not None:
        changed["cache_dir"] = arguments.cache_dir
    if arguments.dataset is not None:
        changed["data"] = None if arguments.dataset == "embedded" else arguments.dataset
    given = key_values(arguments.task_set, "task_set")
    config = replace(config, task=config.task.changed(**given))
    if not issubclass(cls := get_task(config.task.name), TableTask):
        raise ValueError(
            "run: expected a task whose data are classes in tables (a TableTask), got "
            f"{config.task.name}"
        )
    takes = parameters(cls)
    task = build_task(config, **{k: v for k, v in changed.items() if k in takes or k == "data"})
    # Images of another size are brought to that of the run.
    task.match_sizes(read_data_record(source.folder)["data_signature"])
    known = {name for each in sources for name in each.classes}
    return make_pool(cast(TableTask, task), known, arguments.ways, arguments.queries + shots)


def plan(
    sources: Sequence[Source],
    pools: Sequence[Pool],
    shots: Sequence[int],
    adapts: Sequence[tuple[str, ...]],
    arguments: argparse.Namespace,
) -> Iterator[Job]:
    """All that is to be done, episode by episode, each drawn when its turn comes.

    Raises:
        ValueError: If an episode is not the same for both models.
    """
    for number in range(arguments.episodes):
        for few in shots:
            drawn = [
                draw_episode(p, arguments.ways, few, arguments.queries, arguments.seed, number)
                for p in pools
            ]
            if len({episode.digest for episode in drawn}) > 1:
                raise ValueError(
                    f"baseline: expected the same samples for both models, got others in episode "
                    f"{number}; their tasks must be set alike (nacgraph compare lists differences)"
                )
            for parts in adapts:
                for source, episode in zip(sources, drawn, strict=True):
                    recipe = recipe_of(source, parts, arguments)
                    yield Job(source, "+".join(parts), few, episode, recipe)


def recipe_of(source: Source, parts: tuple[str, ...], arguments: argparse.Namespace) -> Recipe:
    """How a run is fine-tuned: the same for both, but for the precision that each was trained in.

    With all weights signatures learn as much faster as they did in training; else the rate is high
    anyway.
    """
    rate = arguments.learning_rate
    return Recipe(
        parts,
        arguments.steps,
        usual_rate(parts) if rate is None else rate,
        source.config.optimizer.signature_rate if "all" in parts else 1.0,
        arguments.batch_size,
        source.config.precision,
        arguments.seed,
    )


def work_off(jobs: Iterator[Job], count: int, record: Path) -> list[dict[str, Any]]:
    """A row for each of ``count`` jobs; those that ``record`` holds already are not done again.

    The file is written anew after each, so that an interrupted call loses one of them at most.
    Rows of other settings stay in it.
    """
    known, rows, told = _recorded(record), [], ProgressPrinter()
    for done, job in enumerate(jobs):
        key = _key(job.row)
        if key not in known:
            what = f"{job.source.name}, {job.adapt}"
            told(f"{what}: episode {job.episode.number + 1}, {job.shots} shots", done / count)
            began = time.monotonic()
            right, loss = _scored(job)
            asked = len(job.episode.queries)
            known[key] = job.row | {
                "right": right,
                "n": asked,
                "accuracy": right / asked,
                "loss": loss,
                "seconds": round(time.monotonic() - began, 3),
            }
            record.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(each, ensure_ascii=False) for each in known.values()]
            write_atomically(record, ("\n".join(lines) + "\n").encode())
        rows.append(known[key])
    return rows


def _scored(job: Job) -> tuple[int, float]:
    """Right answers and mean loss on the queries, after fine-tuning."""
    episode = job.episode
    tuned = adapt(
        job.source.model, episode.support, len(episode.classes), job.recipe, episode.number
    )
    logits = answered(tuned, episode.queries, job.recipe.precision)
    labels = episode.queries.labels
    loss = torch.nn.functional.cross_entropy(logits, labels)
    return int((logits.argmax(-1) == labels).sum()), float(loss)


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY)


def _recorded(record: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows of an earlier call; a damaged line is as if it were not there."""
    found = {}
    lines = record.read_text("utf-8", "replace").splitlines() if record.is_file() else []
    for line in lines:
        try:
            row = json.loads(line)
            right, asked = int(row["right"]), int(row["n"])
            if 0 <= right <= asked:
                found[_key(row)] = row
        except (ValueError, KeyError, TypeError):
            continue
    return found
