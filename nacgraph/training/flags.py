"""Names of a run's fields: short ones, as flags are called, and dotted paths.

``--width 64`` is ``--model.width 64``; both work on the command line, in YAML and in Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any

from nacgraph.models.config import NACConfig, TransformerConfig
from nacgraph.models.ladder import CHOICES, model_name
from nacgraph.priors.config import PRIORS, PriorConfig
from nacgraph.tasks.config import TASKS, TaskConfig
from nacgraph.training.run_config import PARTS, ModelConfig, OptimizerConfig, RunConfig
from nacgraph.utils.errors import ConfigError, nearest
from nacgraph.utils.fields import default_of, types_of


@dataclass(frozen=True)
class Flag:
    """A field of a run: where it is, its short name, and what it may be."""

    path: str
    short: str
    kind: Any
    default: Any
    about: Mapping[str, Any]


# Parameters that several tasks have, under the names that were flags before tasks had their own.
TASK_FLAGS = {
    "data": "real data files; the task's own data if not given",
    "cache_dir": "where generated data is kept; a user cache folder",
    "curriculum": "LENGTH:STEP,…: no longer than LENGTH until STEP",
    "min_length": "generated sequences are longer than this",
    "max_length": "generated sequences are shorter than this",
    "train_size": "generated training samples",
    "val_size": "generated validation samples",
    "test_size": "generated test samples",
    "stem_layers": "local residual blocks over the embedded symbols",
    "window": "symbols that such a block sees (odd)",
}
_OWN_SHORT = {  # where the short name is not the field's
    "model.mode": "kernel",
    "model.eval_mode": "eval_kernel",
    "prior.name": "prior",
    "prior.weight": "prior_weight",
    "prior.loss": "prior_loss",
}
PAIRS = {"task_set": "task.", "prior_set": "prior.parameters."}
"""Old spellings that set several parameters at once, and where these are."""


@cache
def flags() -> dict[str, Flag]:
    """Path → flag, of all fields that are known without looking at the task."""
    found = [
        Flag("task.name", "task", str, "listops", {"help": "what to learn", "names": TASKS.names}),
        Flag("model.name", "model", str, "nac", {"help": "model", "choices": CHOICES}),
    ]
    found += [
        Flag(f"task.{name}", name, Any, None, {"help": text}) for name, text in TASK_FLAGS.items()
    ]
    parts: tuple[tuple[str, type], ...] = (
        ("prior.", PriorConfig),
        ("model.", NACConfig),
        ("model.", TransformerConfig),
        ("optimizer.", OptimizerConfig),
        ("", RunConfig),
    )
    for prefix, cls in parts:
        for f in fields(cls):
            if not f.metadata or prefix + f.name == "prior.parameters":
                continue
            path = prefix + f.name
            flag = Flag(
                path,
                _OWN_SHORT.get(path, f.name),
                types_of(cls)[f.name],
                default_of(f),
                dict(f.metadata) | ({"names": PRIORS.names} if path == "prior.name" else {}),
            )
            found.append(flag)
    made: dict[str, Flag] = {}
    for flag in found:
        made.setdefault(flag.path, flag)  # a transformer's width is the circuit's
    return made


@cache
def short_names() -> dict[str, str]:
    """Short name → path."""
    return {flag.short: flag.path for flag in flags().values()}


def shown(path: str) -> str:
    """How a path is called in messages: by its short name, if it has one."""
    known = flags().get(path)
    return known.short if known else path.replace("prior.parameters.", "prior.")


def path_of(name: str) -> str | None:
    """The path that a name means, short or dotted; None if it means nothing.

    Example:
        >>> path_of("prior-weight"), path_of("optimizer.clip"), path_of("task.sides")
        ('prior.weight', 'optimizer.clip', 'task.sides')
    """
    name = name.replace("-", "_")
    if name in short_names():
        return short_names()[name]
    if name in flags():
        return name
    part, _, key = name.partition(".")
    if not key:
        return None
    if part == "prior":  # all else there is a parameter of the prior
        return f"prior.parameters.{key.removeprefix('parameters.')}"
    return name if part == "task" else None


def choices_of_names() -> list[str]:
    """All names that can be written, for "did you mean"."""
    return [*short_names(), *(p for p in flags() if "." in p), *PAIRS]


def to_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping of flat, dotted or nested names → path → value.

    Raises:
        ConfigError: With every name that means nothing.

    Example:
        >>> to_paths({"width": 8, "prior": {"name": "none"}, "task_set": {"memory": 3}})
        {'model.width': 8, 'prior.name': 'none', 'task.memory': 3}
    """
    found: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in _spread(values):
        path = path_of(name)
        if path is None and name in PARTS:
            problems.append(f"{name}: expected `key: value` lines, got {value!r}")
        elif path is None:
            problems.append(f"unknown key {nearest(name, choices_of_names())}")
        else:
            found[path] = value
    if problems:
        raise ConfigError(problems)
    return found


def _spread(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values, those of mappings one by one under dotted names."""
    for name, value in values.items():
        name = name.replace("-", "_")
        if isinstance(value, ModelConfig):
            value = {"name": model_name(value), **asdict(value)}
        elif isinstance(value, (TaskConfig, PriorConfig)):
            value = value.as_dict()
        elif isinstance(value, OptimizerConfig):
            value = asdict(value)
        if name in PAIRS and value is None:
            continue
        if name in PAIRS and isinstance(value, Mapping):
            yield from ((PAIRS[name] + key, each) for key, each in value.items())
        elif name in PARTS and isinstance(value, Mapping):
            if name == "prior":
                value = {**value, **(value.get("parameters") or {})}
                value.pop("parameters", None)
            yield from ((f"{name}.{key}", each) for key, each in value.items())
        else:
            yield name, value


def flat(config: RunConfig) -> dict[str, Any]:
    """Every value of a configuration by its short name, or its dotted one where it has none."""
    return {shown(path): value for path, value in to_paths(config.as_dict()).items()}
