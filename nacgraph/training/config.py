"""A run's configuration by layers: what is said later wins.

Defaults, model, preset (and the task's own changes to it), ``--config`` file, flags. Nothing here
imports torch before all that can be checked without it is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

import yaml

from nacgraph.models.config import NACConfig
from nacgraph.models.ladder import MODELS, TRANSFORMERS, fields_of, model_config
from nacgraph.priors.config import PRIORS, PriorConfig
from nacgraph.tasks.config import TASKS, TaskConfig, plain
from nacgraph.training.flags import TASK_FLAGS, Flag, flags, shown, to_paths
from nacgraph.training.run_config import FREE_ON_RESUME as FREE_ON_RESUME
from nacgraph.training.run_config import PRESETS, OptimizerConfig, read_yaml
from nacgraph.training.run_config import RunConfig as RunConfig
from nacgraph.training.run_config import dump_config as dump_config
from nacgraph.utils.errors import ConfigError, did_you_mean, nearest
from nacgraph.utils.fields import problem
from nacgraph.utils.registry import load_plugin

if TYPE_CHECKING:
    from nacgraph.tasks import Task


class Text(str):
    """A value as it was typed on a command line."""


@dataclass(frozen=True)
class Parsed:
    """A configuration, the paths that were asked for by file or flag, and remarks to print."""

    config: RunConfig
    asked: dict[str, Any]
    notes: list[str]


def make_config(config: str | Path | None = None, /, **given: Any) -> RunConfig:
    """A run's configuration by the layers of the command line.

    Args:
        config: A YAML file, as ``--config`` takes it.
        given: Fields by their short names, or nested: ``width=8``, ``task="images"``,
            ``prior={"name": "ring_of_cliques", "clique_size": 8}``, ``plugin=["waves.py"]``.

    Raises:
        ConfigError: With all that is wrong.

    Example:
        >>> made = make_config(preset="small", modules=12, prior="none", task="points")
        >>> made.model.modules, made.model.width, made.prior.name, made.steps
        (12, 96, 'none', 1200)
    """
    return layered(given, None if config is None else Path(config)).config


def layered(
    given: Mapping[str, Any], file: Path | None = None, wrong: Sequence[str] = ()
) -> Parsed:
    """As :func:`make_config`; also what was asked for, and remarks.

    What needs no torch is checked first, and told before anything is loaded, together with what
    the caller found ``wrong``.
    """
    from_given, problems = _read(given, "")
    problems = [*wrong, *problems]
    start = from_given.get("start")
    if file is None and start is not None:  # sizes as there, unless said otherwise
        file = Path(start) / "config.yaml"
        if not file.is_file():
            raise ConfigError(
                [*problems, f"start: expected a run folder with a config.yaml, got {start}"]
            )
    written: dict[str, Any] = {}
    if file is not None:
        written = read_yaml(file)
    from_file, wrong_there = _read(written, f"{file}: ")
    problems += wrong_there
    plugins = from_given.get("plugin", ())
    # Only the flag may start code, so that no file that is passed around can.
    problems += [
        f"{file}: plugin: expected on the command line, as --plugin {path}"
        for path in from_file.pop("plugin", ())
        if path not in plugins
    ]
    names = {
        part: from_given.get(f"{part}.name", from_file.get(f"{part}.name", default))
        for part, default in (("task", "listops"), ("prior", "ring_of_cliques"), ("model", "nac"))
    }
    for part in names:  # what a file has for another task, prior or model
        if from_file.get(f"{part}.name", names[part]) != names[part]:
            from_file = {p: v for p, v in from_file.items() if not _goes_with(part, p)}
    if not plugins:
        problems += _unknown_names(names)
    if problems:
        raise ConfigError(problems)

    for path in plugins:
        try:
            load_plugin(path)
        except ValueError as error:
            problems.append(str(error))
    if plugins:
        problems += _unknown_names(names)
    if problems:
        raise ConfigError(problems)
    try:
        task = TASKS.get(names["task"])
    except ValueError as error:  # an entry point that does not load
        raise ConfigError([str(error)]) from error
    preset = from_given.get("preset", from_file.get("preset", RunConfig.preset))
    from_preset = to_paths(preset_fields(preset, task, "task_set" in written))
    asked = {**from_file, **from_given}
    values = {**from_preset, **asked}
    notes = _spelled(given, written, file)
    notes += _overruled(file, from_file, from_given, task)
    if "prior.name" in from_preset and "prior.name" not in asked:
        names["prior"] = from_preset["prior.name"]
    config, problems, more = _assemble(names, values, from_given, task)
    problems += _prior_problems(config.prior) if config is not None else []
    if config is None or problems:
        raise ConfigError(problems)
    notes += more
    if config.prior.name != "none" and (not config.has_circuit() or config.links_all()):
        # No link, or all with probability one: there is nothing that a prior could pull at.
        why = "links all modules" if config.has_circuit() else "has no circuit"
        config = replace(config, prior=replace(config.prior, name="none", parameters={}))
        asked["prior.name"] = "none"
        notes.append(f"model {config.model_name} {why}, so it has no prior: --prior none")
    return Parsed(config, asked, notes)


def _read(values: Mapping[str, Any], source: str) -> tuple[dict[str, Any], list[str]]:
    """Path → value of the right type of what a file or a command line says, and what is wrong."""
    problems: list[str] = []
    found: dict[str, Any] = {}
    for name, value in values.items():
        try:
            read = to_paths({name: value})
        except ConfigError as error:
            problems += [source + text for text in error.problems]
            continue
        problems += [
            f"{source}{shown(path)}: expected one value, got {found[path]!r} and {new!r}"
            for path, new in read.items()
            if None not in (found.get(path), new) and found[path] != new
        ]
        found |= read
    typed: dict[str, Any] = {}
    for path, value in found.items():
        if value is None and path.startswith("model."):
            continue  # until 0.1, null meant: as the model's name says
        if path not in flags() or flags()[path].kind is Any:
            typed[path] = value
            continue
        value, text = _typed(flags()[path], value)
        typed[path] = value
        problems += [source + text] if text else []
    return {p: v for p, v in typed.items() if v is not _WRONG}, problems


_WRONG = object()


def _typed(flag: Flag, value: Any) -> tuple[Any, str | None]:
    """The value as its field's type has it, or what is wrong with it."""
    got = value
    if isinstance(value, Text) or problem("", value, flag.kind, {}) is not None:
        value = _coerced(value, flag.kind, flag.short)
    if flag.kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if get_origin(flag.kind) is tuple and isinstance(value, (list, tuple)):
        value = tuple(map(str, value))
    if problem("", value, flag.kind, flag.about) is None:
        return value, None
    # As it was typed: -1 rather than -1.0.
    shown_value = value if isinstance(value, str) or not isinstance(got, Text) else _Typed(got)
    return _WRONG, problem(flag.short, shown_value, flag.kind, flag.about)


class _Typed(str):
    """A number as it was typed, shown without quotes."""

    def __repr__(self) -> str:
        return str(self)


def _goes_with(part: str, path: str) -> bool:
    """Whether a path is of no meaning for another task, prior or model."""
    own = {key for set_by in (*MODELS.values(), *TRANSFORMERS.values()) for key in set_by}
    if part == "model":
        return path.startswith("model.") and path.removeprefix("model.") in own
    return path.startswith("task." if part == "task" else "prior.parameters.")


def _unknown_names(names: Mapping[str, str]) -> list[str]:
    problems = []
    for part, registry in (("task", TASKS), ("prior", PRIORS)):
        choices = registry.names()
        if names[part] not in choices:
            hint = did_you_mean(names[part], choices)
            problems.append(
                f"{part}: expected one of {', '.join(choices)}, got {names[part]!r}{hint}"
            )
    return problems


def preset_fields(preset: str, task: type[Task], without_set: bool = False) -> dict[str, Any]:
    """What a preset sets, and the task's own changes to it; flat names.

    ``without_set`` leaves the task's ``task_set`` away: a file that has one of its own is not
    mixed with it.
    """
    own = dict(task.presets.get(preset, {}))
    if without_set:
        own.pop("task_set", None)
    return {**PRESETS.get(preset, {}), **own}


def _assemble(
    names: Mapping[str, str],
    values: Mapping[str, Any],
    given: Mapping[str, Any],
    task: type[Task] | None,
) -> tuple[RunConfig | None, list[str], list[str]]:
    """The configuration of these values, all that is wrong with them, and remarks."""
    problems: list[str] = []
    notes: list[str] = []

    def part(prefix: str) -> dict[str, Any]:
        return {
            path.removeprefix(prefix): value
            for path, value in values.items()
            if path.startswith(prefix) and path != f"{prefix}name"
        }

    def attempt(make: Callable[[], Any]) -> Any:
        try:
            return make()
        except ConfigError as error:
            problems.extend(error.problems)
            return None

    known, sizes = fields_of(names["model"]), part("model.")
    condition = sizes.get("condition", "auto")
    if names["model"] in TRANSFORMERS and condition not in ("auto", "none"):
        problems.append(
            f"condition: expected auto or none for model {names['model']}, which has no circuit, "
            f"got {condition!r}"
        )
    asked = [path for path in given if path.startswith("model.") and given[path]]
    if left := [shown(path) for path in asked if path[6:] not in [*known, "name"]]:
        notes.append(f"model {names['model']} has no {', '.join(left)}: left out")
    model = attempt(
        lambda: model_config(names["model"], **{k: v for k, v in sizes.items() if k in known})
    )
    pull = part("prior.")
    parameters = {k[11:]: _scalar(v) for k, v in pull.items() if k.startswith("parameters.")}
    pull = {k: v for k, v in pull.items() if not k.startswith("parameters.")}
    prior = attempt(lambda: PriorConfig(names["prior"], parameters, **pull))
    chosen = TaskConfig(names["task"], part("task."))
    if task is not None:
        chosen, wrong, more = _task_config(chosen, given, task)
        problems += wrong
        notes += more
    optimizer = attempt(lambda: OptimizerConfig(**part("optimizer.")))
    rest = {path: value for path, value in values.items() if "." not in path}
    config = attempt(
        lambda: RunConfig(
            chosen,
            prior or PriorConfig(),
            model or NACConfig(),
            optimizer or OptimizerConfig(),
            **rest,
        )
    )
    return config, problems, notes


def _prior_problems(prior: PriorConfig) -> list[str]:
    from nacgraph.priors.base import get_prior

    try:
        get_prior(prior.name, **prior.parameters)
    except ValueError as error:
        return [str(error)]
    return []


def stored_config(written: Mapping[str, Any]) -> RunConfig:
    """The configuration that a run folder holds, flat or nested; it is complete.

    No plugin that it names is run. Parameters of a task that is not there stay as they are.

    Raises:
        ConfigError: With all that is wrong.
    """
    values, problems = _read(written, "")
    if problems:
        raise ConfigError(problems)
    names = {
        part: values.get(f"{part}.name", default)
        for part, default in (("task", "listops"), ("prior", "ring_of_cliques"), ("model", "nac"))
    }
    task = None
    with suppress(ValueError):
        task = TASKS.get(names["task"])
    config, problems, _ = _assemble(names, values, {}, task)
    if config is None or problems:
        raise ConfigError(problems)
    return config


def _task_config(
    chosen: TaskConfig, by_flag: Mapping[str, Any], task: type[Task]
) -> tuple[TaskConfig, list[str], list[str]]:
    """The task with all its parameters, those left out at their defaults; what is wrong."""
    from nacgraph.tasks.base import OF_THE_RUN

    declared = task.parameters()
    values: dict[str, Any] = {
        key: plain(p.default) for key, p in declared.items() if _is_plain(p.default)
    }
    name, problems, left = chosen.name, list[str](), list[str]()
    for key, value in chosen.parameters.items():
        if key in declared:
            value = _coerced(value, declared[key].kind, key)
            values[key] = value
        elif key in TASK_FLAGS:  # names that every task could be given
            left += [key] if f"task.{key}" in by_flag else []
        elif key in OF_THE_RUN:
            problems.append(f"task.{key}: expected as a field of the run, --{key}")
        else:
            choices = ", ".join(declared) or "none"
            problems.append(
                f"task.{key}: expected one of {choices} for task {name}, got "
                f"{nearest(key, declared)}"
            )
    problems += task.problems(values)
    return (
        TaskConfig(name, values),
        problems,
        ([f"task {name} has no {', '.join(left)}: left out"] if left else []),
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, Path))


def _coerced(value: Any, kind: Any, key: str) -> Any:
    """Text as the parameter's type has it: ``"3"`` is a number, or the name of a class."""
    if not isinstance(value, str):
        return plain(value)
    if key == "curriculum":
        return _stages(value)
    if kind is Any:
        return _scalar(value)
    read = _scalar(Text(value))
    return read if problem("", read, kind, {}) is None else str(value)


def _scalar(value: Any) -> Any:
    """What was typed, as YAML reads it; anything else stays."""
    if not isinstance(value, Text):
        return plain(value)
    if re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value):  # no number in YAML 1.1
        return float(value)
    with suppress(yaml.YAMLError):
        return yaml.safe_load(value)
    return str(value)


def _stages(text: str) -> Any:
    if text in ("none", ""):
        return []
    if ":" in text and not text.startswith("["):
        pairs = [part.split(":") for part in text.split(",")]
        return [[int(n) if n.isdigit() else n for n in pair] for pair in pairs]
    return _scalar(Text(text))


def _spelled(given: Mapping[str, Any], written: Mapping[str, Any], file: Path | None) -> list[str]:
    """Remarks on old spellings, one line each."""
    old = {"task_set": "--task.KEY VALUE", "prior_set": "--prior.KEY VALUE"}
    notes = [f"--{name} is an old spelling of {new}" for name, new in old.items() if name in given]
    if any(name in written for name in old):
        notes.append(f"{file} is in the old, flat form; --print_config writes the new one")
    return notes


def _overruled(
    file: Path | None, from_file: dict[str, Any], given: dict[str, Any], task: type[Task]
) -> list[str]:
    """A remark when a file's values hide what a preset on the command line would set."""
    if "preset" not in given:
        return []
    hidden = [
        shown(path)
        for path, value in to_paths(preset_fields(given["preset"], task)).items()
        if path in from_file and path not in given and from_file[path] != value
    ]
    if not hidden:
        return []
    return [f"{file} overrules preset {given['preset']} in: {', '.join(hidden)}"]
