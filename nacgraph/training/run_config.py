"""RunConfig: all that decides a training run, each part owned by its room; and its YAML.

Reading this file needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from nacgraph.models.config import NACConfig, TransformerConfig
from nacgraph.models.ladder import model_config, model_name
from nacgraph.priors.config import PriorConfig
from nacgraph.tasks.config import TASKS, TaskConfig, plain
from nacgraph.utils import yaml12
from nacgraph.utils.errors import ConfigError
from nacgraph.utils.fields import check_fields, option

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
    seed: int = option(0, "decides weights, batches and edge noise", low=0, below=2**63)
    out: str | None = option(None, "run folder; runs/TASK-PRIOR-MODEL-PRESET-sSEED if not given")
    start: str | None = option(None, "run folder whose weights this run begins with: fine-tuning")
    resume: str = option("none", "none, auto (continue the run folder if there is one) or a folder")
    plugin: tuple[str, ...] = option(
        (), "Python files that register priors, tasks or parts of the model; they are run"
    )

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
        for name, make in PARTS.items():
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


PARTS: dict[str, Callable[[Any], Any]] = {
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


# YAML


def dump_config(config: RunConfig) -> str:
    """A complete YAML for ``--config``. It names no folder, so that using it makes a new run."""
    return to_yaml(replace(config, out=None, resume="none"))


def to_yaml(config: RunConfig) -> str:
    """The configuration as YAML."""
    return yaml12.dump(config.as_dict())


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: If the file is missing, is not YAML, or holds no mapping.
    """
    try:
        content = yaml12.load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError([f"{path}: not a readable YAML file ({reason})"]) from error
    if content is None:
        return {}
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise ConfigError([f"{path}: expected `key: value` lines, got {type(content).__name__}"])
    return dict(content)
