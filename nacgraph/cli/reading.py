"""What commands that read a run have in common: their arguments, and what is done with them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacgraph.cli.answer import comma_list as comma_list
from nacgraph.cli.answer import note, thread_count
from nacgraph.utils import yaml12
from nacgraph.utils.registry import load_plugin

if TYPE_CHECKING:
    from nacgraph.training.run import Run

SHARED: dict[str, dict[str, Any]] = {  # arguments of several commands, as argparse adds them
    "data": {"help": "as of nacgraph evaluate"},
    "cache_dir": {"help": "where generated data is kept"},
    "device": {"choices": ("auto", "cpu", "cuda"), "default": "auto"},
    "threads": {"type": thread_count, "default": 0, "help": "0 leaves PyTorch's choice"},
    "allow_edited": {"action": "store_true", "help": "read a run whose configuration was edited"},
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


def key_values(pairs: Sequence[str], flag: str) -> dict[str, Any]:
    """``["a=1", "b=[x, y]"]`` → {"a": 1, "b": ["x", "y"]}; a ValueError names ``flag``."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key.strip() or not equals:
            raise ValueError(f"{flag}: expected KEY=VALUE, got {pair!r}")
        try:
            found[key.strip()] = yaml12.load(value)
        except ValueError:
            raise ValueError(f"{flag}: {key}: expected a plain value, got {value!r}") from None
    return found


def task_arguments(arguments: argparse.Namespace, *others: str) -> dict[str, Any]:
    """What the command line says of the task: of its data, and of these other parameters."""
    given = ("data", "cache_dir", "allow_edited", *others)
    return {n: v for n in given if (v := getattr(arguments, n, None)) is not None}


def read_run(folder: Path, **changed: Any) -> Run:
    """As :func:`nacgraph.training.run.load_run`; its remarks are also printed on stderr."""
    from nacgraph.training.run import load_run

    run = load_run(folder, **changed)
    note(*(f"note: {text}" for text in run.notes))
    return run


def read_circuit(folder: Path, **changed: Any) -> Run:
    """As :func:`read_run`; a ValueError at once if the run has no circuit."""
    from nacgraph.training.run import read_config, require_circuit

    require_circuit(read_config(folder), folder)
    return read_run(folder, **changed)
