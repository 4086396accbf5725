"""``nacgraph sweep RECIPE``: a grid of runs, their tables and curves."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nacgraph.cli.answer import answer
from nacgraph.cli.options import parse
from nacgraph.cli.reading import add_shared, key_values
from nacgraph.sweep import (
    LAUNCHERS,
    Cell,
    Job,
    Recipe,
    Record,
    gather,
    jobs_of,
    latex,
    launch,
    markdown,
    read_recipe,
    rows_of,
    spreadsheet,
)
from nacgraph.sweep.jobs import cell_flags, cell_folder
from nacgraph.training.plan import check_parts
from nacgraph.utils.errors import ConfigError
from nacgraph.utils.files import write_atomically


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is not finished, write the tables; returns the exit code (1: a cell failed)."""
    parser = argparse.ArgumentParser(
        prog="nacgraph sweep",
        description="Train every cell of a recipe (a point of each of its axes, and a seed), then "
        "write RECIPE.md, .csv, .tex and pictures. What is finished is not run "
        "again; what was interrupted goes on.",
        allow_abbrev=False,
    )
    parser.add_argument("recipe", type=Path, help="a YAML file, such as recipes/table1.yaml")
    parser.add_argument("--scale", default="smoke", help="smoke (default), small or paper")
    parser.add_argument("--seeds", type=int, help="number of seeds; the scale's if not given")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--out", type=Path, help="folder; sweeps/RECIPE-SCALE if not given")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="where a dataset of the recipe is",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="cells whose name, or a point's, has this in it",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a field for all cells, over what the recipe says",
    )
    parser.add_argument("--launcher", choices=LAUNCHERS, default="process")
    parser.add_argument(
        "--launcher-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of submitit: timeout_min=600, slurm_partition=gpu",
    )
    add_shared(parser, "cache_dir", "plugin")
    parser.add_argument("--list", action="store_true", help="say what would run, and stop")
    parser.add_argument(
        "--tables", action="store_true", help="run nothing: tables and pictures of what is finished"
    )
    arguments = parser.parse_args(argv)
    failed: list[str] = []
    code = answer(lambda: "\n".join(_run(arguments, failed)))
    return code or int(bool(failed))


def _run(arguments: argparse.Namespace, failed: list[str]) -> list[str]:
    recipe = read_recipe(arguments.recipe)
    cells = chosen(recipe, arguments)
    flags = [f"--plugin={path}" for path in arguments.plugin]
    if arguments.cache_dir:
        flags.append(f"--cache-dir={arguments.cache_dir}")
    # Other machines may have what this one has not.
    check(cells, [*flags, "--device=auto"] if arguments.launcher == "submitit" else flags)
    if arguments.list:
        return [f"{cell.name}: {json.dumps(cell.fields, ensure_ascii=False)}" for cell in cells]
    name = f"{arguments.recipe.stem}-{arguments.scale}"
    out: Path = (arguments.out or Path("sweeps") / name).resolve()
    if arguments.jobs < 1:
        raise ValueError(f"jobs: expected at least 1, got {arguments.jobs}")
    jobs = jobs_of(cells, recipe.after, out, arguments.scale, flags, data_paths(arguments))
    ready = sum(not job.left() for job in jobs)
    print(
        f"sweep      {recipe.title}, scale {arguments.scale}: {len(jobs)} cells, {ready} ready\n"
        f"results    {out}",
        file=sys.stderr,
    )
    stem = out / arguments.recipe.stem
    codes: dict[str, int] = {}
    try:
        if not arguments.tables:
            codes = _launch(jobs, arguments, out)
    finally:  # also of what was finished before a Ctrl-C
        said = write_results(recipe, cells, out, arguments.scale, stem, command(arguments))
    failed += [name for name, code in codes.items() if code]
    said += _failures([job for job in jobs if job.name in failed], codes)
    said.append(f"results    {stem}.md, .csv, .tex, pictures")
    done = [job for job in jobs if not job.left()]
    return said + [f"next       nacgraph analyze {job.folder} --html" for job in done[-1:]]


def chosen(recipe: Recipe, arguments: argparse.Namespace) -> list[Cell]:
    """The cells that the command line asks for, with the fields that it sets."""
    sets = key_values(arguments.set, "set")
    cells = recipe.cells(arguments.scale, arguments.seeds, data_paths(arguments))
    if arguments.only:
        example = cells[-1].name
        cells = [
            cell
            for cell in cells
            if any(
                text in name
                for text in arguments.only
                for name in (cell.name, *cell.points.values())
            )
        ]
        if not cells:
            raise ValueError(
                f"only: expected a part of a cell's name, such as {example}, got {arguments.only}"
            )
    return [Cell(cell.points, cell.seed, {**cell.fields, **sets}) for cell in cells]


def data_paths(arguments: argparse.Namespace) -> dict[str, str]:
    """Name of a dataset → its whole path, from ``--data``."""
    given = key_values(arguments.data, "data")
    return {name: str(Path(str(path)).resolve()) for name, path in given.items()}


def command(arguments: argparse.Namespace) -> str:
    """The command that makes these tables, without folders and what changes no number."""
    words = ["nacgraph", "sweep", arguments.recipe.name, "--scale", arguments.scale]
    words += ["--seeds", str(arguments.seeds)] if arguments.seeds else []
    words += [
        word
        for name in ("only", "set")
        for each in getattr(arguments, name)
        for word in (f"--{name}", each)
    ]
    for each in arguments.data:
        words += ["--data", f"{each.partition('=')[0]}=PATH"]
    for each in arguments.plugin:
        words += ["--plugin", Path(each).name]
    return shlex.join(words)


def check(cells: Sequence[Cell], flags: Sequence[str]) -> None:
    """Every cell must make a valid configuration, before any is trained.

    Raises:
        ConfigError: With the problems of all, each once.
    """
    problems: dict[str, str] = {}
    for cell in cells:
        try:
            check_parts(parse([*cell_flags(cell), *flags]).config)
        except ConfigError as error:
            for text in error.problems:
                problems.setdefault(text, cell.name)
    if problems:
        raise ConfigError([f"{name}: {text}" for text, name in problems.items()])


def _launch(jobs: Sequence[Job], arguments: argparse.Namespace, out: Path) -> dict[str, int]:
    from nacgraph.sweep.watch import Watching

    settings = key_values(arguments.launcher_set, "launcher-set")
    watch = Watching(jobs)
    # SIGTERM is how a scheduler asks; and SIGINT may be ignored in what a script started with &.
    before = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return launch(jobs, arguments.launcher, arguments.jobs, watch, settings, out / "submitit")
    except KeyboardInterrupt:
        watch.stop()
        print("stopped; the same command goes on from here", file=sys.stderr)
        raise
    finally:
        watch.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def write_results(
    recipe: Recipe, cells: Sequence[Cell], out: Path, scale: str, stem: Path, made_by: str
) -> list[str]:
    """``stem``.md, .csv, .tex and pictures of what is finished; returns the lines to print."""
    records = gather(recipe, cells, out)
    if not records:
        return ["no cell is finished"]
    rows = rows_of(recipe, records)
    plan: Mapping[str, Any] = recipe.scales[scale]
    text = markdown(recipe, rows)
    note = str(plan.get("note") or "").strip()
    head = [f"# {recipe.title}", recipe.about, f"Scale `{scale}`. {note}".strip()]
    whole = "\n\n".join(
        [*(part for part in head if part), text.strip(), *_origin(records, made_by)]
    )
    write_atomically(Path(f"{stem}.md"), (whole + "\n").encode())
    write_atomically(Path(f"{stem}.tex"), latex(recipe, rows).encode())
    csv = spreadsheet(recipe, records, lambda r: str(cell_folder(Path(), r.cell)))
    write_atomically(Path(f"{stem}.csv"), csv.encode())
    _draw(recipe, rows, stem)
    return [text.rstrip(), ""]


def _origin(records: Sequence[Record], made_by: str) -> list[str]:
    """Which data, command, versions and machines the runs are of."""
    runs = [json.loads((r.folder / "summary.json").read_text("utf-8")) for r in records]
    said = {
        "Data": [run.get("data") for run in runs],
        "Command": [f"`{made_by}`"],
        "Versions": [", ".join(map(" ".join, run.get("versions", {}).items())) for run in runs],
        "Machines": [run.get("machine") for run in runs],
    }
    found = {name: sorted({text for text in texts if text}) for name, texts in said.items()}
    return [f"{name}: {'; '.join(texts)}" for name, texts in found.items() if texts]


def _draw(recipe: Recipe, rows: Sequence[Any], stem: Path) -> None:
    from nacgraph.sweep.tables import sections
    from nacgraph.viz import curves_figure, lines_figure, read_metrics

    for name, mine in sections(recipe, rows).items():
        ending = f"-{name}" if name else ""
        curves = {}
        for row in mine:
            label = ", ".join(p for axis, p in row.points.items() if axis != recipe.sections)
            curves[label or name] = read_metrics(row.records[0].folder / "metrics.csv")
        curves_figure(curves, {}).savefig(f"{stem}-curves{ending}.png", dpi=120)
        for each in recipe.after:
            lines = {}
            for row in mine:
                label = ", ".join(p for axis, p in row.points.items() if axis != recipe.sections)
                if found := [r.curves[each.name] for r in row.records if each.name in r.curves]:
                    lines[label or name] = found
            if lines:
                labels = [str(text) for text in each.series.get("labels", ())]
                figure = lines_figure(lines, *(labels or [each.series["x"], each.series["y"]]))
                figure.savefig(f"{stem}-{each.name}{ending}.png", dpi=120)


def _failures(jobs: Sequence[Job], codes: Mapping[str, int]) -> list[str]:
    said = []
    for job in jobs:
        lines = job.log.read_text("utf-8", errors="replace").strip().splitlines()
        last = lines[-1] if lines else ""
        said.append(
            f"failed     {job.name} (exit {codes[job.name]}): {last}\n           see {job.log}"
        )
    return said
