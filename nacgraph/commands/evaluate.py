"""``nacgraph evaluate RUN``: the accuracy of a trained circuit, on its test split or a file."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nacgraph.checkpoint import write_atomically
from nacgraph.commands.answer import answer
from nacgraph.commands.reading import add_shared, prepare, read_run, task_arguments
from nacgraph.machine import device_of
from nacgraph.progress import percent
from nacgraph.scoring import score


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="nacgraph evaluate",
        description="Accuracy of a run's best checkpoint. Prints JSON.",
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="a run folder of nacgraph train")
    parser.add_argument("--split", choices=("test", "val"), default="test")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    parser.add_argument("--batch-size", type=int, help="that of the run if not given")
    add_shared(
        parser, "data", "cache_dir", "device", "threads", "plugin",
        data="file or folder of the task; the run's own if not given",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    return answer(lambda: evaluate(arguments))


class Told:
    """Says on stderr, every ten seconds, how far an evaluation is."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def __call__(self, right: int, seen: int) -> None:
        if time.monotonic() - self.last >= 10:
            self.last = time.monotonic()
            print(f"{seen:,} samples, {percent(right / seen)} so far", file=sys.stderr, flush=True)


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Load the run, score it, write ``--out``.

    Raises:
        ConfigError, CheckpointError: If the folder is no run or holds no valid checkpoint.
        ValueError: If the data does not fit, e.g. holds longer sequences than the run's.
    """
    prepare(arguments)
    if arguments.batch_size is not None and arguments.batch_size < 1:
        raise ValueError(f"batch-size: wanted at least 1, got {arguments.batch_size}")
    changed = task_arguments(arguments, "batch_size")
    model, task, config, checkpoint, _ = read_run(arguments.run, **changed)
    device = device_of(arguments.device)
    found = score(
        model.to(device), task, arguments.split, device, config.precision, progress=Told()
    )
    baselines = task.baselines(arguments.split)
    # Where the data has fewer classes than the run: accuracy if only those may be answered.
    among = found.accuracy_among
    result = {
        "run": str(arguments.run),
        "checkpoint": checkpoint.path.name,
        "step": checkpoint.state["step"],
        "data": arguments.data or task.describe(),
        "split": arguments.split,
        "n": found.n,
        "accuracy": found.accuracy,
        "ci95": list(found.ci95),
        **({} if among is None else {"accuracy_among_present": among}),
        "loss": found.loss,
        **baselines,
    }
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(arguments.out, (json.dumps(result, indent=1) + "\n").encode())
    return result
