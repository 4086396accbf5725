"""``nacgraph renditions RUN …``: accuracy on images drawn, distorted and corrupted."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from nacgraph.cli.answer import Parser, answer
from nacgraph.cli.reading import add_shared, comma_list, prepare, read_run, task_arguments
from nacgraph.utils.progress import ProgressPrinter


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate on renditions; returns the exit code."""
    parser = Parser(
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
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise within renditions")
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
    return answer(lambda: work(arguments))


def work(arguments: argparse.Namespace) -> str:
    """Score the runs, write the results, return the table."""
    from nacgraph.analysis import renditions
    from nacgraph.utils.machine import device_of
    from nacgraph.viz import save

    prepare(arguments)
    wanted = "numbers from 1 to 5 with commas between them"
    strengths = comma_list("strengths", arguments.strengths, int, wanted)
    only = None if arguments.only is None else [n.strip() for n in arguments.only.split(",")]
    runs = [read_run(folder, **task_arguments(arguments)) for folder in arguments.runs]
    for run in runs:
        run.model.to(device_of(arguments.device))
    found = renditions(
        runs,
        only=only,
        strengths=strengths,
        limit=arguments.limit or None,
        split=arguments.split,
        seed=arguments.seed,
        progress=ProgressPrinter(),
    )
    out = found.save(arguments.out or arguments.runs[0])
    if arguments.sheet:
        save(found.figure(), out / "renditions.png")
    return str(found)
