"""``nacgraph sweep RECIPE``: a grid of runs, their tables and curves."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nacgraph.cli.answer import Parser, answer
from nacgraph.cli.reading import add_shared, key_values


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is not finished, write the tables; returns the exit code (1: a cell failed)."""
    parser = Parser(
        prog="nacgraph sweep",
        description="Train every cell of a recipe (a point of each of its axes, and a seed), then "
        "write RECIPE.md, .csv, .tex and pictures. What is finished is not run again; what was "
        "interrupted goes on.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    pairs: dict[str, Any] = {"action": "append", "default": [], "metavar": "KEY=VALUE"}
    add("recipe", type=Path, help="a YAML file, such as recipes/table1.yaml")
    add("--scale", default="smoke", help="smoke (default), small or paper")
    add("--seeds", type=int, help="number of seeds; the scale's if not given")
    add("--jobs", type=int, default=1, help="processes at a time")
    add("--out", type=Path, help="folder; sweeps/RECIPE-SCALE if not given")
    add("--data", **{**pairs, "metavar": "NAME=PATH"}, help="where a dataset of the recipe is")
    only = "cells whose name, or a point's, contains this"
    add("--only", **{**pairs, "metavar": "TEXT"}, help=only)
    add("--set", **pairs, help="a field for all cells, over what the recipe says")
    add("--launcher", choices=("process", "here", "submitit"), default="process")
    add("--launcher-set", **pairs, help="of submitit: timeout_min=600, slurm_partition=gpu")
    add_shared(parser, "cache_dir", "plugin")
    add("--list", action="store_true", help="say what would run, and stop")
    add("--tables", action="store_true", help="run nothing: tables and pictures of what is there")
    arguments = parser.parse_args(argv)
    codes: dict[str, int] = {}
    return answer(lambda: "\n".join(_run(arguments, codes))) or int(any(codes.values()))


def _run(a: argparse.Namespace, codes: dict[str, int]) -> list[str]:
    from nacgraph.cli.options import parse
    from nacgraph.sweep import plan_sweep
    from nacgraph.training.plan import check_parts

    data, fields = key_values(a.data, "data"), key_values(a.set, "set")
    flags = [f"--plugin={path}" for path in a.plugin]
    flags += [f"--cache-dir={a.cache_dir}"] if a.cache_dir else []
    choice: dict[str, Any] = {"data": data, "only": a.only, "fields": fields, "flags": flags}
    sweep = plan_sweep(a.recipe, a.scale, seeds=a.seeds, out=a.out, **choice)
    # Other machines may have what this one has not.
    elsewhere = ["--device=auto"] if a.launcher == "submitit" else []
    sweep.check(lambda given: check_parts(parse([*given, *elsewhere]).config))
    if a.list:
        return [f"{c.name}: {json.dumps(c.fields, ensure_ascii=False)}" for c in sweep.cells]
    say, ready = partial(print, file=sys.stderr), sum(not job.left() for job in sweep.jobs)
    say(f"sweep      {sweep.recipe.title}, scale {a.scale}: {len(sweep.jobs)} cells, {ready} ready")
    say(f"results    {sweep.out}")
    try:
        if not a.tables:
            settings = key_values(a.launcher_set, "launcher-set")
            codes |= sweep.run(a.launcher, a.jobs, settings, say)
    finally:  # also of what was finished before a Ctrl-C
        # The command that makes these tables, without folders and what changes no number.
        words = ["nacgraph", "sweep", a.recipe.name, "--scale", a.scale]
        words += ["--seeds", str(a.seeds)] if a.seeds else []
        words += [word for text in a.only for word in ("--only", text)]
        words += [word for text in a.set for word in ("--set", text)]
        words += [word for name in data for word in ("--data", f"{name}=PATH")]
        words += [word for path in a.plugin for word in ("--plugin", Path(path).name)]
        tables = sweep.write(shlex.join(words))
    return sweep.report(tables, codes)
