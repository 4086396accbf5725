"""``nacgraph export RUN``: a trained circuit as an ONNX or PyTorch file, checked against itself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from nacgraph.cli.answer import Parser, answer
from nacgraph.cli.reading import add_shared, prepare, read_circuit, task_arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Export; returns the exit code."""
    arguments = _parser().parse_args(argv)
    from nacgraph.export import ExportError, export_run  # after --help, which is not to wait for it

    def export() -> dict[str, object]:
        prepare(arguments)
        return export_run(
            read_circuit(arguments.run, **task_arguments(arguments)),
            arguments.format,
            mode=arguments.mode,
            out=arguments.out,
            samples=arguments.samples,
            tolerance=arguments.tolerance,
            opset=arguments.opset,
            split=arguments.split,
            progress=partial(print, file=sys.stderr),
        ).as_dict()

    return answer(export, ExportError)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
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
