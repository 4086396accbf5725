"""Files that answer without nacgraph: ONNX, and PyTorch's exported programs."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from nacgraph.utils.check import check_choice

Runner = Callable[[Tensor, Tensor], Tensor]  # inputs, mask → logits (B, C)

LOWEST = 18  # operator set that torch.onnx.export can write
OPSET = 20  # the first with GELU as one operator; masks of Attention in 23 fail in ONNX Runtime
OUTPUT = "logits"


class ExportError(RuntimeError):
    """A circuit that cannot be exported, or whose export differs from the model."""


class Portable(Protocol):
    """A kind of file: a traced circuit goes in, bytes come out, and bytes can be run."""

    suffix: str
    opset: int | None

    def versions(self) -> dict[str, str]:
        """Versions of the packages that only this format needs."""

    def convert(self, program: ExportedProgram, axes: dict[str, Any]) -> None:
        """Take the circuit that :func:`trace` has made."""

    def encode(self, notes: Mapping[str, str]) -> bytes:
        """The file with these notes as its metadata."""

    def load(self, data: bytes) -> Runner:
        """The file's content, ready to run, on one thread if the runtime lets us choose."""


def trace(
    circuit: nn.Module, inputs: Tensor, mask: Tensor, max_length: int | None
) -> tuple[ExportedProgram, dict[str, Any]]:
    """The circuit as a graph of operators, batch size free, and its free axes by input.

    With a ``max_length`` the second axis is free up to it too. Example and limits must differ
    from one another: at least two samples, and a length other than 1 and ``max_length``.
    """
    # For a slice, the exporter would treat the strides, and so the length, as constants.
    inputs, mask = (x.clone(memory_format=torch.contiguous_format) for x in (inputs, mask))
    free: dict[int, Any] = {0: Dim("batch")}
    if max_length is not None:
        free[1] = Dim("length", max=max_length)
    axes = {"inputs": free, "mask": free}
    with torch.no_grad(), _quiet():
        program = torch.export.export(circuit, (inputs, mask), dynamic_shapes=axes, strict=False)
    return program, axes


class OnnxFile:
    """A circuit as ONNX: inputs, mask → logits; notes are metadata properties.

    Raises:
        ValueError: On an operator set that exporter or packages do not know.
        ExportError: If a package that this needs is missing.
    """

    suffix = ".onnx"

    def __init__(self, opset: int | None = None) -> None:
        self.opset: int | None = OPSET if opset is None else opset
        self._packages = {}
        for name in ("onnx", "onnxscript", "onnxruntime"):
            try:
                self._packages[name] = importlib.import_module(name).__version__
            except ImportError as error:
                raise ExportError(
                    f"format: onnx needs the package {name}, got {error}; "
                    "pip install 'nacgraph[export]'"
                ) from error
        newest = importlib.import_module("onnx").defs.onnx_opset_version()
        if opset is not None and not LOWEST <= opset <= newest:
            raise ValueError(f"opset: expected a number from {LOWEST} to {newest}, got {opset}")

    def versions(self) -> dict[str, str]:
        return self._packages

    def convert(self, program: ExportedProgram, axes: dict[str, Any]) -> None:
        with _quiet():
            made = torch.onnx.export(
                program,
                (),
                input_names=list(axes),
                output_names=[OUTPUT],
                dynamic_shapes=axes,
                opset_version=self.opset,
                dynamo=True,
                verbose=False,
            )
        if made is None:  # as its type allows
            raise ExportError("torch.onnx.export returned nothing")
        self.model = made.model_proto

    def encode(self, notes: Mapping[str, str]) -> bytes:
        del self.model.metadata_props[:]
        for key, value in notes.items():
            self.model.metadata_props.add(key=key, value=value)
        return self.model.SerializeToString()

    def load(self, data: bytes) -> Runner:
        onnxruntime = importlib.import_module("onnxruntime")  # it has no types to import it with
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what fails is raised, with its reason
        session = onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])

        def run(inputs: Tensor, mask: Tensor) -> Tensor:
            fed = {"inputs": inputs.numpy(), "mask": mask.numpy()}
            return torch.from_numpy(session.run([OUTPUT], fed)[0])

        return run


class TorchFile:
    """A circuit as an exported program (.pt2); notes are its extra file ``nacgraph.json``."""

    suffix = ".pt2"
    opset: int | None = None

    def versions(self) -> dict[str, str]:
        return {}

    def convert(self, program: ExportedProgram, axes: dict[str, Any]) -> None:
        self.program = program

    def encode(self, notes: Mapping[str, str]) -> bytes:
        file = io.BytesIO()
        extra = {"nacgraph.json": json.dumps(dict(notes), indent=1)}
        with _quiet():
            torch.export.save(self.program, file, extra_files=extra)
        return file.getvalue()

    def load(self, data: bytes) -> Runner:
        with _quiet():
            return torch.export.load(io.BytesIO(data)).module()


FORMATS = ("onnx", "torch")


def get_format(name: str, opset: int | None = None) -> Portable:
    """The kind of file of this name.

    Raises:
        ValueError: On an unknown name, or an opset for a format without any.
        ExportError: If a package that it needs is missing.
    """
    check_choice(FORMATS, format=name)
    if name == "onnx":
        return OnnxFile(opset)
    if opset is not None:
        raise ValueError(f"opset: expected none with format {name!r}, got {opset}")
    return TorchFile()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Sends exporters' output to stderr and silences their warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
