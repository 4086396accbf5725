"""What is in a task's data: samples, classes, lengths, files, damage."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from nacgraph.tasks.base import Batch, Task, get_task, parameters
from nacgraph.tasks.data_report import DataReport, LeftOut, printable
from nacgraph.tasks.splits import SPLITS, Data, Table
from nacgraph.tasks.table import TableTask
from nacgraph.utils.errors import nearest

FEW = 20  # up to this many files, and classes, are shown one by one
Progress = Callable[[str, float], None]
Counts = dict[str, Any]


def task_over(
    name: str,
    data: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    cache_dir: str | Path | None = None,
) -> Task:
    """The task of this name over data, with its own defaults rather than those of a preset.

    Args:
        name: Name of the task.
        data: File, folder or archive; the embedded data if not given.
        settings: Further parameters of the task.
        cache_dir: Where archives are unpacked.

    Raises:
        ValueError: If the task has no such parameter, or a value is out of range.
        FileNotFoundError: If there is no such file or folder.
    """
    cls = get_task(name)
    takes, given = parameters(cls), dict(settings or {})
    choices = [key for key in takes if key not in ("data", "cache_dir")]
    for key in given:
        if key not in choices:
            raise ValueError(
                f"task-set: expected one of {', '.join(choices) or 'none'} for task {name}, "
                f"got {nearest(key, choices)}"
            )
    if data is not None:
        if "data" not in takes:
            raise ValueError(f"data: task {name} reads no files")
        if not Path(data).exists():
            raise FileNotFoundError(f"data: no file or folder {data}")
        given["data"] = data
    if cache_dir is not None and "cache_dir" in takes:
        given["cache_dir"] = cache_dir
    try:
        return cls(**given)
    except TypeError as error:  # a value of the wrong kind, such as a word for a number
        raise ValueError(f"task-set: {error}") from error


def inspect_task(
    name: str, task: Task, digests: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """What the data of a task holds and what is damaged in it, as JSON values; unknown is None.

    Splits are those that the data itself has; "carved" names those that training would take
    from "train".

    Args:
        name: Name of the task.
        task: The task over its data, nothing of it read yet.
        digests: Also read the files for their sha256.
        progress: Called with (what is being done, share of it that is done).
    """
    told = progress or (lambda what, share: None)
    path = getattr(task, "data", None)
    told(f"reading {path or 'the embedded data'}", 0.0)
    source, classes, splits, files, damage, left_out = (
        _checked_task(task) if isinstance(task, Checked) else _other_task(task)
    )
    carved = isinstance(task, TableTask) and "train" in splits
    return {
        "task": name,
        "data": None if path is None else str(path),
        "source": source,
        "classes": None if classes is None else list(classes),
        "splits": splits,
        "carved": [name for name in ("val", "test") if carved and name not in splits],
        "files": _files(files, path, digests, told),
        "damage": damage,
        "left_out": [
            {"why": each.why, "folder": each.folder, "names": list(each.names)} for each in left_out
        ],
    }


Reading = tuple[
    str | None, Sequence[str] | None, dict[str, Counts], list[Path], list[str], list[LeftOut]
]


@runtime_checkable
class Checked(Protocol):
    """A task that can collect damage rather than stop at it."""

    data: Path | None

    def check(self) -> tuple[Data | None, DataReport]:
        """What can be read, and a report; see :meth:`TableTask.check`."""

    def lengths(self, table: Table) -> np.ndarray | None:
        """Tokens of every row (N); None where all are equal."""


def _checked_task(task: Checked) -> Reading:
    data, found = task.check()
    files = [task.data] if task.data is not None and task.data.is_file() else []
    files = list(dict.fromkeys([*files, *found.files]))  # an archive comes before what it holds
    if data is None:
        return None, None, {}, files, found.damage, found.left_out
    splits = {}
    for split in (name for name in SPLITS if name in data.splits):
        table = data.splits[split]
        lengths = task.lengths(table) if len(table) else None
        splits[split] = _counts(table.labels, data.classes, lengths)
    return data.source, data.classes, splits, files, found.damage, found.left_out


def _other_task(task: Task) -> Reading:
    """A task that only makes batches: those that are in order are counted.

    A single file is a test split, as for ``nacgraph evaluate --data FILE``.
    """
    path = getattr(task, "data", None)
    single = path is not None and Path(path).is_file()
    splits: dict[str, Counts] = {}
    damage: list[str] = []
    for split in ("test",) if single else ("train", "val", "test"):
        try:
            if split == "train":
                task.prepare()
                task.train_batch(0)  # how many there are cannot be asked
            else:
                splits[split] = _counted(task, split)
        except (ValueError, OSError) as error:
            if str(error) not in damage:
                damage.append(str(error))
    files = [] if path is None else [Path(path)] if single else _within(Path(path))
    return task.describe(), task.classes, splits, files, damage, []


def _counted(task: Task, split: str) -> Counts:
    batches: list[Batch] = list(task.eval_batches(split))
    labels = np.concatenate([batch.labels.numpy() for batch in batches])
    lengths = np.concatenate([batch.mask.sum(1).numpy() for batch in batches])
    classes = task.classes or [str(k) for k in range(task.num_classes)]
    return _counts(labels, classes, lengths)


def _within(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _counts(labels: np.ndarray, classes: Sequence[str], lengths: np.ndarray | None) -> Counts:
    number = np.bincount(labels, minlength=len(classes))
    found: Counts = {
        "samples": len(labels),
        "per_class": dict(zip(classes, number.tolist(), strict=False)),
        "lengths": None,
    }
    if lengths is not None and len(lengths):
        found["lengths"] = {
            "least": int(lengths.min()),
            "median": float(np.median(lengths)),
            "most": int(lengths.max()),
        }
    return found


def _files(files: list[Path], root: Path | None, digests: bool, told: Progress) -> Counts:
    """Every file with its bytes and, if asked for, its sha256, and one digest for all.

    That one is the sha256 of lines ``SHA256  PATH`` as ``sha256sum`` writes them, in the order of
    the paths, which are relative to the folder that holds all of them.
    """
    base = _base(files, root)
    entries = []
    for done, file in enumerate(files):
        entry: dict[str, Any] = {"path": os.path.relpath(file, base), "bytes": None}
        try:
            entry["bytes"] = file.stat().st_size
            entry["sha256"] = _sha256(file) if digests else None
        except OSError as error:  # gone, or not ours to read, since the task read it
            entry["sha256"], entry["problem"] = None, error.strerror
        entries.append(entry)
        if digests:
            told("digests: files", (done + 1) / len(files))
    known = sorted((e["path"], e["sha256"]) for e in entries if e["sha256"])
    total = hashlib.sha256(
        "".join(f"{sha}  {path}\n" for path, sha in known).encode("utf-8", "surrogateescape")
    )
    return {
        "folder": None if base is None else str(base),
        "number": len(entries),
        "bytes": sum(entry["bytes"] or 0 for entry in entries),
        "sha256": total.hexdigest() if known else None,
        "list": entries,
    }


def _base(files: list[Path], root: Path | None) -> Path | None:
    if not files:
        return None
    if root is not None and root.is_dir() and all(root in file.parents for file in files):
        return root
    return Path(os.path.commonpath([file.parent for file in files]))


def _sha256(file: Path) -> str:
    with open(file, "rb") as opened:
        digest = hashlib.sha256()
        while part := opened.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def inspection_text(result: dict[str, Any], every_file: bool = False) -> str:
    """The result of :func:`inspect_task` as lines of text."""
    lines = [("task", result["task"]), ("data", result["data"] or "embedded")]
    if result["source"]:
        lines.append(("found", result["source"]))
    if result["classes"] is not None:
        lines.append(("classes", _some(result["classes"])))
    for split, counts in result["splits"].items():
        lines.append((split, _split(counts)))
    if carved := result["carved"]:
        part = "a tenth of train" + " each" * (len(carved) > 1)
        lines.append(("carved", f"{', '.join(carved)}: {part}, once it is trained on"))
    lines += _file_lines(result["files"], every_file)
    groups = [LeftOut(e["why"], e["folder"], tuple(e["names"])) for e in result["left_out"]]
    shown = groups if every_file else groups[:FEW]
    lines += [("left out", str(group)) for group in shown]
    if rest := groups[len(shown) :]:
        lines.append(("left out", f"{sum(len(g.names) for g in rest):,} more: see --files"))
    lines += [("DAMAGED", text) for text in result["damage"]]
    problems, left = len(result["damage"]), sum(len(group.names) for group in groups)
    verdict = f"{problems} damaged: see above" if problems else "no damage found"
    lines.append(("verdict", verdict + f"; {left:,} left out: see above" * bool(left)))
    return "\n".join(f"{name:<10} {printable(text)}" for name, text in lines)


def _some(names: Sequence[str]) -> str:
    few = ", ".join(names[:FEW]) + (", …" if len(names) > FEW else "")
    return f"{len(names)}: {few}"


def _split(counts: Counts) -> str:
    per_class = counts["per_class"]
    text = f"{counts['samples']:,} samples"
    if 0 < len(per_class) <= FEW:
        text += " (" + ", ".join(f"{name} {n:,}" for name, n in per_class.items()) + ")"
    elif per_class:
        least, most = min(per_class.values()), max(per_class.values())
        text += f" ({least:,} to {most:,} of each of {len(per_class)} classes)"
    if lengths := counts["lengths"]:
        text += f", length {lengths['least']:,} to {lengths['most']:,}"
        text += f", median {lengths['median']:,.0f}"
    return text


def _file_lines(files: Counts, every_file: bool) -> list[tuple[str, str]]:
    if not files["number"]:
        return []
    lines = []
    if every_file or files["number"] <= FEW:
        for entry in files["list"]:
            size = entry.get("problem") or f"{entry['bytes']:,} bytes"
            lines.append(("file", f"{entry['path']}  {size}  {entry['sha256'] or ''}".rstrip()))
    number = f"{files['number']:,} file{'s' * (files['number'] > 1)}"
    digest = f", together sha256 {files['sha256']}" if files["sha256"] else ""
    lines.append(("files", f"{number} in {files['folder']}, {files['bytes']:,} bytes{digest}"))
    return lines
