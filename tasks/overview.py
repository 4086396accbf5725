"""The tasks there are and what each reads, as text."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from typing import Any

from nacgraph.tasks.base import TASKS, Task, parameters


def overview(flags: Collection[str] = ()) -> Iterator[str]:
    """A line for each registered task, and one for each thing to know about it.

    Args:
        flags: Parameters that are flags of their own on the command line.
    """
    for name, task in TASKS.offered():
        if isinstance(task, ValueError):
            yield f"{name:<12} {task}"
            continue
        yield f"{name:<12} {(inspect.getdoc(task) or '').split(chr(10))[0]}"
        for what, text in about(task, flags):
            yield f"{'':<12} {what:<10} {text}"


def about(task: type[Task], flags: Collection[str] = ()) -> list[tuple[str, str]]:
    """(what, text) in order: layouts of data, the embedded data, parameters."""
    found = [("layout", text) for text in getattr(task, "layouts", ())]
    if not found and (text := _documented(task, "data")):
        found.append(("data", text))
    if embedded := getattr(task, "embedded", None):
        found.append(("embedded", embedded))
    takes = parameters(task)
    hidden = {*flags, "whole_is_test"}  # that one is for `evaluate --data`
    own = ", ".join(_with_default(name, takes[name]) for name in takes if name not in hidden)
    shared = ", ".join(name for name in takes if name in flags)
    return [*found, *((k, v) for k, v in (("parameters", own), ("flags", shared)) if v)]


def _with_default(name: str, default: Any) -> str:
    """``drop=0.0``."""
    if default is inspect.Parameter.empty:
        return name
    return f"{name}={'none' if default in ((), None) else default}"


def _documented(task: type, argument: str) -> str:
    """What the docstring says of an argument, on one line; empty if nothing."""
    lines = (inspect.getdoc(task) or "").split("\n")
    for number, line in enumerate(lines):
        if line.strip().startswith(f"{argument}:"):
            indent = len(line) - len(line.lstrip())
            text = [line.partition(":")[2]]
            for more in lines[number + 1 :]:
                if not more.strip() or len(more) - len(more.lstrip()) <= indent:
                    break
                text.append(more)
            return " ".join(" ".join(text).split())
    return ""
