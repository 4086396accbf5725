"""A run's trained circuit as an ONNX or PyTorch file, checked and measured."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nacgraph.export.check import export_circuit, single_samples
from nacgraph.export.formats import get_format
from nacgraph.export.freeze import FROZEN_MODES
from nacgraph.export.latency import latencies, one_thread
from nacgraph.training.run import Run
from nacgraph.utils.check import check_at_least
from nacgraph.utils.machine import versions


@dataclass(frozen=True)
class ExportResult:
    """An exported circuit: the file, and how its answers and its speed compare with the model's.

    Attributes:
        run, checkpoint, step: Run folder, and the weights that were exported.
        file: The file that was written.
        format, opset, mode: "onnx" or "torch", ONNX's operator set, "expected" or "threshold".
        modules: Modules of the circuit.
        bytes: Size of the file.
        seconds: Time that the export and its check took.
        split, samples: Real samples that were compared, and where they are from.
        max_difference, tolerance: max |Δ logits| to the model, and the largest that passes.
        equal_argmax: Share of answers with the same class.
        padding_difference: max |Δ logits| between a sample alone and in a padded batch.
        latency: For each batch size, median seconds of a call of the model and of the export.
        versions: Of the packages that made the file.
    """

    run: str
    checkpoint: str
    step: int
    file: Path
    format: str
    opset: int | None
    mode: str
    modules: int
    bytes: int
    seconds: float
    split: str
    samples: int
    max_difference: float
    tolerance: float
    equal_argmax: float
    padding_difference: float
    latency: list[dict[str, float]]
    versions: dict[str, str | None]

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON has it."""
        return {**asdict(self), "file": str(self.file)}


def export_run(
    run: Run,
    format: str = "onnx",
    *,
    mode: str | None = None,
    out: Path | None = None,
    samples: int = 64,
    tolerance: float = 1e-4,
    opset: int | None = None,
    split: str = "val",
    progress: Callable[[str], None] | None = None,
) -> ExportResult:
    """Freeze a run's circuit, write it as a file that needs no nacgraph, and measure its speed.

    The file takes ``inputs`` and ``mask`` of any batch size and gives ``logits``. It is written
    only if it answers as the model does.

    Args:
        run: A run with a circuit, with its weights on the CPU.
        format: "onnx", or "torch" for a .pt2 of ``torch.export``.
        mode: "expected" or "threshold"; what the run evaluates with, or else "expected".
        out: The file; ``RUN/circuit_MODE.onnx`` or ``.pt2`` if not given.
        samples: Real samples to compare, at least 1.
        tolerance: The largest |Δ logits| that passes.
        opset: ONNX operator set.
        split: "val" or "test", where the samples are taken from.
        progress: Called with a line of text before each part.

    Raises:
        ExportError: If a package is missing, the export fails, or it differs from the model.
        ValueError: If an argument is out of range, or the run has no circuit.
        CheckpointError: If the file cannot be written.
    """
    progress = progress or (lambda line: None)
    check_at_least(1, samples=samples)
    kind = get_format(format, opset)
    model, config, checkpoint = run.circuit, run.config, run.checkpoint
    if mode is None:
        mode = model.config.eval_mode if model.config.eval_mode in FROZEN_MODES else "expected"
    file = Path(out or run.path / f"circuit_{mode}{kind.suffix}")
    compared = single_samples(run.task.eval_batches(split, limit=samples))
    found_versions = versions() | kind.versions()
    metadata = {
        "run": run.path.resolve().name,
        "checkpoint": checkpoint.path.name,
        "step": str(checkpoint.state["step"]),
        "task": config.task.name,
        "modules": str(config.modules),
        "classes": str(run.task.num_classes),
        "versions": json.dumps(found_versions),
    }
    progress(f"exporting  {format}, mode {mode}; this takes a while")
    began = time.perf_counter()
    with one_thread():
        made = export_circuit(model, file, compared, format, mode, tolerance, opset, metadata)
        seconds = time.perf_counter() - began
        progress(f"written    {file}; measuring its speed")
        latency = latencies(model, mode, made.run, compared)
    return ExportResult(
        run=str(run.path),
        checkpoint=checkpoint.path.name,
        step=checkpoint.state["step"],
        file=file,
        format=format,
        opset=kind.opset,
        mode=mode,
        modules=config.modules,
        bytes=made.size,
        seconds=round(seconds, 3),
        split=split,
        samples=made.comparison.samples,
        max_difference=made.comparison.max_difference,
        tolerance=tolerance,
        equal_argmax=made.comparison.equal_argmax,
        padding_difference=made.comparison.padding_difference,
        latency=latency,
        versions=found_versions,
    )
