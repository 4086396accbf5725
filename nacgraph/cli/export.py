"""``nacgraph export RUN``: a trained circuit as an ONNX or PyTorch file, checked against itself."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from nacgraph.cli.answer import answer
from nacgraph.cli.reading import add_shared, at_least, prepare, read_circuit, task_arguments

if TYPE_CHECKING:
    from nacgraph.export.check import Sample
    from nacgraph.export.formats import Runner
    from nacgraph.models.nac import NAC

RUNS, SECONDS = 9, 10.0  # how often, or for how long at most, each latency is measured
BATCHES = (1, 16)  # of which latencies are measured


def main(argv: Sequence[str] | None = None) -> int:
    """Export; returns the exit code."""
    arguments = _parser().parse_args(argv)
    from nacgraph.export.formats import ExportError  # after --help, which is not to wait for it

    return answer(lambda: export(arguments), ExportError)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nacgraph export",
        description="The frozen circuit of a run's best checkpoint as a file of its own: inputs "
        "(B, T) and mask (B, T) to logits (B, C). Written only if it answers as the model does on "
        "real samples. Prints JSON.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("run", type=Path, help="a run folder of nacgraph train or nacgraph prune")
    add("--format", default="onnx", help="onnx, or torch for a .pt2 of torch.export")
    add("--mode", help="expected or threshold; what the run evaluates with, or else expected")
    add("--out", type=Path, help="the file; RUN/circuit_MODE.onnx or .pt2 if not given")
    add("--samples", type=int, default=64, help="real samples compared (default %(default)s)")
    add(
        "--tolerance",
        type=float,
        default=1e-4,
        help="largest difference of logits that passes (default %(default)s)",
    )
    add("--opset", type=int, help="of ONNX")
    add("--split", choices=("val", "test"), default="val", help="where samples are taken from")
    add_shared(
        parser,
        "data",
        "cache_dir",
        "plugin",
        data="a TSV file or a folder; the run's own data if not given",
    )
    return parser


def export(arguments: argparse.Namespace) -> dict[str, Any]:
    """Load the run, export and check it, measure its speed.

    Raises:
        ConfigError, CheckpointError: If the folder is no run or holds no valid checkpoint.
        ExportError: If the export fails or differs from the model.
        ValueError: If an argument is out of range.
    """
    from nacgraph.cli.outcome import versions
    from nacgraph.export.check import export_circuit, single_samples
    from nacgraph.export.formats import get_format
    from nacgraph.export.freeze import FROZEN_MODES

    prepare(arguments)
    at_least(arguments, samples=1)
    kind = get_format(arguments.format, arguments.opset)
    run = read_circuit(arguments.run, **task_arguments(arguments))
    model, task, config, checkpoint = run.circuit, run.task, run.config, run.checkpoint
    mode = arguments.mode
    if mode is None:
        mode = model.config.eval_mode if model.config.eval_mode in FROZEN_MODES else "expected"
    out = arguments.out or arguments.run / f"circuit_{mode}{kind.suffix}"
    samples = single_samples(task.eval_batches(arguments.split, limit=arguments.samples))
    found_versions = versions() | kind.versions()
    metadata = {
        "run": arguments.run.resolve().name,
        "checkpoint": checkpoint.path.name,
        "step": str(checkpoint.state["step"]),
        "task": config.task.name,
        "modules": str(config.modules),
        "classes": str(task.num_classes),
        "versions": json.dumps(found_versions),
    }
    print(f"exporting  {arguments.format}, mode {mode}; this takes a while", file=sys.stderr)
    began = time.perf_counter()
    with one_thread():
        made = export_circuit(
            model,
            out,
            samples,
            arguments.format,
            mode,
            arguments.tolerance,
            arguments.opset,
            metadata,
        )
        seconds = time.perf_counter() - began
        print(f"written    {out}; measuring its speed", file=sys.stderr)
        speed = latencies(model, mode, made.run, samples)
    return {
        "run": str(arguments.run),
        "checkpoint": checkpoint.path.name,
        "step": checkpoint.state["step"],
        "file": str(out),
        "format": arguments.format,
        "opset": kind.opset,
        "mode": mode,
        "modules": config.modules,
        "bytes": made.size,
        "seconds": round(seconds, 3),
        "split": arguments.split,
        "samples": made.comparison.samples,
        "max_difference": made.comparison.max_difference,
        "tolerance": arguments.tolerance,
        "equal_argmax": made.comparison.equal_argmax,
        "padding_difference": made.comparison.padding_difference,
        "latency": speed,
        "versions": found_versions,
    }


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread, as the exported file is run."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def latencies(
    model: NAC, mode: str, run: Runner, samples: Sequence[Sample]
) -> list[dict[str, float]]:
    """Median wall seconds of a call of model and export, in turn, on batches of like length."""
    from nacgraph.export.check import joined, logits_of

    ordered = sorted(samples, key=lambda sample: sample[1].shape[1])
    found = []
    for size in sorted({min(size, len(ordered)) for size in BATCHES}):
        first = (len(ordered) - size) // 2  # those of middle length
        batch = joined(ordered[first : first + size])
        times = in_turn(partial(logits_of, model, mode, *batch), partial(run, *batch))
        found.append(
            {
                "batch": size,
                "length": batch[1].shape[1],
                "model_seconds": median(times[0]),
                "export_seconds": median(times[1]),
            }
        )
    return found


def in_turn(*calls: Callable[[], object]) -> list[list[float]]:
    """Wall seconds of each of several calls, made in turn so that a busy machine slows all."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:  # the first call of each compiles and allocates
        call()
    began = time.perf_counter()
    while len(times[0]) < RUNS and (not times[0] or time.perf_counter() - began < SECONDS):
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return times
