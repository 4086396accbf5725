"""``nacgraph data``: what data tasks read, and what is in a file or folder of it."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from nacgraph.commands.inspection import inspected, shown
from nacgraph.config import RunConfig, nearest
from nacgraph.progress import Told
from nacgraph.registry import load_plugin
from nacgraph.tasks import TASKS, Task, get_task, parameters

DAMAGED = 1
_FLAGS = {f.name for f in fields(RunConfig)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. 0: fine; 1: the data is damaged; 2: not understood."""
    arguments = _parser().parse_args(argv)
    try:
        for plugin in arguments.plugin:
            load_plugin(plugin)
        return _list() if arguments.action == "list" else _check(arguments)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nacgraph data",
        description="What data tasks read, and what is in a file or folder. Nothing is downloaded.",
    )
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="the tasks there are, and what they read")
    check = actions.add_parser(
        "check", help="read data as a task would: what is found, and all that is damaged in it"
    )
    for each in (listing, check):
        each.add_argument("--plugin", action="append", default=[], help="a Python file that is run")
    check.add_argument("task", help="a name from `nacgraph data list`")
    check.add_argument("--data", help="file, folder or archive; the embedded data if not given")
    check.add_argument(
        "--task-set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="parameters of the task",
    )  # fmt: skip
    check.add_argument("--cache-dir", help="where archives are unpacked")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.add_argument("--digests", action="store_true", help="sha256 of the files too")
    check.add_argument("--files", action="store_true", help="every file, however many there are")
    return parser


def _list() -> int:
    for name in TASKS.names():
        try:
            task = TASKS.get(name)
        except ValueError as error:  # one broken plugin must not hide the others
            print(f"{name:<12} {error}")
            continue
        print(f"{name:<12} {(inspect.getdoc(task) or '').split(chr(10))[0]}")
        for what, text in _about(task):
            print(f"{'':<12} {what:<10} {text}")
    return 0


def _about(task: type[Task]) -> list[tuple[str, str]]:
    """What else is told of a task: (what, text), in order."""
    about = [("layout", text) for text in getattr(task, "layouts", ())]
    if not about and (text := _documented(task, "data")):
        about.append(("data", text))
    if embedded := getattr(task, "embedded", None):
        about.append(("embedded", embedded))
    takes = parameters(task)
    own = ", ".join(_plainly(name, takes[name]) for name in takes if name not in _FLAGS)
    flags = ", ".join(name for name in takes if name in _FLAGS)
    return [*about, *((k, v) for k, v in (("--task-set", own), ("flags", flags)) if v)]


def _plainly(name: str, default: Any) -> str:
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


def _check(arguments: argparse.Namespace) -> int:
    task = _task(arguments)
    result = inspected(arguments.task, task, arguments.digests, Told())
    if arguments.json:
        print(json.dumps(result, indent=1, ensure_ascii=False))
    else:
        print(shown(result, arguments.files))
    return DAMAGED if result["damage"] else 0


def _task(arguments: argparse.Namespace) -> Task:
    """The task over this data, with defaults of its own rather than of a preset.

    Raises:
        ValueError: If the task has no such parameter, or a value is out of range.
        FileNotFoundError: If there is no such file or folder.
    """
    cls = get_task(arguments.task)
    takes = parameters(cls)
    settings = _settings(arguments.task_set)
    choices = [name for name in takes if name not in ("data", "cache_dir")]
    for name in settings:
        if name not in choices:
            raise ValueError(
                f"task-set: wanted one of {', '.join(choices) or 'none'} for task "
                f"{arguments.task}, got {nearest(name, choices)}"
            )
    if arguments.data is not None:
        if "data" not in takes:
            raise ValueError(f"data: task {arguments.task} reads no files")
        if not Path(arguments.data).exists():
            raise FileNotFoundError(f"data: no file or folder {arguments.data}")
        settings["data"] = arguments.data
    if arguments.cache_dir is not None and "cache_dir" in takes:
        settings["cache_dir"] = arguments.cache_dir
    try:
        return cls(**settings)
    except TypeError as error:  # a value of the wrong kind, such as a word for a number
        raise ValueError(f"task-set: {error}") from error


def _settings(pairs: Sequence[str]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key.strip() or not equals:
            raise ValueError(f"task-set: wanted KEY=VALUE, got {pair!r}")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ValueError(f"task-set: {key}: wanted a plain value, got {value!r}") from None
    return found
