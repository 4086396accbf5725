"""``nacgraph compare RUN_A RUN_B``: how far the graphs of two circuits are apart."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nacgraph.cli.answer import Parser, answer, seed_number
from nacgraph.cli.reading import add_shared, prepare


def main(argv: Sequence[str] | None = None) -> int:
    """Compare; returns the exit code."""
    parser = Parser(
        prog="nacgraph compare",
        description="Compare the graphs of two trained circuits. Prints JSON; a summary goes to "
        "standard error.",
        allow_abbrev=False,
    )
    parser.add_argument("run_a", type=Path, metavar="RUN_A", help="a run folder of nacgraph train")
    parser.add_argument("run_b", type=Path, metavar="RUN_B", help="another one")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    parser.add_argument(
        "--seed", type=seed_number, default=0, help="seed of everything that is drawn"
    )
    parser.add_argument("--nulls", type=int, default=10, help="random circuits to compare with")
    parser.add_argument("--picture", type=Path, help="both graphs in matched order, a .png or .svg")
    add_shared(parser, "plugin")
    arguments = parser.parse_args(argv)
    return answer(lambda: work(arguments))


def work(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare both runs, write and tell the results."""
    from nacgraph.analysis import compare
    from nacgraph.viz.output import SUFFIXES, save

    prepare(arguments)
    picture: Path | None = arguments.picture
    if picture is not None and picture.suffix not in SUFFIXES:  # before any work is done
        raise ValueError(f"picture: expected one of {', '.join(SUFFIXES)}, got {picture.name!r}")
    found = compare(arguments.run_a, arguments.run_b, seed=arguments.seed, nulls=arguments.nulls)
    if arguments.out is not None:
        found.save(arguments.out)
    if picture is not None:
        picture.parent.mkdir(parents=True, exist_ok=True)
        save(found.figure(), picture)
    print(found, file=sys.stderr)
    return dict(found)
