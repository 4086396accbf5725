"""The run folder: configuration, metrics, checkpoints, the circuit and the summary.

::

    config.yaml    complete, usable with --config     metrics.csv   one row a logged step
    checkpoints/   the last two and the best          tensorboard/  the same curves
    circuit.npz    signatures, codes, P               summary.json  the result
    frames/        signatures at every validation, to see the circuit form
    data.json      class names, sizes that other data is brought to, where the data is, plugins
    samples.npz    digests of the training samples, so that none is taken for a test
"""

from __future__ import annotations

import csv
import hashlib
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
from nacgraph.utils.arrays import read_arrays
from nacgraph.utils.errors import CheckpointError, ConfigError
from nacgraph.utils.files import remove_drafts, write_atomically

if TYPE_CHECKING:
    from nacgraph.models.transformer import Model
    from nacgraph.tasks import Task

SAMPLES = "samples.npz"
COLUMNS = (
    "step", "seconds", "loss", "task_loss", "prior_loss", "learning_rate", "gradient_norm",
    "mean_degree", "isolated", "length", "samples_per_second", "val_accuracy", "val_loss",
)  # fmt: skip


def read_data_record(folder: Path) -> dict[str, Any]:
    """``data.json`` of a run; empty values where there is none.

    Returns:
        "classes" (names in the order of logits, or None), "data_signature" (what other data is
        brought to, see ``Task.match_sizes``), "plugins" (a list of :class:`PluginFile`),
        "data_path" (absolute, or None).

    Raises:
        CheckpointError: If it is damaged.
    """
    path = folder / "data.json"
    if not path.is_file():
        return {"classes": None, "data_signature": {}, "plugins": [], "data_path": None}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        # Until 0.1 the signature was called "facts".
        classes, signature = found["classes"], found.get("data_signature", found.get("facts"))
        plugins = [PluginFile(Path(p["path"]), p["sha256"]) for p in found.get("plugins", ())]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not the data record of a run ({error!r})") from error
    names = [] if classes is None else classes
    strings = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not strings or not isinstance(signature, dict):
        raise CheckpointError(
            f"{path}: expected names of classes and a data_signature, got {str(found)[:60]}"
        )
    place = found.get("data_path")
    if place is not None and not isinstance(place, str):
        raise CheckpointError(f"{path}: data_path: expected a path, got {place!r:.60}")
    return {
        "classes": classes, "data_signature": signature, "plugins": plugins, "data_path": place
    }  # fmt: skip


def read_samples(folder: Path) -> tuple[np.ndarray, int] | None:
    """Digests of the samples that a run was trained on, ascending, and how many of the test split
    were among them; None for a run that does not tell.

    Raises:
        CheckpointError: If the file is damaged.
    """
    path = folder / SAMPLES
    if not path.is_file():
        return None
    arrays = read_arrays(path)
    try:
        return arrays["train"].astype(np.uint64, casting="equiv"), int(arrays["also_in_test"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: expected digests of samples, got {error!r}") from error


def digests(folder: Path) -> dict[str, str]:
    """File → sha256 of what says how a run's weights are to be read; kept in every checkpoint."""
    files = (folder / name for name in ("config.yaml", "data.json", SAMPLES))
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()}


def check_unedited(folder: Path, state: Mapping[str, Any], allow_edited: bool) -> list[str]:
    """Remarks on files that are not those that a checkpoint was made with.

    Raises:
        CheckpointError: If there are any, unless that is allowed.
    """
    recorded, now = state.get("files") or {}, digests(folder)
    edited = [name for name, digest in recorded.items() if now.get(name) != digest]
    if not edited:
        return []
    text = f"{', '.join(edited)}: not as when the run was made, so its numbers may be others"
    if not allow_edited:
        raise CheckpointError(
            f"{folder}: {text}; put back what was there, or take it as it is with --allow-edited "
            "(in Python: allow_edited=True)"
        )
    return [text]


def read_summary(folder: Path) -> dict[str, Any]:
    """``summary.json`` of a run; empty where there is none, as before its end."""
    try:
        found = json.loads((folder / "summary.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
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
        self.digests = digests(path)  # before anyone can edit them

    def create(self, config: RunConfig, task: Task, origin: Path | None = None) -> None:
        """Make the folder, its configuration, and what is to be known of its data.

        ``origin`` is the run that was trained on that data, if not this one.
        """
        from nacgraph.training.data_of_run import count_seen, sample_digests

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
        record: dict[str, Any] = {
            "classes": classes,
            "data_signature": task.data_signature(),
            "plugins": [{"path": str(p.path), "sha256": p.sha256} for p in plugins],
        }
        if (given := config.task.parameters.get("data")) is not None:
            record["data_path"] = str(Path(str(given)).expanduser().absolute())
        if origin is not None:
            record["data_path"] = read_data_record(origin).get("data_path")
            samples = read_samples(origin)
        elif (train := sample_digests(task, "train")) is not None:
            samples = train, count_seen(task, "test", train)
        else:
            samples = None
        if samples is not None:
            arrays = {"train": samples[0], "also_in_test": np.array(samples[1])}
            write_atomically(self.path / SAMPLES, _packed(arrays))
        text = json.dumps(record, ensure_ascii=False) + "\n"
        write_atomically(self.path / "data.json", text.encode())
        write_atomically(self.path / "config.yaml", dump_config(config).encode())
        self.digests = digests(self.path)

    def open_metrics(self, step: int) -> None:
        """Go on after ``step``: rows beyond it, and a row cut short by a crash, are dropped."""
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import Summary

        frames = self.path / "frames"
        for place in (self.path, self.checkpoints, frames):
            remove_drafts(place)
        for frame in frames.glob("step_*.npz"):  # of steps that are about to be made again
            if frame.stem > step_name(step):
                frame.unlink(missing_ok=True)
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
