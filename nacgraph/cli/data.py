"""``nacgraph data``: what data tasks read, and what is in a file or folder of it."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nacgraph.cli.inspection import inspected, shown
from nacgraph.cli.reading import add_shared, key_values, prepare
from nacgraph.tasks import TASKS, Task, get_task, parameters
from nacgraph.training.flags import short_names
from nacgraph.utils.errors import nearest
from nacgraph.utils.progress import ProgressPrinter

DAMAGED = 1
_FLAGS = set(short_names())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. 0: fine; 1: the data is damaged; 2: not understood."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.action == "clip-features":
            return _clip_features(arguments)
        prepare(arguments)
        return _list() if arguments.action == "list" else _check(arguments)
    except BrokenPipeError:  # `| head`: for nacgraph.__main__
        raise
    except (ValueError, OSError, ImportError) as error:
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
        add_shared(each, "plugin")
    check.add_argument("task", help="a name from `nacgraph data list`")
    check.add_argument("--data", help="file, folder or archive; the embedded data if not given")
    check.add_argument(
        "--task-set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="parameters of the task",
    )
    check.add_argument("--cache-dir", help="where archives are unpacked")
    clip = actions.add_parser(
        "clip-features", help="features.npz of NLVR2's images, by a frozen CLIP on this machine"
    )
    clip.add_argument("--data", type=Path, required=True, help="folder of JSON lines and images")
    clip.add_argument("--model", type=Path, required=True, help="folder with a CLIP's weights")
    clip.add_argument("--out", type=Path, required=True, help="features.npz, or a folder for it")
    clip.add_argument("--text", action="store_true", help="features of the sentences too")
    clip.add_argument("--batch-size", type=int, default=32)
    check.add_argument("--json", action="store_true", help="print JSON")
    check.add_argument("--digests", action="store_true", help="sha256 of the files too")
    check.add_argument("--files", action="store_true", help="every file, however many there are")
    return parser


def _clip_features(arguments: argparse.Namespace) -> int:
    from nacgraph.tasks.nlvr2.clip import clip_features

    def report(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    made = clip_features(
        arguments.data, arguments.out, arguments.model, arguments.text, arguments.batch_size, report
    )
    print(f"{made}\nnext       nacgraph train --task nlvr2 --data {made}")
    return 0


def _list() -> int:
    for name, task in TASKS.offered():
        if isinstance(task, ValueError):
            print(f"{name:<12} {task}")
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
    hidden = {*_FLAGS, "whole_is_test"}  # that one is for `evaluate --data`
    own = ", ".join(_plainly(name, takes[name]) for name in takes if name not in hidden)
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
    result = inspected(arguments.task, task, arguments.digests, ProgressPrinter())
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
    settings = key_values(arguments.task_set, "task-set")
    choices = [name for name in takes if name not in ("data", "cache_dir")]
    for name in settings:
        if name not in choices:
            raise ValueError(
                f"task-set: expected one of {', '.join(choices) or 'none'} for task "
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
