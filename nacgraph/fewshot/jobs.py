"""The fine-tunings of a few-shot experiment: what they are, and a record of those that are done."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from nacgraph.fewshot.adapting import Recipe, adapt, answered, parts_of, usual_rate
from nacgraph.fewshot.episodes import Episode, Pool, draw_episode, make_pool
from nacgraph.tasks import TableTask, get_task, parameters
from nacgraph.training.build import build_task
from nacgraph.training.data_of_run import data_place
from nacgraph.training.folder import read_data_record
from nacgraph.utils.check import check_at_least
from nacgraph.utils.files import write_atomically

if TYPE_CHECKING:
    from nacgraph.training.run import Run

# What makes two rows of episodes.jsonl the same piece of work; the digest stands for the samples.
KEY = (
    *("weights", "adapt", "shots", "episode", "digest"),
    *("seed", "steps", "learning_rate", "batch_size"),
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Tuning:
    """How models are fine-tuned in every episode.

    Attributes:
        adapt: Settings to compare, each what learns beside the new head: "codes", "signatures",
            "head", "all", or several of them with commas.
        steps: Steps of fine-tuning.
        learning_rate: At the first step, then a cosine; None: 0.001 with all, else 0.03.
        batch_size: Support samples a step, at most.
    """

    adapt: Sequence[str] = ("all",)
    steps: int = 50
    learning_rate: float | None = None
    batch_size: int = Recipe.batch_size

    def check(self) -> None:
        """Raise ValueError for a number out of range or an unknown part."""
        check_at_least(0, steps=self.steps)
        check_at_least(1, batch_size=self.batch_size)
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate: expected more than 0, got {self.learning_rate}")
        if not self.settings():
            raise ValueError("adapt: expected at least one setting, got none")

    def settings(self) -> list[tuple[str, ...]]:
        """The parts that learn in each setting, every setting once."""
        return list(dict.fromkeys(map(parts_of, self.adapt)))

    def recipe(self, run: Run, parts: tuple[str, ...], seed: int) -> Recipe:
        """How a run is fine-tuned: in the precision that it was trained in, else all the same.

        With all weights signatures learn as much faster as they did in training; without, the
        learning rate is high anyway.
        """
        rate = usual_rate(parts) if self.learning_rate is None else self.learning_rate
        return Recipe(
            parts,
            self.steps,
            rate,
            run.config.optimizer.signature_rate if "all" in parts else 1.0,
            self.batch_size,
            run.config.precision,
            seed,
        )


@dataclass(frozen=True)
class Source:
    """A pre-trained run, and the name that it goes by."""

    name: str
    run: Run

    @property
    def weights(self) -> str:
        """Digest of the run's checkpoint."""
        return str(self.run.checkpoint.state["sha256"])[:16]


@dataclass(frozen=True)
class Job:
    """One fine-tuning: a run, what of it learns, an episode with its number of shots."""

    source: Source
    adapt: str
    shots: int
    episode: Episode
    recipe: Recipe

    @property
    def row(self) -> Row:
        """The columns of ``episodes.jsonl`` that are known before the work is done."""
        return {
            "model": self.source.name,
            "run": str(self.source.run.path),
            "weights": self.source.weights,
            "adapt": self.adapt,
            "shots": self.shots,
            "episode": self.episode.number,
            "digest": self.episode.digest,
            "classes": list(self.episode.classes),
            "seed": self.recipe.seed,
            "steps": self.recipe.steps,
            "learning_rate": self.recipe.rate,
            "batch_size": self.recipe.batch_size,
        }


def name_sources(runs: Sequence[Run]) -> list[Source]:
    """The run and its baseline by the names of their models, or else by their folders.

    Raises:
        ValueError: If both are the same run, or they are of different tasks.
    """
    choices = [
        [run.config.model_name for run in runs],
        [run.path.resolve().name for run in runs],
        [str(run.path) for run in runs],
    ]
    names = next((each for each in choices if len(set(each)) == len(runs)), None)
    if names is None:
        raise ValueError(f"baseline: expected another run, got {runs[1].path} again")
    tasks = [run.config.task.name for run in runs]
    if len(set(tasks)) > 1:
        raise ValueError(f"baseline: expected a run of task {tasks[0]}, got {tasks[1]}")
    return [Source(name, run) for name, run in zip(names, runs, strict=True)]


def new_classes(
    run: Run,
    known: set[str],
    ways: int,
    samples: int,
    *,
    dataset: str | None = None,
    task_set: Mapping[str, Any] | None = None,
    cache_dir: str | None = None,
) -> Pool:
    """The samples of new classes, as the run's task reads them; see :func:`fewshot`."""
    config = run.config
    changed: dict[str, Any] = {"without_classes": (), "only_classes": (), "whole_is_test": False}
    changed |= data_place(config, read_data_record(run.path))
    if cache_dir is not None:
        changed["cache_dir"] = cache_dir
    if dataset is not None:
        changed["data"] = None if dataset == "embedded" else dataset
    config = replace(config, task=config.task.changed(**(task_set or {})))
    if not issubclass(cls := get_task(config.task.name), TableTask):
        raise ValueError(
            "run: expected a task whose data are classes in tables (a TableTask), got "
            f"{config.task.name}"
        )
    takes = parameters(cls)
    task = build_task(config, **{k: v for k, v in changed.items() if k in takes or k == "data"})
    # Images of another size are brought to that of the run.
    task.match_sizes(read_data_record(run.path)["data_signature"])
    return make_pool(cast(TableTask, task), known, ways, samples)


def plan(
    sources: Sequence[Source],
    pools: Sequence[Pool],
    *,
    ways: int,
    shots: Sequence[int],
    queries: int,
    episodes: int,
    seed: int,
    tuning: Tuning,
) -> Iterator[Job]:
    """All fine-tunings, episode by episode; each episode is drawn when its turn comes.

    Raises:
        ValueError: If an episode is not the same for both runs.
    """
    for number in range(episodes):
        for few in shots:
            drawn = [draw_episode(pool, ways, few, queries, seed, number) for pool in pools]
            if len({episode.digest for episode in drawn}) > 1:
                raise ValueError(
                    f"baseline: expected the same samples for both models, got others in episode "
                    f"{number}; their tasks must be set alike (nacgraph compare lists differences)"
                )
            for parts in tuning.settings():
                for source, episode in zip(sources, drawn, strict=True):
                    recipe = tuning.recipe(source.run, parts, seed)
                    yield Job(source, "+".join(parts), few, episode, recipe)


def work_off(
    jobs: Iterator[Job],
    count: int,
    record: Path | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> list[Row]:
    """A row for each of ``count`` jobs; those that ``record`` holds already are not done again.

    The file is written anew after each, so that an interrupted call loses one of them at most.
    Rows of other settings stay in it.
    """
    known = {} if record is None else _recorded(record)
    rows = []
    for done, job in enumerate(jobs):
        key = _key(job.row)
        if key not in known:
            if progress is not None:
                what = f"{job.source.name}, {job.adapt}"
                where = f"episode {job.episode.number + 1}, {job.shots} shots"
                progress(f"{what}: {where}", done / count)
            began = time.monotonic()
            right, loss = _scored(job)
            n = len(job.episode.queries)
            known[key] = job.row | {
                "right": right,
                "n": n,
                "accuracy": right / n,
                "loss": loss,
                "seconds": round(time.monotonic() - began, 3),
            }
            if record is not None:
                record.parent.mkdir(parents=True, exist_ok=True)
                lines = [json.dumps(each, ensure_ascii=False) for each in known.values()]
                write_atomically(record, ("\n".join(lines) + "\n").encode())
        rows.append(known[key])
    return rows


def _scored(job: Job) -> tuple[int, float]:
    """Right answers and mean loss on the queries, after fine-tuning."""
    episode, model = job.episode, job.source.run.model
    tuned = adapt(model, episode.support, len(episode.classes), job.recipe, episode.number)
    logits = answered(tuned, episode.queries, job.recipe.precision)
    labels = episode.queries.labels
    loss = torch.nn.functional.cross_entropy(logits, labels)
    return int((logits.argmax(-1) == labels).sum()), float(loss)


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY)


def _recorded(record: Path) -> dict[tuple[Any, ...], Row]:
    """The rows of an earlier call; a damaged line is left out, and its work done again."""
    found = {}
    lines = record.read_text("utf-8", "replace").splitlines() if record.is_file() else []
    for line in lines:
        try:
            row = json.loads(line)
            if 0 <= int(row["right"]) <= int(row["n"]):
                found[_key(row)] = row
        except (ValueError, KeyError, TypeError):
            continue
    return found
