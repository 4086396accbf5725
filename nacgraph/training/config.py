"""RunConfig: all that decides a training run; presets are other defaults.

It is nested, each part owned by its room, and every field also has a short, flat name, which is
its flag: ``--width 64`` is ``--model.width 64``. Both work on the command line, in YAML and in
Python. Later layers win: defaults, model, preset (and the task's own changes to it), ``--config``
file, flags.

Nothing here imports torch until a task or a plugin is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nacgraph.models.config import NACConfig, TransformerConfig
from nacgraph.models.ladder import (
    CHOICES,
    TRANSFORMERS,
    fields_of,
    model_config,
    model_defaults,
    model_name,
)
from nacgraph.priors.config import PRIORS, PriorConfig
from nacgraph.tasks.config import TASKS, TaskConfig, plain
from nacgraph.utils.errors import ConfigError, did_you_mean, nearest
from nacgraph.utils.fields import check_fields, default_of, expected, option, problem, types_of
from nacgraph.utils.registry import load_plugin

if TYPE_CHECKING:
    from nacgraph.tasks import Task

ModelConfig = NACConfig | TransformerConfig


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW and its schedule; each field says what it is."""

    learning_rate: float = option(1e-3, "peak learning rate of AdamW", above=0)
    signature_rate: float = option(10.0, "factor of the learning rate for signatures", above=0)
    warmup: int = option(50, "steps of linear warm-up; then a cosine down to 1 %", low=0)
    weight_decay: float = option(0.05, "decay of matrices; vectors and descriptors: 0", low=0)
    clip: float = option(1.0, "largest gradient norm; 0: no clipping", low=0)
    ema: float = option(0.0, "decay of a running mean of the weights; 0: none", low=0, below=1)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class RunConfig:
    """One training run.

    The parts may be given as dictionaries, task, prior and model also by name alone. Parameters
    that a task or prior is not given have its own defaults; :func:`make_config` applies presets.

    Raises:
        ConfigError: With all that is wrong.

    Example:
        >>> config = RunConfig(task={"name": "listops", "max_length": 41}, prior="scale_free")
        >>> config.model.modules, config.prior.weight
        (32, 1.0)
    """

    task: TaskConfig = field(default_factory=TaskConfig)
    prior: PriorConfig = field(default_factory=PriorConfig)
    model: ModelConfig = field(default_factory=NACConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    preset: str = option("tiny", "size of model, data and run", choices=("tiny", "small", "lra"))
    seed: int = option(0, "decides weights, batches and edge noise", low=0)
    out: str | None = option(None, "run folder; runs/TASK-PRIOR-MODEL-PRESET-sSEED if not given")
    start: str | None = option(None, "run folder whose weights this run begins with: fine-tuning")
    resume: str = option("none", "none, auto (continue the run folder if there is one) or a folder")
    plugin: tuple[str, ...] = option((), "Python files that register priors or tasks; they run")

    steps: int = option(600, "optimizer steps", low=1)
    batch_size: int = option(32, "samples a step, over all devices together", low=1)
    validate_every: int = option(100, "steps between validations", low=1)
    validate_samples: int = option(0, "samples a validation; 0: all", low=0)
    checkpoint_every: int = option(100, "steps between checkpoints", low=1)
    log_every: int = option(1, "steps between rows of metrics.csv", low=1)

    device: str = option(
        "auto", "auto takes CUDA where there is one", choices=("auto", "cpu", "cuda")
    )
    devices: int = option(1, "processes or GPUs on each node", low=1)
    nodes: int = option(1, "number of nodes", low=1)
    threads: int = option(0, "CPU threads; 0 leaves PyTorch's choice", low=0)
    precision: str = option("32", "numbers of the forward pass", choices=("32", "bf16-mixed"))

    def __post_init__(self) -> None:
        made: dict[str, Any] = {"plugin": tuple(self.plugin)}
        problems: list[str] = []
        for name, make in _PARTS.items():
            try:
                made[name] = make(getattr(self, name))
            except ConfigError as error:
                problems += error.problems
        for name, value in made.items():
            object.__setattr__(self, name, value)
        whole = all(isinstance(n, int) for n in (self.devices, self.nodes, self.batch_size))
        world = self.devices * self.nodes
        if whole and world > 1 and self.batch_size % world:
            problems.append(
                f"batch_size: expected a multiple of the {world} devices, got {self.batch_size}"
            )
        check_fields(self, *problems)

    @property
    def model_name(self) -> str:
        """What the model is called: nac, perceiver_io, linformer …"""
        return model_name(self.model)

    @property
    def modules(self) -> int:
        """Processor modules U; 0 where the model has none."""
        return self.model.modules if isinstance(self.model, NACConfig) else 0

    def with_model(self, **changed: Any) -> RunConfig:
        """The same run of a model with some fields changed."""
        return replace(self, model=replace(self.model, **changed))

    def labels(self) -> dict[str, Any]:
        """What a run is told by: names of task, prior and model, preset, seed."""
        return {
            "task": self.task.name,
            "prior": self.prior.name,
            "model": self.model_name,
            "preset": self.preset,
            "seed": self.seed,
        }

    def flat(self) -> dict[str, Any]:
        """Every value by its short name, or its dotted one where it has none."""
        return {shown(path): value for path, value in to_paths(self.as_dict()).items()}

    def has_circuit(self) -> bool:
        """Whether the model is one of modules and links, not of tokens alone."""
        return isinstance(self.model, NACConfig)

    def links_all(self) -> bool:
        """Whether the circuit is the complete graph, as Perceiver IO's is."""
        return isinstance(self.model, NACConfig) and self.model.wiring == "complete"

    def conditioned_on(self) -> str:
        """``condition`` with "auto" decided: by the task, where that has something to offer."""
        if not isinstance(self.model, NACConfig):  # all that the task has are tokens
            return "none"
        if self.model.condition != "auto":
            return self.model.condition
        return "task" if TASKS.get(self.task.name).conditional else "none"

    def nac_config(self) -> NACConfig:
        """The circuit's configuration, with ``condition`` decided.

        Raises:
            ValueError: If the model has no circuit.
        """
        if not isinstance(self.model, NACConfig):
            raise ValueError(
                f"model: expected one with a circuit, got {self.model_name}, which has none"
            )
        return replace(self.model, condition=self.conditioned_on())

    def transformer_config(self) -> TransformerConfig:
        """The configuration of a model without a circuit.

        Raises:
            ValueError: If it has one.
        """
        if not isinstance(self.model, TransformerConfig):
            raise ValueError(f"model: expected one without a circuit, got {self.model_name}")
        return self.model

    def as_dict(self) -> dict[str, Any]:
        """The nested dictionary that YAML shows."""
        return {
            **{f.name: plain(getattr(self, f.name)) for f in fields(self)},
            "task": self.task.as_dict(),
            "prior": self.prior.as_dict(),
            "model": {"name": self.model_name, **asdict(self.model)},
            "optimizer": asdict(self.optimizer),
        }


def _model_of(value: Any) -> ModelConfig:
    if isinstance(value, ModelConfig):
        return value
    return model_config(value) if isinstance(value, str) else model_config(**value)


_PARTS: dict[str, Callable[[Any], Any]] = {
    "task": TaskConfig.of,
    "prior": PriorConfig.of,
    "model": _model_of,
    "optimizer": lambda value: (
        value if isinstance(value, OptimizerConfig) else OptimizerConfig(**value)
    ),
}

# A resumed run may change these; all else shapes its numbers.
FREE_ON_RESUME = ("out", "resume", "device", "devices", "threads", "plugin", "task.cache_dir")

PRESETS: dict[str, dict[str, Any]] = {
    # The field defaults. So small a model gains little from a second thread, and on a busy
    # machine two that wait for each other take several times as long.
    "tiny": {"threads": 1},
    "small": {
        "modules": 48, "width": 96, "code_dim": 96, "signature_dim": 64, "readouts": 8,
        "head_dim": 24, "read_head_dim": 48, "rounds": 4, "unique_layers": 2,
        "steps": 2000, "warmup": 100, "validate_every": 200, "checkpoint_every": 200,
    },
    "lra": {
        "modules": 48, "width": 96, "code_dim": 96, "signature_dim": 64, "readouts": 8,
        "head_dim": 24, "read_head_dim": 48, "rounds": 8, "unique_layers": 2,
        "steps": 4000, "warmup": 100, "validate_every": 250, "validate_samples": 500,
        "checkpoint_every": 50,
    },
}  # fmt: skip


# Names


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
        if path is None:
            problems.append(f"unknown key {nearest(name, choices_of_names())}")
        elif path in _PARTS:
            problems.append(f"{name}: expected `key: value` lines, got {value!r}")
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
        elif name in _PARTS and isinstance(value, Mapping):
            if name == "prior":
                value = {**value, **(value.get("parameters") or {})}
                value.pop("parameters", None)
            yield from ((f"{name}.{key}", each) for key, each in value.items())
        else:
            yield name, value


def value_at(config: RunConfig, path: str) -> Any:
    """The value at a path; None where the configuration has none."""
    return to_paths(config.as_dict()).get(path)


# Layers


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
    for part in names:  # parameters that a file has for another task, prior or model
        if from_file.get(f"{part}.name", names[part]) != names[part]:
            own = [*model_defaults("nac"), "linformer_tokens"] if part == "model" else None
            for path in [p for p in from_file if p.startswith(f"{part}.")]:
                key = path.rpartition(".")[2]
                if key in own if own else path not in flags() or part == "task":
                    del from_file[path]
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
            found |= to_paths({name: value})
        except ConfigError as error:
            problems += [source + text for text in error.problems]
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
    try:
        if isinstance(value, Text):
            value = _parser().parse_args([f"--{flag.path}={value}"])[flag.path]
        else:
            value = _parser().parse_object(_nested(flag.path, plain(value)))[flag.path]
    except Exception:  # jsonargparse raises several types; the value is what is wrong
        plainly = str(value) if isinstance(value, str) else value
        hint = did_you_mean(value, flag.about["choices"]) if flag.about.get("choices") else ""
        return (
            _WRONG,
            f"{flag.short}: expected {expected(flag.kind, flag.about)}, got {plainly!r}{hint}",
        )
    text = problem(flag.short, value, flag.kind, flag.about)
    return (_WRONG, text) if text else (value, None)


def _nested(path: str, value: Any) -> dict[str, Any]:
    part, _, key = path.rpartition(".")
    return {part: {key: value}} if part else {key: value}


@cache
def _parser() -> Any:
    """The jsonargparse parser of all fields, which turns text and YAML into their types."""
    from jsonargparse import ArgumentParser

    made = ArgumentParser(exit_on_error=False)
    for flag in flags().values():
        if flag.kind is not Any:
            made.add_argument(f"--{flag.path}", type=flag.kind, default=flag.default)
    return made


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


# YAML


def dump_config(config: RunConfig) -> str:
    """A complete YAML for ``--config``. It names no folder, so that using it makes a new run."""
    return to_yaml(replace(config, out=None, resume="none"))


def to_yaml(config: RunConfig) -> str:
    """The configuration as YAML."""
    text = yaml.dump(
        config.as_dict(),
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=False,
        allow_unicode=True,
        width=96,
    )
    return str(text)


class _Dumper(yaml.SafeDumper):
    """Mappings line by line, lists within a line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _in_a_line(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


_Dumper.add_representer(list, _in_a_line)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: If the file is missing, is not YAML, or holds no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([f"{path}: not a readable YAML file ({error})"]) from error
    if content is None:
        return {}
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise ConfigError([f"{path}: expected `key: value` lines, got {type(content).__name__}"])
    return dict(content)
