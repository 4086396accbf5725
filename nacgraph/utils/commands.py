"""Command lines that are printed to be pasted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path


def command_line(*words: str | Path, plugins: Sequence[str | Path] = ()) -> str:
    """``nacgraph WORDS …`` as a shell takes it, quoted where it must be.

    Args:
        words: The command and its arguments.
        plugins: Files that the command has to run first, as ``--plugin`` each.

    Example:
        >>> command_line("evaluate", "runs/my run", plugins=["own task.py"])
        "nacgraph evaluate 'runs/my run' --plugin 'own task.py'"
    """
    flags = [word for path in plugins for word in ("--plugin", str(path))]
    return shlex.join(["nacgraph", *map(str, words), *flags])
