"""A trained circuit as a file that answers without nacgraph: ONNX, or PyTorch's .pt2."""

from nacgraph.export.formats import ExportError
from nacgraph.export.freeze import FrozenCircuit, Logits, freeze
from nacgraph.export.run import ExportResult, export_run

__all__ = ["ExportError", "ExportResult", "FrozenCircuit", "Logits", "export_run", "freeze"]
