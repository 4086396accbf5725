"""``nacgraph fewshot RUN``: how well a trained model learns new classes from a few samples."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nacgraph.cli.answer import Parser, answer
from nacgraph.cli.reading import (
    add_shared,
    comma_list,
    key_values,
    prepare,
    read_run,
    task_arguments,
)
from nacgraph.utils.progress import ProgressPrinter


def main(argv: Sequence[str] | None = None) -> int:
    """Adapt and score; returns the exit code."""
    text = "In every episode a trained model gets a new head, is fine-tuned on a few samples of "
    text += "classes that it has never seen, and answers others. Prints a table."
    parser = Parser("nacgraph fewshot", description=text, allow_abbrev=False)
    add = parser.add_argument
    add("run", type=Path, help="a run folder of nacgraph train")
    data = "if not given that of the run, without the classes left out by without_classes=…"
    add("--dataset", help=f"data of the same task, `embedded` for the task's own; {data}")
    add("--ways", type=int, default=8, help="classes an episode")
    add("--shots", default="1,2,4,8,16", help="samples to learn from (default %(default)s)")
    add("--queries", type=int, default=15, help="other samples of each class that are answered")
    add("--episodes", type=int, default=20)
    parts = "codes, signatures, head, all (the default), or several with commas; may be repeated"
    add("--adapt", action="append", metavar="PARTS", help=f"what learns beside the head: {parts}")
    add("--steps", type=int, default=50, help="steps of fine-tuning")
    add("--learning-rate", type=float, help="at the first step; 0.001 with all, else 0.03")
    add("--batch-size", type=int, default=8, help="support samples a step (default %(default)s)")
    add("--baseline", type=Path, help="a second run, given the same episodes")
    add("--seed", type=int, default=0, help="seed of the episodes")
    add("--out", type=Path, help="folder of the results; RUN/fewshot by default")
    add_shared(parser, "cache_dir", "threads", "plugin")
    pairs = "KEY=VALUE …: parameters of the task, when it reads the episodes' data"
    add("--task-set", nargs="+", action="extend", default=[], help=pairs)
    arguments = parser.parse_args(argv)
    return answer(lambda: work(arguments))


def work(arguments: argparse.Namespace) -> str:
    """Run all episodes that are not done yet; write the results, return the table."""
    from nacgraph.fewshot import Tuning, fewshot

    prepare(arguments)
    wanted = "whole numbers with commas between them"
    shots = comma_list("shots", arguments.shots, int, wanted)
    tuning = Tuning(
        arguments.adapt or ["all"],
        arguments.steps,
        arguments.learning_rate,
        arguments.batch_size,
    )
    other = arguments.baseline and read_run(arguments.baseline, **task_arguments(arguments))
    out = arguments.out or arguments.run / "fewshot"
    plain = ("ways", "queries", "episodes", "seed", "dataset", "cache_dir")
    found = fewshot(
        read_run(arguments.run, **task_arguments(arguments)),
        other,
        shots=shots,
        tuning=tuning,
        task_set=key_values(arguments.task_set, "task_set"),
        out=out,
        progress=ProgressPrinter(),
        **{name: getattr(arguments, name) for name in plain},
    )
    if found.short:
        print(f"note: {len(found.short)} classes have too few samples", file=sys.stderr)
    print(f"results    {out}/fewshot.json, {out}/figure4.svg, {out}/figure4.png", file=sys.stderr)
    return str(found)
