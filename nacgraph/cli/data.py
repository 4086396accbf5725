"""``nacgraph data``: what data tasks read, and what is in a file or folder of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nacgraph.cli.answer import Parser, answer
from nacgraph.cli.reading import add_shared, key_values, prepare
from nacgraph.utils.commands import command_line


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. 0: fine; 1: the data is damaged; 2: not understood."""
    arguments = _parser().parse_args(argv)
    action = {"list": _list, "check": _check, "clip-features": _clip_features}[arguments.action]
    damage: list[str] = []
    return answer(lambda: action(arguments, damage), ImportError) or int(bool(damage))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="nacgraph data",
        description="What data tasks read, and what is in a file or folder. Nothing is downloaded.",
    )
    actions = parser.add_subparsers(dest="action", required=True)
    add_shared(actions.add_parser("list", help="the tasks, and what they read"), "plugin")
    check = actions.add_parser("check", help="read data as a task would, and list all damage in it")
    add_shared(check, "plugin")
    check.add_argument("task", help="a name from `nacgraph data list`")
    check.add_argument("--data", help="file, folder or archive; the embedded data if not given")
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "metavar": "KEY=VALUE"}
    check.add_argument("--task-set", **several, help="parameters of the task")
    check.add_argument("--cache-dir", help="where archives are unpacked")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.add_argument("--digests", action="store_true", help="sha256 of the files too")
    check.add_argument("--files", action="store_true", help="every file, however many there are")
    clip = actions.add_parser("clip-features", help="features of NLVR2's images by a frozen CLIP")
    clip.add_argument("--data", type=Path, required=True, help="folder of JSON lines and images")
    clip.add_argument("--model", type=Path, required=True, help="folder with a CLIP's weights")
    clip.add_argument("--out", type=Path, required=True, help="features.npz, or a folder for it")
    clip.add_argument("--text", action="store_true", help="features of the sentences too")
    clip.add_argument("--batch-size", type=int, default=32)
    return parser


def _list(arguments: argparse.Namespace, damage: list[str]) -> str:
    from nacgraph.tasks.overview import overview
    from nacgraph.training.flags import short_names

    prepare(arguments)
    return "\n".join(overview(list(short_names())))


def _check(arguments: argparse.Namespace, damage: list[str]) -> str:
    from nacgraph.tasks.inspection import inspect_task, inspection_text, task_over
    from nacgraph.utils.progress import ProgressPrinter

    prepare(arguments)
    given = key_values(arguments.task_set or [], "task-set")
    task = task_over(arguments.task, arguments.data, given, arguments.cache_dir)
    result = inspect_task(arguments.task, task, arguments.digests, ProgressPrinter())
    damage += result["damage"]
    if not arguments.json:
        return inspection_text(result, arguments.files)
    text = json.dumps(result, indent=1, ensure_ascii=False)  # names of files may be no characters
    return text.encode("utf-8", "backslashreplace").decode()


def _clip_features(arguments: argparse.Namespace, damage: list[str]) -> str:
    from nacgraph.tasks.nlvr2.clip import clip_features

    a, report = arguments, partial(print, file=sys.stderr, flush=True)
    made = clip_features(a.data, a.out, a.model, a.text, a.batch_size, report)
    return f"{made}\nnext       {command_line('train', '--task', 'nlvr2', '--data', made)}"
