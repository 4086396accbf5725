"""What commands that read a run have in common: their arguments, and what is done with them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nacgraph.cli.answer import note
from nacgraph.utils.registry import load_plugin

if TYPE_CHECKING:
    from nacgraph.training.run import Run

SHARED: dict[str, dict[str, Any]] = {  # arguments of several commands, as argparse adds them
    "data": {"help": "as of nacgraph evaluate"},
    "cache_dir": {"help": "where generated data is kept"},
    "device": {"choices": ("auto", "cpu", "cuda"), "default": "auto"},
    "threads": {"type": int, "default": 0, "help": "0 leaves PyTorch's choice"},
    "plugin": {"action": "append", "default": [], "help": "a Python file that is run"},
}


def add_shared(parser: argparse.ArgumentParser, *names: str, **helps: str) -> None:
    """Add those of :data:`SHARED` that a command has, some with a help text of its own."""
    for name in names:
        own = {"help": helps.get(name, SHARED[name].get("help"))}
        parser.add_argument("--" + name.replace("_", "-"), **{**SHARED[name], **own})


def prepare(arguments: argparse.Namespace) -> None:
    """Run the plugins, and set PyTorch's threads where the command has ``--threads``."""
    for path in arguments.plugin:
        load_plugin(path)
    if threads := getattr(arguments, "threads", 0):
        import torch

        torch.set_num_threads(threads)


def comma_list(name: str, text: str, kind: Callable[[str], Any], wanted: str) -> list:
    """``"0.5,1"`` → [0.5, 1.0] for ``kind`` float; a ValueError says what was ``wanted``."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{name}: expected {wanted}, got {text!r}") from None


def key_values(pairs: Sequence[str], flag: str) -> dict[str, Any]:
    """``["a=1", "b=[x, y]"]`` → {"a": 1, "b": ["x", "y"]}; a ValueError names ``flag``."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key.strip() or not equals:
            raise ValueError(f"{flag}: expected KEY=VALUE, got {pair!r}")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ValueError(f"{flag}: {key}: expected a plain value, got {value!r}") from None
    return found


def task_arguments(arguments: argparse.Namespace, *others: str) -> dict[str, Any]:
    """What the command line says of the task: of its data, and of these other parameters."""
    names = ("data", "cache_dir", *others)
    return {n: v for n in names if (v := getattr(arguments, n, None)) is not None}


def read_run(folder: Path, **changed: Any) -> Run:
    """As :func:`nacgraph.training.run.load_run`; its remarks are also printed on stderr."""
    from nacgraph.training.run import load_run

    run = load_run(folder, **changed)
    note(*(f"note: {text}" for text in run.notes))
    return run


def read_circuit(folder: Path, **changed: Any) -> Run:
    """As :func:`read_run`; a ValueError, before anything is read, if the run has no circuit."""
    from nacgraph.training.run import read_config, require_circuit

    require_circuit(read_config(folder), folder)
    return read_run(folder, **changed)
