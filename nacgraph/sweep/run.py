"""A sweep from recipe to tables: choose cells, train what is not finished, write results."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from nacgraph.sweep.jobs import Job, cell_flags, jobs_of
from nacgraph.sweep.launch import launch
from nacgraph.sweep.recipe import Cell, Recipe, read_recipe
from nacgraph.sweep.results import failures, write_results
from nacgraph.sweep.watch import Watching
from nacgraph.utils.check import check_whole
from nacgraph.utils.errors import ConfigError


@dataclass(frozen=True)
class Sweep:
    """A recipe at a scale, with the cells that were chosen, in a folder.

    Attributes:
        recipe: The recipe.
        name: Its name, that of the tables.
        scale: The scale.
        cells: The cells that are trained.
        out: Folder of the runs and results, absolute.
        flags: Further flags of ``nacgraph train``, for every cell.
        data: Name of a dataset → its path.
    """

    recipe: Recipe
    name: str
    scale: str
    cells: Sequence[Cell]
    out: Path
    flags: Sequence[str] = ()
    data: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def jobs(self) -> list[Job]:
        """A job for every cell.

        Raises:
            ConfigError: If a run in ``out`` has other fields.
        """
        after = self.recipe.after
        return jobs_of(self.cells, after, self.out, self.scale, self.flags, self.data)

    def run(
        self,
        launcher: str = "process",
        at_once: int = 1,
        settings: Mapping[str, Any] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> dict[str, int]:
        """Run what is not finished; the same call goes on where an interrupted one stopped.

        Args:
            launcher: "process", "here" or "submitit", see :func:`nacgraph.sweep.launch`.
            at_once: Processes at a time.
            settings: Of submitit's executor.
            progress: Called with a line if the sweep is stopped.

        Returns:
            Exit code by name of the job.

        Raises:
            KeyboardInterrupt: On Ctrl-C or SIGTERM, after all that ran has saved its state.
            ValueError: If there is no such launcher.
        """
        check_whole(1, jobs=at_once)
        watch = Watching(self.jobs)
        try:
            with _stopped_by_signals():
                return launch(self.jobs, launcher, at_once, watch, settings, self.out / "submitit")
        except KeyboardInterrupt:
            watch.stop()
            if progress is not None:
                progress("stopped; the same command goes on from here")
            raise
        finally:
            watch.stop()

    def write(self, command: str | None = None) -> str:
        """Write tables and pictures of what is finished; returns the tables as Markdown.

        Args:
            command: The command that makes them, which the tables then name.
        """
        return write_results(self.recipe, self.cells, self.out, self.scale, self.stem, command)

    @property
    def stem(self) -> Path:
        """Path of the results, without their endings."""
        return self.out / self.name

    def check(self, check: Callable[[list[str]], object]) -> None:
        """Every cell must make a valid configuration, before any is trained.

        Args:
            check: Raises ConfigError if flags of ``nacgraph train`` make none.

        Raises:
            ConfigError: With the problems of all cells, each once.
        """
        problems: dict[str, str] = {}
        for cell in self.cells:
            try:
                check([*cell_flags(cell), *self.flags])
            except ConfigError as error:
                for text in error.problems:
                    problems.setdefault(text, cell.name)
        if problems:
            raise ConfigError([f"{name}: {text}" for text, name in problems.items()])

    def report(self, tables: str, codes: Mapping[str, int]) -> list[str]:
        """The tables, the jobs that failed, and what to do next, as lines."""
        failed = [job for job in self.jobs if codes.get(job.name)]
        lines = [tables, *failures(failed, codes)]
        lines.append(f"results    {self.stem}.md, .csv, .tex, pictures")
        done = [job for job in self.jobs if not job.left()]
        return lines + [f"next       nacgraph analyze {job.folder} --html" for job in done[-1:]]


def plan_sweep(
    recipe: Path,
    scale: str = "smoke",
    *,
    seeds: int | None = None,
    out: Path | None = None,
    data: Mapping[str, Any] | None = None,
    only: Sequence[str] = (),
    fields: Mapping[str, Any] | None = None,
    flags: Sequence[str] = (),
) -> Sweep:
    """Read a recipe and choose its cells.

    Args:
        recipe: A YAML file.
        scale: One of its scales.
        seeds: Number of seeds; the scale's if not given.
        out: Folder; ``sweeps/RECIPE-SCALE`` if not given.
        data: Name of a dataset of the recipe → its path.
        only: Keep the cells whose name, or the name of a point, contains one of these texts.
        fields: Fields for all cells, which win over the recipe's.
        flags: Further flags of ``nacgraph train``, for every cell.

    Raises:
        ConfigError: If the recipe or a setting is wrong.
        ValueError: If ``only`` leaves no cell.
    """
    read, file = read_recipe(recipe), Path(recipe)
    paths = {name: str(Path(str(path)).resolve()) for name, path in (data or {}).items()}
    cells = read.cells(scale, seeds, paths)
    if only:
        example = cells[-1].name
        cells = [
            cell
            for cell in cells
            if any(text in name for text in only for name in (cell.name, *cell.points.values()))
        ]
        if not cells:
            raise ValueError(
                f"only: expected a part of a cell's name, such as {example}, got {list(only)}"
            )
    cells = [Cell(cell.points, cell.seed, {**cell.fields, **(fields or {})}) for cell in cells]
    folder = (out or Path("sweeps") / f"{file.stem}-{scale}").resolve()
    return Sweep(read, file.stem, scale, cells, folder, tuple(flags), paths)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGINT and SIGTERM raise KeyboardInterrupt.

    SIGTERM is how a scheduler asks; and a script that started us with & may ignore SIGINT.
    """
    before = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
