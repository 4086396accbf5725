"""Splits as tables in memory, and how rows are held back where the data has no such split."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nacgraph.tasks.data_report import DataReport

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What folders and files of a split may be called. Not "dev" and "eval": they are used for both."""


@dataclass(frozen=True)
class Table:
    """The samples of a split: labels (N) int64, and columns and tags of N entries each.

    Columns are what batches are made of, arrays or lists; tags are words to group and colour by.
    """

    labels: np.ndarray
    columns: Mapping[str, Any]
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> Table:
        """The rows ``index``, in that order."""
        columns = {name: _taken(column, index) for name, column in self.columns.items()}
        tags = {name: _taken(words, index) for name, words in self.tags.items()}
        return Table(self.labels[index], columns, tags)


@dataclass(frozen=True)
class Data:
    """What a reader gives: tables by split ("train", "val", "test", not all of them needed),
    class names in the order of their labels, and one line that says what this is."""

    splits: Mapping[str, Table]
    classes: tuple[str, ...]
    source: str


def carve(labels: np.ndarray, share: float, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of rows: the rest, and ``share`` of each class's rows, both in ascending order.

    A class of few rows gives one, and a single row stays in the rest.
    """
    rng = np.random.default_rng(tuple(seed))
    chosen = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        chosen.append(rows[: min(len(rows) - 1, max(1, round(share * len(rows))))])
    part = np.sort(np.concatenate([np.zeros(0, np.int64), *chosen]))
    rest = np.setdiff1d(np.arange(len(labels)), part)
    return rest, part


def by_split(paths: Iterable[Path], found: DataReport) -> dict[str, Path]:
    """Split → its folder or file, among paths that are named after splits (:data:`SPLIT_NAMES`).

    Two of one split, as ``val`` and ``valid``, are damage: nobody knows which is meant.
    """
    parts: dict[str, Path] = {}
    for path in sorted(paths):
        split = SPLIT_NAMES.get(path.stem.lower() if path.is_file() else path.name.lower())
        if split in parts:
            what = f"expected one {split} split, got {parts[split].name} and {path.name}"
            found.damaged(path.parent, what)
        elif split is not None:
            parts[split] = path
    return parts


def same_text(name: str) -> str:
    """A name in one form (NFC): macOS writes é as two characters, others as one."""
    return unicodedata.normalize("NFC", name)


def words(text: str | Sequence[str]) -> tuple[str, ...]:
    """``"a, b"`` or ``["a", "b"]`` → ("a", "b")."""
    parts = text.split(",") if isinstance(text, str) else text
    return tuple(same_text(str(part).strip()) for part in parts if str(part).strip())


def check_rank(rank: int, world: int) -> None:
    """Raise ValueError unless ``rank`` is one of ``world`` processes."""
    if not 0 <= rank < world:
        raise ValueError(f"rank must be from 0 to world - 1 = {world - 1}, got {rank}")


def _taken(column: Any, index: np.ndarray) -> Any:
    return column[index] if isinstance(column, np.ndarray) else [column[k] for k in index]
