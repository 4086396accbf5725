"""``nacgraph evaluate RUN``: the accuracy of a trained circuit, on its test split or a file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacgraph.cli.answer import answer
from nacgraph.cli.reading import add_shared, prepare, read_run, task_arguments
from nacgraph.training.scoring import score, wilson
from nacgraph.utils.files import write_atomically
from nacgraph.utils.machine import device_of
from nacgraph.utils.progress import ProgressCounter

if TYPE_CHECKING:
    from torch import Tensor


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
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="TAG",
        help="accuracy apart by what the task says of its samples, as root for "
        "listops, skill for nlvr2; may be given again",
    )
    add_shared(
        parser,
        "data",
        "cache_dir",
        "device",
        "threads",
        "plugin",
        data="file or folder of the task; the run's own if not given",
    )
    arguments = parser.parse_args(argv)
    return answer(lambda: evaluate(arguments))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Load the run, score it, write ``--out``.

    Raises:
        ConfigError, CheckpointError: If the folder is no run or holds no valid checkpoint.
        ValueError: If the data does not fit, e.g. holds longer sequences than the run's.
    """
    prepare(arguments)
    if arguments.batch_size is not None and arguments.batch_size < 1:
        raise ValueError(f"batch-size: expected at least 1, got {arguments.batch_size}")
    changed = task_arguments(arguments, "batch_size")
    run = read_run(arguments.run, **changed)
    model, task, config, checkpoint = run.model, run.task, run.config, run.checkpoint
    device = device_of(arguments.device)
    tags = task.tags(arguments.split) if arguments.by else {}
    if unknown := [name for name in arguments.by if name not in tags]:
        raise ValueError(
            f"by: expected one of {', '.join(tags) or 'none'} for task {config.task.name}, "
            f"got {unknown[0]!r}"
        )
    hits: dict[int, bool] = {}

    def note(rows: Tensor, right: Tensor) -> None:
        hits.update(zip(rows.tolist(), right.tolist(), strict=True))

    found = score(
        model.to(device),
        task,
        arguments.split,
        device,
        config.precision,
        progress=ProgressCounter(arguments.split, _say),
        each=note if arguments.by else None,
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
        **({"by": {name: by_tag(tags[name], hits) for name in arguments.by}} if hits else {}),
    }
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(arguments.out, (json.dumps(result, indent=1) + "\n").encode())
    return result


def by_tag(words: Sequence[str], hits: Mapping[int, bool]) -> dict[str, Any]:
    """Word → samples, accuracy and its 95 % interval; words in their natural order."""
    groups: dict[str, list[bool]] = {}
    for row, right in hits.items():
        groups.setdefault(str(words[row]), []).append(right)
    return {
        word: {
            "n": len(found),
            "accuracy": sum(found) / len(found),
            "ci95": list(wilson(sum(found), len(found))),
        }
        for word, found in sorted(groups.items(), key=lambda item: _natural(item[0]))
    }


def _natural(word: str) -> tuple[bool, float, str]:
    """Numbers by size, before words by letter; a range by its start."""
    start = word.partition("–")[0]
    number = start.replace(".", "", 1).isdigit()
    return not number, float(start) if number else 0.0, word
