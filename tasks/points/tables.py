"""From arrays of a file to a table of sound clouds in the unit sphere: npz and HDF5 share this."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nacgraph.tasks.data_report import DataError, DataReport
from nacgraph.tasks.points.clouds import normalised, sound_labels, sound_rows
from nacgraph.tasks.splits import Table, same_text


def table_of(
    path: Path, points: np.ndarray, labels: np.ndarray, classes: int | None, found: DataReport
) -> Table:
    """Rows of a file whose clouds and labels are sound, the clouds normalised.

    Args:
        path: The file, for messages.
        points: (N, P, 3), any real type.
        labels: (N,) or (N, 1), any whole type.
        classes: Number of classes; None where the file alone says how many there are.
        found: What is met; rows left out are reported here.

    Raises:
        DataError: If a shape or a type is wrong, so that rows cannot be told apart.
    """
    if points.dtype.kind not in "fiu":
        raise DataError(f"{path}: points: expected numbers, got {points.dtype}")
    if points.ndim != 3 or points.shape[-1] != 3:
        raise DataError(f"{path}: points: expected shape (clouds, points, 3), got {points.shape}")
    if 0 in points.shape:
        raise DataError(
            f"{path}: points: expected at least one cloud and one point in it, got {points.shape}"
        )
    if labels.dtype.kind not in "iu":
        raise DataError(f"{path}: labels: expected whole numbers, got {labels.dtype}")
    if labels.shape not in ((len(points),), (len(points), 1)):
        raise DataError(
            f"{path}: labels: expected {len(points)}, one a cloud, got shape {labels.shape}"
        )
    # A label beyond int64 is beyond all classes too.
    labels = np.minimum(labels.reshape(-1), np.iinfo(np.int64).max).astype(np.int64)
    good = sound_rows(path, points, found)
    good = sound_labels(path, labels, classes, found, good)
    return Table(labels[good], {"points": normalised(points[good])})


def class_names(path: Path, names: list[str]) -> tuple[str, ...]:
    """The names, each of them once.

    Raises:
        DataError: If one is empty or comes twice, or there are none.
    """
    if not names:
        raise DataError(f"{path}: expected class names, got none")
    names = [same_text(name) for name in names]
    for number, name in enumerate(names):
        if not name:
            raise DataError(f"{path}: expected a name for class {number}, got an empty one")
        if name in names[:number]:
            raise DataError(
                f"{path}: expected every class once, got {name!r} for {names.index(name)} "
                f"and for {number}"
            )
    return tuple(names)


def numbered(table: Table) -> tuple[str, ...]:
    """Class names where there are none: "0", "1", … up to the largest label."""
    return tuple(map(str, range(int(table.labels.max(initial=-1)) + 1)))


def beginning(path: Path, length: int = 16) -> bytes:
    """The first bytes of a file."""
    with open(path, "rb") as file:
        return file.read(length)


def shown(head: bytes) -> str:
    """What a file's first bytes look like, for a message."""
    if not head:
        return "an empty file"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page"
    return f"a file that begins with {head!r}"
