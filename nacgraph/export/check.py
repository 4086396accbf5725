"""A trained circuit as a file of its own, kept only if it answers as the model does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nacgraph.export.formats import ExportError, Runner, get_format, trace
from nacgraph.export.freeze import FrozenCircuit, freeze
from nacgraph.models.nac import NAC
from nacgraph.tasks import Batch
from nacgraph.utils.check import check_positive
from nacgraph.utils.files import write_atomically

Sample = tuple[Tensor, Tensor]  # inputs (1, …) and mask (1, T); joined, (B, …) and (B, T)

TRACED = 13  # length at which a circuit is traced: any that is no limit of it does
SIZES = (2, 3, 5, 8, 16)  # of the batches in which samples are compared, the last again and again
ALONE = 4  # samples that are compared alone too


@dataclass(frozen=True)
class Comparison:
    """How far the answers of an export are from the model's.

    Attributes:
        samples: Real samples compared, each in a batch of others, some alone too.
        max_difference: max |Δ logits|; infinite where only one of both is a number.
        equal_argmax: Share of answers with the same class.
        padding_difference: max |Δ logits| of the export alone, between a sample by itself and the
            same sample in a padded batch.
    """

    samples: int
    max_difference: float
    equal_argmax: float
    padding_difference: float


@dataclass(frozen=True)
class Exported:
    """A file that was written, how it compares, and its content, ready to run."""

    path: Path
    size: int
    comparison: Comparison
    run: Runner


def export_circuit(
    model: NAC,
    path: Path,
    samples: Sequence[Sample],
    form: str = "onnx",
    mode: str = "expected",
    tolerance: float = 1e-4,
    opset: int | None = None,
    notes: Mapping[str, str] | None = None,
) -> Exported:
    """Freeze the model, export it, load the export, compare both, and only then write it.

    The file takes ``inputs`` and ``mask`` of any batch size and, if the tokenizer has a
    ``max_length``, of any length up to that; it gives ``logits``.

    Args:
        model: The model, on the CPU.
        path: The file to write. One that is there stays unless the new one passes.
        samples: Real samples, see :func:`single_samples`.
        form: "onnx" or "torch".
        mode: "expected" or "threshold".
        tolerance: The largest |Δ logits| that passes.
        opset: ONNX operator set, :data:`nacgraph.export.formats.OPSET` if not given.
        notes: Metadata; ``mode``, ``max_length`` and ``max_difference`` are added.

    Raises:
        ValueError: On an unknown format or mode, an opset for another format than ONNX, a
            tolerance that is not positive, no samples, or a design that is not shared.
        ExportError: If a package is missing, exporter or runtime fail, or the difference is above
            ``tolerance``.
        CheckpointError: If the file cannot be written.
    """
    check_positive(tolerance=tolerance)
    if not samples:
        raise ValueError("samples: expected at least one, got none")
    if path.is_dir():
        raise ValueError(f"out: expected a file, got the folder {path}")
    file = get_format(form, opset)
    frozen = freeze(model, mode)
    known = {**(notes or {}), "mode": mode, "max_length": str(frozen.max_length)}
    try:
        file.convert(*trace(frozen, *_example(frozen, samples), frozen.max_length))
        found = compare(model, mode, file.load(file.encode(known)), samples)
    except Exception as error:  # exporters and runtimes raise types of their own, and many
        kind = form if opset is None else f"{form}, opset {opset}"
        raise ExportError(f"{path}: not written, {kind} fails: {_first_lines(error)}") from error
    if not found.max_difference <= tolerance:
        raise ExportError(
            f"{path}: not written, max |Δ logits| {found.max_difference:.3g} to the model is "
            f"above the tolerance {tolerance:g}; {100 * found.equal_argmax:.1f} % of answers have "
            f"the same class, {found.samples} samples"
        )
    # The difference is known only now; the file with it in is loaded again.
    data = file.encode({**known, "max_difference": f"{found.max_difference:.3g}"})
    run = file.load(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)
    return Exported(path, len(data), found, run)


@torch.no_grad()
def logits_of(model: NAC, mode: str, inputs: Tensor, mask: Tensor) -> Tensor:
    """What the model itself answers when it evaluates in this mode, (B, C)."""
    nothing = torch.zeros(len(mask), dtype=torch.long)
    tokens, mask = model.tokenizer(Batch(inputs, mask, nothing, nothing))
    return model.circuit(tokens, model.design(), mask, mode=mode).logits


@torch.no_grad()
def compare(model: NAC, mode: str, run: Runner, samples: Sequence[Sample]) -> Comparison:
    """Compare an export with its model: alone, in padded batches of several sizes, and empty."""
    order = np.random.default_rng(0).permutation(len(samples)).tolist()
    groups = [[each] for each in order[:ALONE]]
    turns = iter(SIZES)
    while order:
        size = next(turns, SIZES[-1])
        groups.append(order[:size])
        order = order[size:]
    batches = [joined([samples[each] for each in group]) for group in groups]
    inputs, mask = batches[-1]
    batches.append((inputs, mask & (torch.arange(len(mask)) > 0)[:, None]))  # its first is empty
    difference = padding = 0.0
    equal: list[Tensor] = []
    alone: dict[int, Tensor] = {}
    for group, (inputs, mask) in zip([*groups, []], batches, strict=True):
        wanted, got = logits_of(model, mode, inputs, mask), run(inputs, mask)
        difference = max(difference, _difference(wanted, got))
        equal.append(wanted.argmax(-1) == got.argmax(-1))
        for each, logits in zip(group, got, strict=False):
            padding = max(padding, _difference(alone.setdefault(each, logits), logits))
    share = float(torch.cat(equal).double().mean())
    return Comparison(len(samples), difference, share, padding)


def single_samples(batches: Iterable[Batch]) -> list[Sample]:
    """The samples of a task's batches one by one, without their padding where length is free."""
    found = []
    for batch in batches:
        for row in range(len(batch.mask)):
            inputs, mask = batch.inputs[row : row + 1], batch.mask[row : row + 1]
            if _along(inputs, mask):
                length = int(mask[0].nonzero().max()) + 1 if mask.any() else 1
                inputs, mask = inputs[:, :length], mask[:, :length]
            found.append((inputs, mask))
    return found


def joined(samples: Sequence[Sample]) -> Sample:
    """One batch of several samples, padded at the end to the longest."""
    longest = max(mask.shape[1] for _, mask in samples)
    resized = [_resized(inputs, mask, longest) for inputs, mask in samples]
    inputs, masks = zip(*resized, strict=True)
    return torch.cat(inputs), torch.cat(masks)


def _along(inputs: Tensor, mask: Tensor) -> bool:
    """Whether inputs have one entry a token, so that they are as long as the mask."""
    return inputs.dim() > 1 and inputs.shape[1] == mask.shape[1]


def _resized(inputs: Tensor, mask: Tensor, length: int) -> Sample:
    """Cut or padded at the end to this length, along the axis that inputs and mask share."""
    if mask.shape[1] == length or not _along(inputs, mask):
        return inputs, mask
    more = length - mask.shape[1]
    later = [0] * (2 * (inputs.dim() - 2))
    return F.pad(inputs, (*later, 0, more)), F.pad(mask, (0, more))


def _example(frozen: FrozenCircuit, samples: Sequence[Sample]) -> Sample:
    inputs, mask = joined([samples[0], samples[-1]])
    if frozen.max_length is None:
        return inputs, mask
    return _resized(inputs, mask, max(2, min(TRACED, frozen.max_length - 1)))


def _difference(wanted: Tensor, got: Tensor) -> float:
    """max |expected - got|; infinite if only one of two is a number, or shapes differ."""
    if wanted.shape != got.shape:
        return math.inf
    same = (wanted == got) | (wanted.isnan() & got.isnan())
    apart = (wanted - got).abs().masked_fill(same, 0.0)
    return float(apart.nan_to_num(nan=math.inf).max())


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:3])[:500]}"
