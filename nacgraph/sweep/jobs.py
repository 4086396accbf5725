"""Jobs: the commands to run for every cell, and the file that each leaves when it is done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nacgraph.sweep.recipe import After, Cell
from nacgraph.training.config import FREE_ON_RESUME
from nacgraph.training.flags import shown, to_paths
from nacgraph.training.run import read_config
from nacgraph.utils.errors import ConfigError


@dataclass(frozen=True)
class Step:
    """A command, and the file that exists once it has finished."""

    argv: tuple[str, ...]
    done: Path


@dataclass(frozen=True)
class Job:
    """A cell's commands, in turn.

    Attributes:
        name: The cell's.
        folder: Its run folder.
        steps: Training, and what follows.
        log: File for their output.
    """

    name: str
    folder: Path
    steps: tuple[Step, ...]
    log: Path

    def left(self) -> list[Step]:
        """Steps that have not finished."""
        return [step for step in self.steps if not step.done.is_file()]


def cell_folder(out: Path, cell: Cell) -> Path:
    """The run folder of a cell."""
    return out / "cells" / cell.name


def after_folder(out: Path, after: After, cell: Cell) -> Path:
    """Folder for the results of a command on a finished run."""
    return out / after.name / cell.name


def cell_flags(cell: Cell) -> list[str]:
    """A cell's fields as flags of ``nacgraph train``; a null is left to preset and model."""
    return [
        f"--{key}={value if isinstance(value, str) else json.dumps(_plain(value))}"
        for key, value in cell.fields.items()
        if value is not None
    ]


def jobs_of(
    cells: Sequence[Cell],
    after: Sequence[After],
    out: Path,
    scale: str,
    flags: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
) -> list[Job]:
    """A job for every cell.

    Args:
        cells: Of a recipe, at a scale.
        after: Commands for the finished runs.
        out: The sweep's folder.
        scale: Which scale the cells are of, since commands may have flags for it.
        flags: Further flags of ``nacgraph train``, for every cell.
        data: Name of a dataset → its path, for those that the commands use.

    Raises:
        ConfigError: If two cells have one name, or a run in ``out`` has other fields.
    """
    names = [cell.name for cell in cells]
    problems = [
        f"cells: expected a name for each, got {name} twice"
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
    for cell in cells:
        problems += _strayed(cell, cell_folder(out, cell))
    if problems:
        raise ConfigError(problems)
    found = []
    for cell in cells:
        folder = cell_folder(out, cell)
        train = ("train", *cell_flags(cell), "--out", str(folder), "--resume", "auto", *flags)
        steps = [Step(train, folder / "summary.json")]
        for each in after:
            if each.concerns(cell.points):
                there = after_folder(out, each, cell)
                stands = {"{run}": str(folder), "{seed}": str(cell.seed)}
                stands |= {f"${name}": path for name, path in (data or {}).items()}
                words = [stands.get(word, word) for word in each.words(scale)]
                steps.append(Step((*words, "--out", str(there)), there / each.result))
        log = out / "logs" / f"{cell.name}.log"
        found.append(Job(cell.name, folder, tuple(steps), log))
    return found


def _strayed(cell: Cell, folder: Path) -> list[str]:
    """Differences between a cell and the run that is already in its folder."""
    if not (folder / "config.yaml").is_file():
        return []
    stored = to_paths(read_config(folder).as_dict())
    no_prior = stored["prior.name"] == "none"  # as of a complete graph, whatever the recipe says
    wrong = []
    for path, value in to_paths(cell.fields).items():
        free = path in FREE_ON_RESUME or (no_prior and path.startswith("prior.")) or value is None
        # A path that is not there was left out: a transformer has no modules.
        if not free and path in stored and stored[path] != _plain(value):
            wrong.append(
                f"{folder}: {shown(path)}: expected {value!r}, got a run of {stored[path]!r}; give "
                "another --out, or remove that folder"
            )
    return wrong


def _plain(value: object) -> object:
    """Tuples as lists, as YAML has them."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
