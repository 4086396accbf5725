"""``nacgraph evaluate RUN``: the accuracy of a trained circuit, on its test split or a file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nacgraph.cli.answer import Parser, answer, note
from nacgraph.cli.reading import add_shared, prepare, read_run, task_arguments
from nacgraph.utils.files import write_atomically
from nacgraph.utils.progress import ProgressCounter


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate; returns the exit code."""
    parser = Parser(
        prog="nacgraph evaluate",
        description="Accuracy of a run's best checkpoint. Prints JSON.",
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="a run folder of nacgraph train")
    parser.add_argument("--split", choices=("test", "val"), default="test")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    parser.add_argument("--batch-size", type=int, help="that of the run if not given")
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="TAG",
        help="accuracy of each group of samples by a tag of the task, such as root or length "
        "for listops, skill for nlvr2; may be repeated",
    )
    add_shared(
        parser,
        *("data", "cache_dir", "device", "threads", "plugin", "allow_edited"),
        data="file or folder of the task; the run's own if not given",
    )
    arguments = parser.parse_args(argv)
    return answer(lambda: evaluate(arguments))


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Load the run, score it, write ``--out``.

    Raises:
        ConfigError, CheckpointError: If the folder is no run or holds no valid checkpoint.
        ValueError: If the data does not fit, e.g. holds longer sequences than the run's.
    """
    from nacgraph.training.evaluation import evaluate as score_run

    prepare(arguments)
    if arguments.batch_size is not None and arguments.batch_size < 1:
        raise ValueError(f"batch-size: expected at least 1, got {arguments.batch_size}")
    run = read_run(arguments.run, **task_arguments(arguments, "batch_size"))
    split, told = arguments.split, ProgressCounter(arguments.split, note)
    result = score_run(run, arguments.data, split, arguments.by, arguments.device, told).as_dict()
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(arguments.out, (json.dumps(result, indent=1) + "\n").encode())
    return result
