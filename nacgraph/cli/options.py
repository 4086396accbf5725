"""From a command line to a RunConfig, with all that is wrong said at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser

from nacgraph.tasks import get_task
from nacgraph.training.config import PRESETS, RunConfig, model_defaults, read_yaml
from nacgraph.utils.errors import ConfigError, nearest
from nacgraph.utils.registry import load_plugin

NAMES = [f.name for f in fields(RunConfig)]
TYPES = get_type_hints(RunConfig)
VALUELESS = ("help", "print_config")
PAIRS = ("prior_set", "task_set")
MANY = ("plugin", *PAIRS)


@dataclass(frozen=True)
class Parsed:
    """A configuration, the fields that were asked for by file or flag, and remarks to print."""

    config: RunConfig
    asked: dict[str, Any]
    notes: list[str]


def parser(defaults: Mapping[str, Any]) -> ArgumentParser:
    """The jsonargparse parser: one flag for every field of RunConfig."""
    made = ArgumentParser(
        prog="nacgraph train",
        description="Train a circuit. Later layers win: defaults, model, preset, --config, flags.",
        exit_on_error=False,
    )
    made.add_argument("--config", action=ActionConfigFile, help="YAML file of the flags below")
    for f in fields(RunConfig):
        default = f.default if f.default is not MISSING else {}
        made.add_argument(
            f"--{f.name}",
            type=TYPES[f.name],
            default=defaults.get(f.name, default),
            help=f.metadata["help"],
        )
    return made


def split_flags(argv: Sequence[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """``--prior-weight 1``, ``--prior_weight=1`` → ``{"prior_weight": "1"}``, valueless, problems.

    Several values (``--plugin a.py b.py``, or the flag twice) become one JSON value.
    """
    flags: dict[str, list[str]] = {}
    bare: list[str] = []
    problems: list[str] = []
    name = None
    for token in argv:
        if token == "-h":
            bare.append("--help")
        elif token.startswith("--"):
            name, equals, value = token[2:].partition("=")
            name = name.replace("-", "_")
            if name in VALUELESS:
                bare.append("--" + name + equals + value)
                name = None
                continue
            if name not in (*NAMES, "config"):
                problems.append("unknown flag " + nearest(name, [*NAMES, "config"]))
            flags.setdefault(name, []).extend([value] if equals else [])
        elif name is None or (flags[name] and name not in (*MANY, "config")):
            problems.append(f"unexpected argument {token!r}")
        else:
            flags[name].append(token)
    known = {key: values for key, values in flags.items() if key in (*NAMES, "config")}
    problems += [
        f"{key}: expected a value, got none" for key, values in known.items() if not values
    ]
    single = {k: v[-1] for k, v in known.items() if v and k not in MANY}
    if "plugin" in known:
        single["plugin"] = json.dumps(known["plugin"])
    for key in PAIRS:
        if known.get(key):
            single[key], wrong = _pairs(known[key])
            problems += [f"{key}: expected KEY=VALUE, got {text!r}" for text in wrong]
    if "curriculum" in single:
        single["curriculum"] = _stages(single["curriculum"])
    return single, bare, problems


def _pairs(texts: list[str]) -> tuple[str, list[str]]:
    """``["a=1,b=[x,y]", "c=2"]`` → one JSON object, and the parts that are no pairs."""
    if texts[-1].startswith("{"):
        return texts[-1], []
    # A comma within brackets belongs to a value.
    parts = [part for text in texts for part in re.split(r",(?![^\[]*\])", text)]
    split = [part.partition("=") for part in parts]
    wrong = [part for part in parts if "=" not in part]
    return json.dumps({k: yaml.safe_load(v) for k, _, v in split}), wrong


def _stages(text: str) -> str:
    if text in ("none", ""):
        return "[]"
    if ":" in text and not text.startswith("["):
        return json.dumps([part.split(":") for part in text.split(",")]).replace('"', "")
    return text


def wanted(name: str) -> str:
    """How the type of a field reads in a message: ``int``, ``one of tiny, small, lra``."""
    kind = TYPES[name]
    plain = str(kind) if not isinstance(kind, type) else kind.__name__
    if "Literal[" in plain:
        inside = plain[plain.index("Literal[") + 8 :].partition("]")[0]
        return "one of " + inside.replace("'", "")
    return plain.replace(" | None", "").replace("typing.", "")


def preset_fields(preset: str, task: str) -> dict[str, Any]:
    """What a preset sets, and the task's own changes to it."""
    fields_ = dict(PRESETS.get(preset, {}))
    with suppress(ValueError):  # a task that does not exist is told of where parts are checked
        fields_ |= get_task(task).presets.get(preset, {})
    return fields_


def _typed(items: Mapping[str, Any], check: Callable[[str, Any], Any]) -> tuple[dict, list[str]]:
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in items.items():
        try:
            values[name] = check(name, value)
        except Exception:  # jsonargparse raises several types; the value is what is wrong
            problems.append(f"{name}: expected {wanted(name)}, got {value!r}")
    return values, problems


def parse(argv: Sequence[str]) -> Parsed:
    """Read flags and ``--config`` file over the defaults of model and preset.

    ``--help`` and ``--print_config`` print and raise SystemExit, as argparse does.

    Raises:
        ConfigError: With every unknown key, wrong type and value out of range.
    """
    flags, bare, problems = split_flags(argv)
    plain = parser({})
    config_path = flags.pop("config", None)
    if config_path is None and "start" in flags:  # sizes as there, unless said otherwise
        config_path = str(Path(flags["start"]) / "config.yaml")
        if not Path(config_path).is_file():
            raise ConfigError(
                [f"start: expected a run folder with a config.yaml, got {flags['start']}"]
            )
    written = read_yaml(Path(config_path)) if config_path is not None else {}
    source = f"{config_path}: " if config_path else ""
    problems += [
        f"{source}unknown key {nearest(key, NAMES)}" for key in written if key not in NAMES
    ]
    from_file, wrong_file = _typed(
        {key: value for key, value in written.items() if key in NAMES},
        lambda k, v: plain.parse_object({k: v})[k],
    )
    from_flags, wrong_flags = _typed(flags, lambda k, v: plain.parse_args([f"--{k}={v}"])[k])
    problems += [source + text for text in wrong_file] + wrong_flags

    # Only the flag may start code, so that no file that is passed around can.
    for path in from_file.pop("plugin", ()):
        if path not in from_flags.get("plugin", ()) and "--help" not in bare:
            problems.append(f"{source}plugin: expected on the command line, as --plugin {path}")

    for path in from_flags.get("plugin", ()):  # now, since its tasks have presets of their own
        try:
            load_plugin(path)
        except ValueError as error:
            problems.append(str(error))

    asked = {**from_file, **from_flags}
    model, preset = asked.get("model", "nac"), asked.get("preset", "tiny")
    layers: dict[str, Any] = {}
    try:
        layers = model_defaults(model)
    except ValueError as error:
        problems.append(str(error))
    layers.update(preset_fields(preset, asked.get("task", RunConfig.task)))
    if "task_set" in from_flags:  # beside those of the file or preset, not instead of them
        base = from_file if "task_set" in from_file else layers
        asked["task_set"] = {**base.get("task_set", {}), **from_flags["task_set"]}
    values = {**layers, **asked}
    config = RunConfig(**{**values, "curriculum": tuple(map(tuple, values.get("curriculum", ())))})
    problems += config.problems()
    if problems and "--help" not in bare:
        raise ConfigError(problems)
    if bare:
        full = parser({**layers, **from_file})
        full.parse_args([*(f"--{k}={v}" for k, v in flags.items()), *bare])
    notes = _overruled(config_path, from_file, from_flags)
    if config.prior != "none" and (not config.has_circuit() or config.links_all()):
        # No link, or all with probability one: there is nothing that a prior could pull at.
        why = "links all modules" if config.has_circuit() else "has no circuit"
        config, asked = replace(config, prior="none"), {**asked, "prior": "none"}
        notes.append(f"model {model} {why}, so it has no prior: --prior none")
    return Parsed(config, asked, notes)


def _overruled(path: str | None, from_file: dict[str, Any], flags: dict[str, Any]) -> list[str]:
    """A remark when a file's values hide what a preset on the command line would set."""
    hidden = [
        key
        for key, value in preset_fields(flags.get("preset", ""), from_file.get("task", "")).items()
        if key in from_file and key not in flags and from_file[key] != value
    ]
    if not hidden:
        return []
    return [f"{path} overrules preset {flags['preset']} in: {', '.join(hidden)}"]
