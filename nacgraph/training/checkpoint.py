"""Checkpoints that survive a crash: safetensors + JSON, written atomically, checked when read.

A checkpoint ``NAME`` is two files: the tensors (safetensors) and ``NAME.json``, which names the
tensor file, its sha256 and the plain state beside it. The JSON is written last, so a checkpoint
without one never existed. Nothing here unpickles: loading a checkpoint cannot run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as decode_tensors
from safetensors.torch import save as encode_tensors
from torch import Tensor

from nacgraph.models.names import current_name
from nacgraph.utils.errors import CheckpointError
from nacgraph.utils.files import remove_drafts, write_atomically

FORMAT = 1
NUMBERS: dict[str, Any] = {
    "step": int,
    "seconds": (int, float),
    "best_accuracy": (int, float),
    "best_step": int,
}
"""What a record says, beside the digests, of which a run goes on from all."""


@dataclass(frozen=True, repr=False)
class Checkpoint:
    """Tensors by name and the plain state (step, best validation accuracy, …) beside them."""

    path: Path
    tensors: dict[str, Tensor]
    state: dict[str, Any]

    def __repr__(self) -> str:
        step = self.state.get("step")
        return f"Checkpoint({str(self.path)!r}, step {step}, {len(self.tensors)} tensors)"

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors below ``prefix/``, named without it."""
        start = prefix + "/"
        return {k[len(start) :]: t for k, t in self.tensors.items() if k.startswith(start)}


def save_checkpoint(
    folder: Path, name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> Path:
    """Write checkpoint ``name`` (its tensor file is ``name_STEP`` when ``name`` carries no step).

    Args:
        folder: The checkpoint folder, made if missing.
        name: ``step_00001000`` or ``best``.
        tensors: Any tensors; they are written contiguous and on the CPU.
        state: JSON values; must hold ``step``.

    Returns:
        The path of the JSON file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # `best` is rewritten: a tensor file of its own for every step keeps the old one whole
    # until the new JSON points away from it.
    stem = name if name.startswith("step_") else f"{name}_{int(state['step']):08d}"
    data = encode_tensors({k: t.detach().cpu().contiguous() for k, t in tensors.items()})
    write_atomically(folder / f"{stem}.safetensors", data)
    record = {
        **state,  # first: the state of another checkpoint names that one's file
        "format": FORMAT,
        "file": f"{stem}.safetensors",
        "tensors": len(tensors),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    record["record_sha256"] = _digest(record)
    path = folder / f"{name}.json"
    write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())
    if stem != name:
        for old in folder.glob(f"{name}_*.safetensors"):
            if old.name != record["file"]:
                old.unlink(missing_ok=True)
    return path


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and verify the checkpoint whose JSON file is ``path``.

    Raises:
        CheckpointError: Saying what is wrong: unreadable JSON, a missing tensor file, a digest
            that differs (bit flips, truncation).
    """
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        name, digest = state["file"], state["sha256"]
        _check_numbers(state)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a checkpoint record ({error!r})") from error
    if state.get("format") != FORMAT:
        raise CheckpointError(f"{path}: expected format {FORMAT}, got {state.get('format')!r}")
    if not isinstance(name, str) or Path(name).name != name:
        raise CheckpointError(f"{path}: expected the name of a file beside it, got {name!r}")
    try:
        data = (path.parent / name).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path.parent / name}: {error.strerror}") from error
    if (got := hashlib.sha256(data).hexdigest()) != digest:
        raise CheckpointError(
            f"{path.parent / name}: damaged, expected sha256 {str(digest)[:12]}…, got {got[:12]}… "
            f"({len(data):,} bytes)"
        )
    try:
        tensors = decode_tensors(data)
    except Exception as error:  # safetensors raises its own, undocumented, types
        raise CheckpointError(f"{path.parent / name}: not safetensors ({error})") from error
    if state.get("tensors", len(tensors)) != len(tensors):
        raise CheckpointError(
            f"{path}: expected {state['tensors']} tensors in {name}, got {len(tensors)}"
        )
    if state.get("record_sha256", wanted := _digest(state)) != wanted:  # records of old have none
        raise CheckpointError(f"{path}: damaged, expected another record_sha256, of what it says")
    state.pop("record_sha256", None)
    return Checkpoint(path, {current_name(k): t for k, t in tensors.items()}, state)


def _digest(record: Mapping[str, Any]) -> str:
    """Of a record without its own digest."""
    kept = {key: value for key, value in record.items() if key != "record_sha256"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _check_numbers(state: Mapping[str, Any]) -> None:
    for key, kind in NUMBERS.items():
        value = state.get(key, 0 if key != "step" else None)
        if isinstance(value, bool) or not isinstance(value, kind) or not -1 <= value < 1e15:
            raise ValueError(f"{key}: expected a number, got {value!r:.40}")


def check_tensors(
    checkpoint: Checkpoint, expected: Mapping[str, Tensor], optional: Collection[str] = ()
) -> None:
    """A checkpoint must hold these tensors, of these shapes and types, with finite numbers.

    To be called before any of it is loaded: what is written over a tensor of another size lands
    in other memory.

    Args:
        checkpoint: What was read.
        expected: Name → a tensor as it must be.
        optional: Names that may be missing.

    Raises:
        CheckpointError: Naming the first that is missing, or differs, and what was expected.
    """
    for name, like in expected.items():
        found = checkpoint.tensors.get(name)
        if found is None:
            if name not in optional:
                raise CheckpointError(f"{checkpoint.path}: expected {name}, got none")
            continue
        wanted, got = ((str(t.dtype)[6:], tuple(t.shape)) for t in (like, found))
        if wanted != got:
            raise CheckpointError(
                f"{checkpoint.path}: {name}: expected {wanted[0]} {wanted[1]}, "
                f"got {got[0]} {got[1]}"
            )
        if found.is_floating_point() and not bool(torch.isfinite(found).all()):
            raise CheckpointError(
                f"{checkpoint.path}: {name}: expected finite numbers, got NaN or infinite ones"
            )


def step_name(step: int) -> str:
    """``step_00001000``: sorts by name as by step."""
    return f"step_{step:08d}"


def newest_valid(folder: Path, needs: Collection[str] = ()) -> tuple[Checkpoint | None, list[str]]:
    """The newest readable ``step_*`` checkpoint, and why any newer ones were skipped.

    Tensors without a record are those of a checkpoint that was not finished: it never existed.
    The record must have the keys that the caller ``needs``.
    """
    skipped: list[str] = []
    for path in sorted(folder.glob("step_*.json"), reverse=True):
        try:
            found = load_checkpoint(path)
            if lost := [key for key in needs if key not in found.state]:
                raise CheckpointError(f"{path}: expected {', '.join(lost)}, got none")
            return found, skipped
        except CheckpointError as error:
            skipped.append(str(error))
    return None, skipped


def best_or_newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The ``best`` checkpoint, or, if it is missing or damaged, the newest valid one."""
    try:
        return load_checkpoint(folder / "best.json"), []
    except CheckpointError as error:
        checkpoint, skipped = newest_valid(folder)
        return checkpoint, [str(error), *skipped]


def keep_last(folder: Path, step: int, count: int = 2) -> None:
    """Keep the last ``count`` ``step_*`` checkpoints up to ``step``; remove all others.

    Those beyond ``step`` are what a resumed run skipped as damaged and is about to write anew.
    """
    names = sorted((path.stem for path in folder.glob("step_*.json")), reverse=True)
    kept = [name for name in names if name <= step_name(step)][:count]
    for pattern in ("step_*.json", "step_*.safetensors"):  # a record never outlives its tensors
        for path in folder.glob(pattern):
            if path.stem not in kept:
                path.unlink(missing_ok=True)
    remove_drafts(folder)
