"""A model as a folder to share: ``model.safetensors`` and ``config.json``.

::

    config.json         format, sizes and choices, classes, tokenizer and its settings, sha256
    model.safetensors   all weights

Loading never runs code from the folder: weights are safetensors, and a tokenizer is one of the
classes of :data:`nacgraph.tasks.tokenizers.TOKENIZERS`, or given by the caller.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load as decode_tensors
from safetensors.torch import save as encode_tensors
from torch import Tensor, nn

from nacgraph import __version__
from nacgraph.models.nac import NAC, NACConfig
from nacgraph.models.names import current_name
from nacgraph.tasks.tokenizers import TOKENIZERS
from nacgraph.utils.errors import CheckpointError, nearest
from nacgraph.utils.files import write_atomically

FORMAT = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
KEYS = (
    "format",
    "nacgraph",
    "config",
    "num_classes",
    "classes",
    "seed",
    "tokenizer",
    "conditioner",
    "sha256",
)


def save_pretrained(model: NAC, folder: Path) -> None:
    """Write the folder: weights first, ``config.json`` last.

    A folder without ``config.json`` was never finished. Cut short while writing over an older
    model it says so when loaded, since the digest in the old ``config.json`` does not fit.

    Raises:
        ValueError: If ``model.classes`` does not have one name a class.
        CheckpointError: If the disk is full or cannot be written.
    """
    count = num_classes(model)
    if model.classes is not None and len(model.classes) != count:
        raise ValueError(f"classes: expected {count} names, got {len(model.classes)}")
    record = {
        "format": FORMAT,
        "nacgraph": __version__,
        "config": asdict(model.config),
        "num_classes": count,
        "classes": None if model.classes is None else list(model.classes),
        "seed": model.seed,
        "tokenizer": _described(model.tokenizer),
        "conditioner": None if model.conditioner is None else _described(model.conditioner),
    }
    # A copy of each: safetensors takes no tensors that share memory.
    weights = {k: t.detach().cpu().contiguous().clone() for k, t in model.state_dict().items()}
    data = encode_tensors(weights)
    record["sha256"] = hashlib.sha256(data).hexdigest()
    text = json.dumps(record, indent=1) + "\n"  # before anything is written: it may not be JSON
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{folder}: {error.strerror}") from error
    write_atomically(folder / WEIGHTS, data)
    write_atomically(folder / CONFIG, text.encode())


def from_pretrained(folder: Path, tokenizer: nn.Module | None = None) -> NAC:
    """The model of a folder written by :func:`save_pretrained`, in evaluation mode.

    Its logits are those of the saved model, bit for bit on the same machine.

    Args:
        folder: The folder.
        tokenizer: A tokenizer of the saved one's shape, whose weights are replaced; needed where
            the saved one is of a class that nacgraph does not know.

    Raises:
        CheckpointError: If files are missing, damaged, of another format or of another model.
        ValueError: If the tokenizer is unknown and none is given.
    """
    record = read_record(folder)
    weights = _weights(folder, record["sha256"])
    try:
        config = NACConfig(**record["config"])
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG}: config: {error}") from error
    if tokenizer is None:
        tokenizer = _tokenizer(folder, record["tokenizer"])
    conditioner = record["conditioner"] and _tokenizer(folder, record["conditioner"])
    try:
        # The signatures come with the weights, so the prior that they may have started from is
        # not needed again.
        start = replace(config, signature_start="random")
        model = NAC(start, tokenizer, record["num_classes"], None, record["seed"], conditioner)
        model.load_state_dict(weights, assign=True)  # assigned: they keep their precision
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise CheckpointError(f"{folder}: weights of another model ({error})") from error
    model.config = replace(model.config, signature_start=config.signature_start)
    model.classes = None if record["classes"] is None else tuple(record["classes"])
    return model.eval()


def num_classes(model: NAC) -> int:
    """Number of classes C that a model tells apart."""
    return model.circuit.read_out.head.out_features


def read_record(folder: Path) -> dict[str, Any]:
    """``config.json``, checked.

    Raises:
        CheckpointError: Saying what is wrong with it.
    """
    path = folder / CONFIG
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder}: expected a folder written by save_pretrained, with a {CONFIG}, got none "
            "there"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(record, dict):
        raise CheckpointError(f"{path}: expected an object, got {type(record).__name__}")
    if record.get("format") != FORMAT:
        raise CheckpointError(f"{path}: expected format {FORMAT}, got {record.get('format')!r}")
    record.setdefault("conditioner", None)  # what was saved before there were any
    _check_keys(path, record, KEYS)
    if not isinstance(record["config"], dict):
        raise CheckpointError(f"{path}: config: expected an object, got {record['config']!r}")
    # Fields that files of earlier versions do not have, at the values that they meant.
    later = {"condition": "none", "redraw": "once", "propagator": "skmdpa"}
    for name, value in {**later, "read_in": "attention", "generator": "auto"}.items():
        record["config"].setdefault(name, value)
    _check_keys(path, record["config"], NACConfig.names(), "config.")
    for name, least in (("num_classes", 1), ("seed", 0)):
        value = record[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise CheckpointError(
                f"{path}: {name}: expected a whole number >= {least}, got {value!r}"
            )
    classes, count = record["classes"], record["num_classes"]
    if classes is not None and not (
        isinstance(classes, list)
        and len(classes) == count
        and all(isinstance(name, str) for name in classes)
    ):
        raise CheckpointError(f"{path}: classes: expected {count} names or null, got {classes!r}")
    return record


def _check_keys(path: Path, found: dict[str, Any], names: tuple[str, ...], where: str = "") -> None:
    problems = [f"unknown key {where}{nearest(k, list(names))}" for k in found if k not in names]
    problems += [f"missing key {where}{name!r}" for name in names if name not in found]
    if problems:
        raise CheckpointError(f"{path}: " + "; ".join(problems))


def _weights(folder: Path, digest: Any) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from error
    if (got := hashlib.sha256(data).hexdigest()) != digest:
        raise CheckpointError(
            f"{path}: damaged, expected sha256 {str(digest)[:12]}…, got {got[:12]}… "
            f"({len(data):,} bytes)"
        )
    try:
        return {current_name(k): t for k, t in decode_tensors(data).items()}
    except Exception as error:  # safetensors raises its own, undocumented, types
        raise CheckpointError(f"{path}: not safetensors ({error})") from error


def _described(tokenizer: nn.Module) -> dict[str, Any]:
    """Class name and settings; without settings it is one that the reader has to bring along."""
    name = type(tokenizer).__name__
    known = name in TOKENIZERS.names() and TOKENIZERS.get(name) is type(tokenizer)
    return {"name": name, "settings": getattr(tokenizer, "settings", None) if known else None}


def _tokenizer(folder: Path, described: Any) -> nn.Module:
    path = folder / CONFIG
    if not isinstance(described, dict) or set(described) != {"name", "settings"}:
        raise CheckpointError(f"{path}: tokenizer: expected name and settings, got {described!r}")
    name, settings = described["name"], described["settings"]
    if name not in TOKENIZERS.names():
        raise ValueError(
            f"{path}: tokenizer {name!r} is none that nacgraph knows "
            f"({', '.join(TOKENIZERS.names())}): pass tokenizer=, or load the plugin that "
            "registers it with @register_tokenizer first"
        )
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: tokenizer {name!r} was saved without settings: pass tokenizer=")
    try:
        return TOKENIZERS.get(name)(**settings)
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise CheckpointError(f"{path}: tokenizer: {error}") from error
