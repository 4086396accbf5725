"""RunConfig: all that decides a training run, as one flat dataclass; presets are other defaults.

Every field is a flag of ``nacgraph train`` and a key of its YAML. Later layers win:
field default, model, preset, ``--config`` file, flag.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from nacgraph.utils.errors import ConfigError

if TYPE_CHECKING:
    from nacgraph.models.nac import NACConfig
    from nacgraph.models.transformer import TransformerConfig

Curriculum = tuple[tuple[int, int], ...]
Backend = Literal["auto", "fused", "scatter", "dense"]
Kernel = Literal["concrete", "hard", "expected", "threshold"]


def option(default: Any, help: str, low: float | None = None, above: float | None = None) -> Any:
    """A dataclass field with its help and its range (``low`` included, ``above`` not)."""
    return field(default=default, metadata={"help": help, "low": low, "above": above})


@dataclass(frozen=True)
class RunConfig:
    """One training run. ``None`` in a field of the model means: as the model's name says."""

    task: str = option("listops", "what to learn; `nacgraph.tasks` or a plugin's")
    prior: str = option("ring_of_cliques", "graph prior; see `nacgraph prior list`")
    model: str = option("nac", "nac, perceiver_io or one between; transformer, linformer")
    preset: Literal["tiny", "small", "lra"] = option("tiny", "size of model, data and run")
    task_set: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "parameters of the task, KEY=VALUE …"}
    )
    data: str | None = option(None, "real data files; the task's own data if not given")
    cache_dir: str | None = option(None, "where generated data is kept; a user cache folder")
    seed: int = option(0, "decides weights, batches and edge noise", low=0)
    out: str | None = option(None, "run folder; runs/TASK-PRIOR-MODEL-PRESET-sSEED if not given")
    start: str | None = option(None, "run folder whose weights this run begins with: fine-tuning")
    resume: str = option("none", "none, auto (continue the run folder if there is one) or a folder")
    plugin: tuple[str, ...] = option((), "Python files that register priors or tasks; they run")

    device: Literal["auto", "cpu", "cuda"] = option("auto", "auto takes CUDA where there is one")
    devices: int = option(1, "processes or GPUs on each node", low=1)
    nodes: int = option(1, "number of nodes", low=1)
    threads: int = option(0, "CPU threads; 0 leaves PyTorch's choice", low=0)
    precision: Literal["32", "bf16-mixed"] = option("32", "numbers of the forward pass")

    prior_weight: float = option(1.0, "weight of the prior's loss", low=0)
    prior_set: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "parameters of the prior, KEY=VALUE …"}
    )
    prior_loss: Literal["mse", "kl"] = option("mse", "distance between P and the prior")
    matching: Literal["rows", "iterated", "graph"] = option("iterated", "how modules are matched")
    match_every: int = option(10, "steps between matchings", low=1)

    modules: int = option(32, "processor modules U", low=1)
    readouts: int = option(4, "read-out modules O", low=1)
    width: int = option(64, "state width D", low=2)
    code_dim: int = option(64, "code width K", low=2)
    signature_dim: int = option(32, "signature width S", low=1)
    heads: int = option(4, "heads between modules", low=1)
    head_dim: int = option(16, "width of each of them", low=1)
    read_heads: int = option(2, "heads of the read-in", low=1)
    read_head_dim: int = option(32, "width of each of them", low=1)
    rounds: int = option(4, "propagator rounds L", low=1)
    unique_layers: int = option(0, "propagators that serve the rounds in turn; 0: one each", low=0)
    read_every: int = option(1, "read the tokens again before every k-th round; 0: once", low=0)
    ffn_factor: int = option(4, "width factor of the feed-forward blocks", low=1)
    linformer_tokens: int = option(128, "length to which linformer projects keys, values", low=1)
    bandwidth: float | None = option(None, "kernel bandwidth; 1/ln 20 if not given", above=0)
    temperature: float = option(0.5, "temperature of the sampled edges", above=0)
    min_weight: float = option(0.01, "an edge lighter than this is none", low=0)
    kernel: Kernel | None = option(None, "how edges are sampled while training")
    eval_kernel: Kernel | None = option(None, "how edges are sampled while evaluating")
    graphs: Literal["shared", "per_sample"] = option("shared", "one sampled graph for the batch?")
    backend: Backend = option("auto", "execution of the attention")
    modulation: bool | None = option(None, "let codes modulate the layers?")
    wiring: Literal["learned", "frozen", "complete"] | None = option(None, "what links modules")
    signature_start: Literal["random", "prior"] | None = option(None, "where signatures start")
    condition: Literal["auto", "none", "task", "inputs"] = option(
        "auto", "what makes each sample's circuit: nothing, the task's condition, its own tokens"
    )

    batch_size: int = option(32, "samples a step, over all devices together", low=1)
    steps: int = option(600, "optimizer steps", low=1)
    learning_rate: float = option(1e-3, "peak learning rate of AdamW", above=0)
    signature_rate: float = option(10.0, "factor of the learning rate for signatures", above=0)
    warmup: int = option(50, "steps of linear warm-up; then a cosine down to 1 %", low=0)
    weight_decay: float = option(0.05, "decay of matrices; vectors and descriptors: 0", low=0)
    clip: float = option(1.0, "largest gradient norm; 0: no clipping", low=0)
    ema: float = option(0.0, "decay of a running mean of the weights, kept; 0: none", low=0)
    validate_every: int = option(100, "steps between validations", low=1)
    validate_samples: int = option(0, "samples a validation; 0: all", low=0)
    checkpoint_every: int = option(100, "steps between checkpoints", low=1)
    log_every: int = option(1, "steps between rows of metrics.csv", low=1)

    curriculum: Curriculum = option((), "LENGTH:STEP,…: no longer than LENGTH until STEP")
    min_length: int = option(3, "generated sequences are longer than this", low=0)
    max_length: int = option(41, "generated sequences are shorter than this", low=2)
    train_size: int = option(20000, "generated training samples", low=1)
    val_size: int = option(2000, "generated validation samples", low=1)
    test_size: int = option(2000, "generated test samples", low=1)
    stem_layers: int = option(1, "local residual blocks over the embedded symbols", low=0)
    window: int = option(9, "symbols that such a block sees (odd)", low=1)

    def problems(self) -> list[str]:
        """What is wrong with the values: every range, each with expected and got."""
        found = []
        for f in fields(self):
            value, low, above = getattr(self, f.name), *map(f.metadata.get, ("low", "above"))
            if isinstance(value, float) and not math.isfinite(value):
                found.append(f"{f.name}: expected a finite number, got {value}")
            elif value is not None and low is not None and not value >= low:
                found.append(f"{f.name}: expected at least {low}, got {value}")
            elif value is not None and above is not None and not value > above:
                found.append(f"{f.name}: expected more than {above}, got {value}")
        if self.window % 2 == 0:
            found.append(f"window: expected an odd number, got {self.window}")
        if self.max_length <= self.min_length:
            found.append(
                f"max_length: expected >= min_length {self.min_length}, got {self.max_length}"
            )
        if not self.ema < 1:
            found.append(f"ema: expected less than 1, got {self.ema}")
        world = self.devices * self.nodes
        if world > 1 and self.batch_size % world:
            found.append(
                f"batch_size: expected a multiple of the {world} devices, got {self.batch_size}"
            )
        untils = [until for _, until in self.curriculum]
        if untils != sorted(set(untils)) or any(min(stage) < 1 for stage in self.curriculum):
            found.append(
                "curriculum: expected positive LENGTH:STEP pairs, STEP rising, got "
                f"{self.curriculum}"
            )
        return found

    def has_circuit(self) -> bool:
        """Whether the model is one of modules and links, not of tokens alone."""
        from nacgraph.models.ladder import TRANSFORMERS

        return self.model not in TRANSFORMERS

    def links_all(self) -> bool:
        """Whether the circuit is the complete graph, as Perceiver IO's is."""
        from nacgraph.models.ladder import model_fields

        return (self.wiring or model_fields(self.model).get("wiring")) == "complete"

    def conditioned_on(self) -> str:
        """``condition`` with "auto" decided: by the task, where that has something to offer."""
        if self.condition != "auto":
            return self.condition
        if not self.has_circuit():  # there is none to be made: all that the task has are tokens
            return "none"
        from nacgraph.tasks import get_task

        return "task" if get_task(self.task).conditional else "none"

    def nac_config(self) -> NACConfig:
        """The engine's configuration: this run's sizes over what the model's name says."""
        from nacgraph.models.ladder import model_fields
        from nacgraph.models.nac import NACConfig

        known = {f.name for f in fields(NACConfig)}
        ours = {ENGINE_NAME.get(k, k): v for k, v in asdict(self).items() if v is not None}
        ours["condition"] = self.conditioned_on()
        return NACConfig(**{**model_fields(self.model), **{k: ours[k] for k in ours if k in known}})

    def transformer_config(self) -> TransformerConfig:
        """The sizes of a model without a circuit.

        Raises:
            ValueError: If a circuit is asked for by ``condition``.
        """
        from nacgraph.models.transformer import TransformerConfig

        if self.conditioned_on() != "none":
            raise ValueError(
                f"condition: expected auto or none for model {self.model}, which has no circuit, "
                f"got {self.condition!r}"
            )
        return TransformerConfig(
            self.width,
            self.heads,
            self.head_dim,
            self.rounds,
            self.unique_layers,
            self.ffn_factor,
            self.linformer_tokens if self.model == "linformer" else 0,
        )


ENGINE_NAME = {"kernel": "mode", "eval_kernel": "eval_mode"}
# A resumed run may change these; all else shapes its numbers.
FREE_ON_RESUME = ("out", "resume", "device", "devices", "threads", "plugin", "cache_dir")

PRESETS: dict[str, dict[str, Any]] = {
    # The field defaults. So small a model gains little from a second thread, and on a busy
    # machine two that wait for each other take several times as long.
    "tiny": {"threads": 1},
    "small": {
        "modules": 48, "width": 96, "code_dim": 96, "signature_dim": 64, "readouts": 8,
        "head_dim": 24, "read_head_dim": 48, "rounds": 4, "unique_layers": 2, "stem_layers": 2,
        "min_length": 20, "max_length": 201, "train_size": 50000, "val_size": 2000,
        "test_size": 2000, "steps": 2000, "warmup": 100, "validate_every": 200,
        "checkpoint_every": 200, "curriculum": ((30, 200), (60, 500), (120, 900)),
    },
    "lra": {
        "modules": 48, "width": 96, "code_dim": 96, "signature_dim": 64, "readouts": 8,
        "head_dim": 24, "read_head_dim": 48, "rounds": 8, "unique_layers": 2, "stem_layers": 2,
        "min_length": 500, "max_length": 2000, "train_size": 96000, "val_size": 2000,
        "test_size": 2000, "steps": 4000, "warmup": 100, "validate_every": 250,
        "validate_samples": 500, "checkpoint_every": 50,
        "curriculum": ((30, 300), (60, 600), (120, 900), (250, 1150), (500, 1400)),
    },
}  # fmt: skip


def model_defaults(model: str) -> dict[str, Any]:
    """The fields of RunConfig that a model's name sets, apart from those left to ``None``."""
    from nacgraph.models.ladder import TRANSFORMERS, model_fields

    if model in TRANSFORMERS:
        return {}
    left_to_model = {f.name for f in fields(RunConfig) if f.default is None}
    names = {f.name for f in fields(RunConfig)} - left_to_model
    return {k: v for k, v in model_fields(model).items() if k in names}


def dump_config(config: RunConfig) -> str:
    """A complete YAML for ``--config``. It names no folder, so that using it makes a new run."""
    plain = asdict(replace(config, out=None, resume="none"))
    plain["curriculum"] = [list(stage) for stage in config.curriculum]
    plain["plugin"] = list(config.plugin)
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, allow_unicode=True)


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
