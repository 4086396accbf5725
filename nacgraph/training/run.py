"""The run folder: configuration, metrics, checkpoints, the circuit and the summary.

::

    config.yaml    complete, usable with --config     metrics.csv   one row a logged step
    checkpoints/   the last two and the best          tensorboard/  the same curves
    circuit.npz    signatures, codes, P               summary.json  the result
    frames/        signatures at every validation, to see the circuit form
    data.json      names of the classes, sizes that other data is brought to
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_origin

import numpy as np

from nacgraph.models.config import NACConfig
from nacgraph.training.checkpoint import Checkpoint, best_or_newest, step_name
from nacgraph.training.config import RunConfig, dump_config, stored_config
from nacgraph.training.flags import TASK_FLAGS
from nacgraph.training.run_config import read_yaml
from nacgraph.utils.errors import CheckpointError, ConfigError, nearest
from nacgraph.utils.files import write_atomically

if TYPE_CHECKING:
    from torch import Tensor

    from nacgraph.models.nac import NAC
    from nacgraph.models.transformer import Model
    from nacgraph.tasks import Task

COLUMNS = (
    "step", "seconds", "loss", "task_loss", "prior_loss", "learning_rate", "gradient_norm",
    "mean_degree", "isolated", "length", "samples_per_second", "val_accuracy", "val_loss",
)  # fmt: skip


def read_config(folder: Path) -> RunConfig:
    """The configuration of a run folder. No plugin that it names is run.

    Raises:
        ConfigError: If this is no run folder, or its configuration is not one of ours.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        raise ConfigError([f"{folder}: expected a run folder with a config.yaml, got none there"])
    try:
        return stored_config(read_yaml(path))
    except ConfigError as error:
        raise ConfigError([f"{path}: {text}" for text in error.problems]) from error


def build_task(config: RunConfig, **changed: Any) -> Task:
    """The task of a configuration; ``changed`` replaces some of its parameters.

    Raises:
        ValueError: If there is no such task, or it has no such parameter, or a value will not do.
    """
    from nacgraph.tasks import get_task, parameters

    cls = get_task(config.task.name)
    known, declared = parameters(cls), cls.parameters()
    of_the_run = {
        "seed": config.seed, "batch_size": config.batch_size, "condition": config.conditioned_on()
    }  # fmt: skip
    given = {**config.task.parameters, **changed}
    # Names that every task could be given until 0.1, and that a caller says of any data.
    optional = (*TASK_FLAGS, *of_the_run, "whole_is_test")
    given = {k: v for k, v in given.items() if k in known or k not in optional}
    if strange := [name for name in given if name not in known]:
        raise ValueError(
            f"task.{strange[0]}: expected one of {', '.join(declared) or 'none'} for task "
            f"{config.task.name}, got {nearest(strange[0], declared)}"
        )
    if wrong := cls.problems({k: v for k, v in given.items() if k in declared}):
        raise ConfigError(wrong)
    for name, value in given.items():  # YAML has no tuples
        if name in declared and get_origin(declared[name].kind) is tuple:
            given[name] = tuple(value)
    return cls(**{**{k: v for k, v in of_the_run.items() if k in known}, **given})


def build_target(config: RunConfig) -> Tensor | None:
    """The prior's link probabilities for this many modules, or None without a prior."""
    from nacgraph.priors import get_prior

    prior = get_prior(config.prior.name, **config.prior.parameters)
    if prior.is_none or not isinstance(config.model, NACConfig):
        return None
    return prior.edge_probabilities(config.model.modules)


def build_model(config: RunConfig, task: Task, target: Tensor | None) -> Model:
    """The untrained model of a configuration; equal seeds make equal weights."""
    from nacgraph.models.transformer import Transformer

    model: Model
    if config.has_circuit():
        model = build_nac(config, task, target)
    else:
        sizes = config.transformer_config()
        tokenizer = task.tokenizer(sizes.width, seed=config.seed)
        most = task.max_tokens(tokenizer)
        model = Transformer(sizes, tokenizer, task.num_classes, most, config.seed)
    model.classes = task.classes
    return model


def without_start(config: RunConfig) -> RunConfig:
    """The same, but signatures that begin anywhere: where weights are loaded over them."""
    return config.with_model(signature_start="random") if config.has_circuit() else config


def build_nac(config: RunConfig, task: Task, target: Tensor | None) -> NAC:
    """The untrained circuit of a configuration, without names of classes."""
    from nacgraph.models.nac import NAC

    engine = config.nac_config()
    tokenizer = task.tokenizer(engine.width, seed=config.seed)
    conditioner = None
    if engine.condition == "task":
        conditioner = task.conditioner(engine.width, seed=config.seed)
        if conditioner is None:
            raise ValueError(
                f"condition: task {config.task.name} has no conditioning tokens, so expected "
                "none or inputs, got task"
            )
    return NAC(engine, tokenizer, task.num_classes, target, config.seed, conditioner)


def require_circuit(config: RunConfig, folder: Path) -> None:
    """Raise ValueError if the model of this run has none."""
    if not config.has_circuit():
        raise ValueError(f"{folder}: a run of model {config.model_name} has no circuit")


@dataclass(frozen=True)
class Run:
    """A run folder that was read: the trained model, its task and its configuration.

    Attributes:
        path: The run folder.
        model: The model with its best weights, in evaluation mode.
        task: The task, over the run's data or other data.
        config: The configuration.
        checkpoint: Where the weights are from.
        notes: Remarks on damaged files.
    """

    path: Path
    model: Model
    task: Task
    config: RunConfig
    checkpoint: Checkpoint
    notes: list[str]

    @property
    def circuit(self) -> NAC:
        """The model as one with a circuit; a ValueError if it has none."""
        require_circuit(self.config, self.path)
        return cast("NAC", self.model)


def load_circuit(folder: Path, **task_arguments: Any) -> Run:
    """As :func:`load_run`; a ValueError, before anything is read, if the run has no circuit."""
    require_circuit(read_config(folder), folder)
    return load_run(folder, **task_arguments)


def load_run(folder: Path, **task_arguments: Any) -> Run:
    """A trained model (its best weights), its task and configuration, from a run folder.

    Nothing in the folder is run as code. ``task_arguments`` replace those of the run, as
    ``data="basic_test.tsv"`` does. Other data is a test split as a whole, unless it has one of its
    own; its classes must be among those of the run.

    Raises:
        ConfigError: If this is no run folder.
        CheckpointError: If it holds no valid checkpoint.
        ValueError: If data and run do not fit.
    """
    config = read_config(folder)
    if task_arguments.get("data") not in (None, config.task.parameters.get("data")):
        task_arguments["whole_is_test"] = True
    checkpoint, skipped = best_or_newest(folder / "checkpoints")
    if checkpoint is None:
        raise CheckpointError(f"{folder}: no valid checkpoint; " + "; ".join(skipped))
    try:
        task = build_task(config, **task_arguments)
    except ValueError as error:
        hint = f"; the run used --plugin {' '.join(config.plugin)}" if config.plugin else ""
        raise ValueError(f"{error}{hint}") from error
    known = read_data_record(folder)
    task.match_sizes(known["data_signature"])
    if known["classes"] is not None:
        task.remap_classes(known["classes"])
    # The checkpoint holds the signatures, so the prior that they may have started from (it could
    # be a plugin's) is not needed again.
    model = build_model(without_start(config), task, None)
    load_weights(model, checkpoint)
    return Run(folder, model.eval(), task, config, checkpoint, skipped)


def read_data_record(folder: Path) -> dict[str, Any]:
    """``data.json`` of a run: "classes" in the order of logits, "data_signature" of the task."""
    path = folder / "data.json"
    if not path.is_file():
        return {"classes": None, "data_signature": {}}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        # Until 0.1 the signature was called "facts".
        classes, signature = found["classes"], found.get("data_signature", found.get("facts"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not the data record of a run ({error!r})") from error
    names = [] if classes is None else classes
    strings = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not strings or not isinstance(signature, dict):
        raise CheckpointError(
            f"{path}: expected names of classes and a data_signature, got {str(found)[:60]}"
        )
    return {"classes": classes, "data_signature": signature}


def load_weights(model: Model, checkpoint: Checkpoint) -> None:
    """Put the checkpoint's weights into ``model``; both must have the same parameters."""
    try:
        model.load_state_dict(checkpoint.part("model"))
    except RuntimeError as error:
        raise CheckpointError(f"{checkpoint.path}: weights of another model ({error})") from error


class RunFolder:
    """Writes a run's files. Only the first process has one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self._board: Any = None

    def create(self, config: RunConfig, task: Task) -> None:
        """Make the folder, its configuration, and what is to be known of its data."""
        self.path.mkdir(parents=True, exist_ok=True)
        classes = None if task.classes is None else list(task.classes)
        record = {"classes": classes, "data_signature": task.data_signature()}
        text = json.dumps(record, ensure_ascii=False) + "\n"
        write_atomically(self.path / "data.json", text.encode())
        write_atomically(self.path / "config.yaml", dump_config(config).encode())

    def open_metrics(self, step: int) -> None:
        """Go on after ``step``: rows beyond it, and a row cut short by a crash, are dropped."""
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import Summary

        path = self.path / "metrics.csv"
        rows = []
        if path.is_file():
            with open(path, newline="", encoding="utf-8") as file:
                rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS)][1:]
        kept = [row for row in rows if row[0].isdigit() and int(row[0]) <= step]
        text = io.StringIO()
        csv.writer(text).writerows([COLUMNS, *kept])
        write_atomically(path, text.getvalue().encode())
        self._summary, self._point = Summary, Summary.Value
        self._board = SummaryWriter(str(self.path / "tensorboard"), purge_step=step + 1)

    def log(self, row: Mapping[str, float | None]) -> None:
        """Append one row; what is None stays empty."""
        values = [row.get(name) for name in COLUMNS]
        with open(self.path / "metrics.csv", "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(["" if v is None else _short(v) for v in values])
        curves = zip(COLUMNS[2:], values[2:], strict=True)
        # One event with all values: an event for each took most of the time of logging.
        shown = [self._point(tag=n, simple_value=v) for n, v in curves if v is not None]
        self._board.file_writer.add_summary(self._summary(value=shown), int(row["step"] or 0))

    def save_circuit(self, arrays: Mapping[str, np.ndarray]) -> None:
        """``circuit.npz``: plain arrays, readable with ``allow_pickle=False``."""
        write_atomically(self.path / "circuit.npz", _packed(arrays))

    def save_frame(self, step: int, model: Model) -> None:
        """``frames/step_NNNNNNNN.npz``: signatures after this step, if all samples share them."""
        parameters = {n.removeprefix("generator."): p for n, p in model.named_parameters()}
        names = ("processor_signatures", "readout_signatures")
        if not all(name in parameters and parameters[name].requires_grad for name in names):
            return
        arrays = {name: parameters[name].detach().float().cpu().numpy() for name in names}
        frames = self.path / "frames"
        frames.mkdir(exist_ok=True)
        write_atomically(frames / f"{step_name(step)}.npz", _packed(arrays))

    def save_summary(self, summary: Mapping[str, Any]) -> None:
        """``summary.json``; what is not known is null."""
        text = json.dumps(summary, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        write_atomically(self.path / "summary.json", text.encode())

    def close(self) -> None:
        """Flush and close the TensorBoard file."""
        if self._board is not None:
            self._board.close()


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    data = io.BytesIO()
    np.savez_compressed(data, **dict(arrays))
    return data.getvalue()


def _short(value: float) -> str:
    # Nine digits bring any single-precision number back exactly.
    return str(value) if isinstance(value, int) else f"{value:.9g}"
