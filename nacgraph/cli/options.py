"""From a command line to a RunConfig, with all that is wrong said at once."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from nacgraph.tasks.config import TASKS
from nacgraph.training.config import Parsed, Text, layered
from nacgraph.training.flags import PAIRS, Flag, choices_of_names, flags, path_of
from nacgraph.training.run_config import to_yaml
from nacgraph.utils import yaml12
from nacgraph.utils.errors import nearest
from nacgraph.utils.fields import expected, problem
from nacgraph.utils.registry import load_plugin

VALUELESS = ("help", "print_config")
MANY = ("plugin", *PAIRS)
FIRST = (
    *("task", "data", "prior", "prior_weight", "model", "preset", "modules", "rounds", "width"),
    *("bandwidth", "steps", "batch_size", "learning_rate", "seed", "device", "threads"),
    *("out", "resume", "start", "plugin"),
)
"""The twenty flags that matter first, by their short names."""
GROUPS = {
    "": "the run",
    "model": "the model",
    "prior": "the prior",
    "optimizer": "the optimizer",
    "task": "the task (as far as it has them; all of its own: --task NAME --help)",
}


def split_flags(argv: Sequence[str]) -> tuple[dict[str, Any], list[str], list[str]]:
    """``--prior-weight 1``, ``--prior_weight=1`` → ``{"prior_weight": "1"}``, valueless, problems.

    Several values (``--plugin a.py b.py``, or the flag twice) become a list.
    """
    found: dict[str, list[str]] = {}
    bare: list[str] = []
    problems: list[str] = []
    name = None
    for token in argv:
        if token == "-h":
            bare.append("help")
        elif token.startswith("--"):
            name, equals, value = token[2:].partition("=")
            name = name.replace("-", "_")
            if name in VALUELESS:
                bare.append(name)
                name = None
                continue
            if not _is_known(name):
                choices = [*choices_of_names(), "config", *VALUELESS]
                problems.append("unknown flag " + nearest(name, choices))
            found.setdefault(name, []).extend([value] if equals else [])
        elif name is None or (found[name] and name not in (*MANY, "config")):
            problems.append(f"unexpected argument {token!r}")
        else:
            found[name].append(token)
    known = {key: values for key, values in found.items() if _is_known(key)}
    problems += [
        f"{key}: expected a value, got none" for key, values in known.items() if not values
    ]
    given: dict[str, Any] = {k: Text(v[-1]) for k, v in known.items() if v and k not in MANY}
    if "plugin" in known:
        given["plugin"] = known["plugin"]
    for key in PAIRS:
        if known.get(key):
            given[key], wrong = _pairs(known[key])
            problems += [f"{key}: expected KEY=VALUE, got {text!r}" for text in wrong]
    return given, bare, problems


def _is_known(name: str) -> bool:
    return name in (*PAIRS, "config") or path_of(name) is not None


def _pairs(texts: list[str]) -> tuple[dict[str, Any], list[str]]:
    """``["a=1,b=[x,y]", "c=2"]`` → names and values, and the parts that are no pairs."""
    if texts[-1].startswith("{"):
        try:
            return json.loads(texts[-1]), []
        except (ValueError, RecursionError):
            return {}, [texts[-1]]
    # A comma within brackets belongs to a value.
    parts = [part for text in texts for part in re.split(r",(?![^\[]*\])", text)]
    split = [part.partition("=") for part in parts]
    wrong = [part for part in parts if "=" not in part]
    try:
        return {k: yaml12.load(v) for k, _, v in split}, wrong
    except ValueError:
        return {}, [*wrong, *parts]


def parse(argv: Sequence[str]) -> Parsed:
    """Read flags and ``--config`` file over the defaults of model and preset.

    ``--help`` and ``--print_config`` print and raise SystemExit, as argparse does.

    Raises:
        ConfigError: With every unknown key, wrong type and value out of range.
    """
    given, bare, problems = split_flags(argv)
    if "help" in bare:
        for plugin in given.get("plugin", ()):  # the task may be one of theirs
            load_plugin(plugin)
        print(help_text(given.get("task")), end="")
        raise SystemExit(0)
    file = given.pop("config", None)
    parsed = layered(_typed(given), None if file is None else Path(file), problems)
    if "print_config" in bare:
        sys.stdout.write(to_yaml(parsed.config))
        raise SystemExit(0)
    return parsed


def _typed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Texts as jsonargparse reads them; what it does not take stays, to be told with the rest."""
    parser, found = _parser(), dict(given)
    for name, value in given.items():
        path = path_of(name)
        if path in flags() and flags()[path].kind is not Any and isinstance(value, Text):
            with suppress(Exception):  # of several types
                typed = parser.parse_args([f"--{path}={value}"])[path]
                if problem("", typed, flags()[path].kind, flags()[path].about) is None:
                    found[name] = typed
    return found


def _parser() -> ArgumentParser:
    made = ArgumentParser(exit_on_error=False)
    for flag in flags().values():
        if flag.kind is not Any:
            made.add_argument(f"--{flag.path}", type=flag.kind, default=flag.default)
    return made


def help_text(task: str | None = None) -> str:
    """All flags in groups, those that matter first; with a task's name also its parameters."""
    made = argparse.ArgumentParser(
        prog="nacgraph train",
        usage="nacgraph train [--config FILE] [--FLAG VALUE …]",
        description="Train a circuit. Later layers win: defaults, model, preset, --config, flags. "
        "A flag may also be written with the name of its group, as --model.width 64, and with "
        "dashes.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=30, width=98),
        add_help=False,
    )
    first = made.add_argument_group("first of all")
    by_name = {flag.short: flag for flag in flags().values()}
    for name in FIRST:
        _add(first, by_name[name])
    first.add_argument("--config", metavar="FILE", help="YAML file of flags, flat or nested")
    first.add_argument("--print_config", action="store_true", help="print that file, do nothing")
    estimate = "measure the memory that the run would take, train nothing"
    first.add_argument("--estimate", action="store_true", help=estimate)
    edited = "go on from a run whose configuration or data record was edited"
    first.add_argument("--allow-edited", action="store_true", help=edited)
    for part, title in GROUPS.items():
        rest = made.add_argument_group(title)
        for flag in flags().values():
            if flag.path.rpartition(".")[0] == part and flag.short not in FIRST:
                _add(rest, flag)
        if part == "prior":
            rest.add_argument("--prior.KEY", metavar="VALUE", help="a parameter of the prior")
    own = made.add_argument_group(f"parameters of task {task}" if task else "and also")
    if task is None:
        own.add_argument("--task.KEY", metavar="VALUE", help="any other parameter of the task")
    else:
        for p in TASKS.get(task).parameters().values():
            about = {"help": p.help}
            _add(own, Flag(f"task.{p.name}", f"task.{p.name}", p.kind, p.default, about))
    return made.format_help()


def _add(group: Any, flag: Flag) -> None:
    kind = flag.about.get("names") or flag.about.get("choices")
    words = kind() if callable(kind) else kind
    text = str(flag.about["help"]).replace("``", "")
    if words:
        text += f": {', '.join(words)}"
    else:
        bounds = re.search(r"(>=?|<) .*", expected(flag.kind, flag.about))
        text += f", {bounds[0]}" if bounds else ""
    if flag.default not in (None, (), "", {}) and flag.default is not None:
        shown = f"{flag.default:.4g}" if isinstance(flag.default, float) else flag.default
        text += f" ({shown})"
    metavar = {int: "N", float: "X", bool: "BOOL"}.get(flag.kind, "NAME" if words else "VALUE")
    group.add_argument(f"--{flag.short}", metavar=metavar, help=text.replace("%", "%%"))
