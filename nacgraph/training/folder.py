"""The run folder: configuration, metrics, checkpoints, the circuit and the summary.

::

    config.yaml    complete, usable with --config     metrics.csv   one row a logged step
    checkpoints/   the last two and the best          tensorboard/  the same curves
    circuit.npz    signatures, codes, P               summary.json  the result
    frames/        signatures at every validation, to see the circuit form
    data.json      class names, sizes that other data is brought to, plugin files
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nacgraph.models.nac import parts_of
from nacgraph.priors import get_prior
from nacgraph.training.checkpoint import step_name
from nacgraph.training.config import RunConfig, dump_config
from nacgraph.training.plugins import PluginFile, plugins_of
from nacgraph.utils.errors import CheckpointError, ConfigError
from nacgraph.utils.files import write_atomically

if TYPE_CHECKING:
    from nacgraph.models.transformer import Model
    from nacgraph.tasks import Task

COLUMNS = (
    "step", "seconds", "loss", "task_loss", "prior_loss", "learning_rate", "gradient_norm",
    "mean_degree", "isolated", "length", "samples_per_second", "val_accuracy", "val_loss",
)  # fmt: skip


def read_data_record(folder: Path) -> dict[str, Any]:
    """``data.json`` of a run; empty values where there is none.

    Returns:
        "classes" (names in the order of logits, or None), "data_signature" (what other data is
        brought to, see ``Task.match_sizes``), "plugins" (a list of :class:`PluginFile`).

    Raises:
        CheckpointError: If it is damaged.
    """
    path = folder / "data.json"
    if not path.is_file():
        return {"classes": None, "data_signature": {}, "plugins": []}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        # Until 0.1 the signature was called "facts".
        classes, signature = found["classes"], found.get("data_signature", found.get("facts"))
        plugins = [PluginFile(Path(p["path"]), p["sha256"]) for p in found.get("plugins", ())]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not the data record of a run ({error!r})") from error
    names = [] if classes is None else classes
    strings = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not strings or not isinstance(signature, dict):
        raise CheckpointError(
            f"{path}: expected names of classes and a data_signature, got {str(found)[:60]}"
        )
    return {"classes": classes, "data_signature": signature, "plugins": plugins}


def read_summary(folder: Path) -> dict[str, Any]:
    """``summary.json`` of a run; empty where there is none, as before its end."""
    try:
        found = json.loads((folder / "summary.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_metrics(folder: Path) -> dict[str, np.ndarray]:
    """``metrics.csv`` as columns: float64, NaN where nothing was measured; "step" is int64."""
    rows: list[list[str]] = []
    if (path := folder / "metrics.csv").is_file():
        with open(path, newline="", encoding="utf-8") as file:
            # A row that is being written may be short.
            rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS)][1:]
    values = [[float(value or "nan") for value in row] for row in rows]
    table = np.array(values, np.float64).reshape(-1, len(COLUMNS))
    columns = dict(zip(COLUMNS, table.T, strict=True))
    return {**columns, "step": columns["step"].astype(np.int64)}


class RunFolder:
    """Writes a run's files. Only the first process has one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self._board: Any = None

    def create(self, config: RunConfig, task: Task) -> None:
        """Make the folder, its configuration, and what is to be known of its data."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                [f"out: expected a folder that can be made, got {self.path} ({error.strerror})"]
            ) from error
        classes = None if task.classes is None else list(task.classes)
        parts: list[type] = [type(task)]
        with suppress(ValueError):  # weights need no prior, so a pruned run may have lost its own
            parts.append(type(get_prior(config.prior.name, **config.prior.parameters)))
        if config.has_circuit():
            parts += parts_of(config.nac_config())
        plugins = plugins_of(config.plugin, *parts)
        record = {
            "classes": classes,
            "data_signature": task.data_signature(),
            "plugins": [{"path": str(p.path), "sha256": p.sha256} for p in plugins],
        }
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
