"""A circuit frozen into constants: the same blocks, with gates and graphs as buffers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from nacgraph.graph.design import CircuitDesign
from nacgraph.models.nac import NAC
from nacgraph.nn.circuit import PreparedCircuit
from nacgraph.nn.modfc import ModFC
from nacgraph.tasks import Batch

FROZEN_MODES = ("expected", "threshold")  # those that draw nothing


class Logits(nn.Module):
    """Inputs and mask in, logits out: a model as exporters and compilers take it.

    The ordinary model in evaluation: signatures, codes and their gates are still computed from
    the parameters at every call. :func:`freeze` makes them constants.

    Args:
        model: A model in evaluation mode.

    Shapes:
        inputs and mask as in a task's `Batch`, for sequences (B, T) int64 and (B, T) bool ·
        output (B, C)
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def max_length(self) -> int | None:
        """Longest input of the tokenizer; None if it takes inputs of one shape only."""
        return getattr(self.model.tokenizer, "max_length", None)

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        return self.model(_batch(inputs, mask)).logits


@torch.no_grad()
def freeze(model: NAC, mode: str = "expected") -> FrozenCircuit:
    """The model in evaluation, with design, gates and graphs as constants.

    It shares nothing with ``model``: training that one on leaves this one as it is. Logits are
    equal up to rounding.

    Args:
        model: A model whose design is shared by all samples.
        mode: "expected" or "threshold", see :class:`nacgraph.graph.kernel.SignatureKernel`.

    Raises:
        ValueError: On a mode that draws noise, or if every sample has a design of its own.
    """
    if mode not in FROZEN_MODES:
        raise ValueError(f"mode: expected one of {', '.join(FROZEN_MODES)}, got {mode!r}")
    if model.config.condition != "none":
        raise ValueError(
            "generator: expected one design for all samples (UnconditionalGenerator), got "
            f"{type(model.generator).__name__}, whose design is made from each sample"
        )
    design = model.design()
    if design.conditional:
        raise ValueError("design: expected one shared by all samples, got a conditional one")
    return FrozenCircuit(model, design, mode)


class FrozenCircuit(nn.Module):
    """Logits of a NAC from constants and blocks alone; made by :func:`freeze`.

    Graphs are biases log K of attention scores, -inf where no link is. Weights of codes are gone
    with the codes.

    Attributes:
        mode: Kernel mode that the graphs are of.

    Shapes:
        As of :class:`Logits`.
    """

    def __init__(self, model: NAC, design: CircuitDesign, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.tokenizer = copy.deepcopy(model.tokenizer)
        prepared = model.circuit.prepare(design, mode).dense()
        self.circuit = copy.deepcopy(model.circuit)
        for layer in self.circuit.modules():
            if isinstance(layer, ModFC):
                layer.code_weight = layer.alpha = None  # type: ignore[assignment]
        self._names = _mapped(prepared, self._keep)
        self.requires_grad_(False)
        self.eval()

    def _keep(self, tensor: Tensor) -> str:
        name = f"constant_{len(self._buffers)}"
        self.register_buffer(name, tensor.detach().clone())
        return name

    @property
    def max_length(self) -> int | None:
        """Longest input of the tokenizer; None if it takes inputs of one shape only."""
        return getattr(self.tokenizer, "max_length", None)

    @property
    def prepared(self) -> PreparedCircuit:
        """The circuit that was frozen."""
        return _mapped(self._names, lambda name: getattr(self, name), str)

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        tokens, mask = self.tokenizer(_batch(inputs, mask))
        return self.circuit(tokens, self.prepared, mask).logits


def _batch(inputs: Tensor, mask: Tensor) -> Batch:
    # No tokenizer looks at labels or index; an exporter drops what nothing uses.
    nothing = torch.zeros_like(mask[:, 0], dtype=torch.long)
    return Batch(inputs, mask, nothing, nothing)


def _mapped(value: Any, change: Callable[[Any], Any], kind: type = Tensor) -> Any:
    """The same nesting of dataclasses and tuples with every ``kind`` in it changed."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_mapped(part, change, kind) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: _mapped(getattr(value, f.name), change, kind) for f in fields(value)}
        return replace(value, **parts)
    return value
