"""Point clouds in an npz file: ``points`` (N, P, 3), ``labels`` (N), perhaps ``classes``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nacgraph.tasks.data_report import DataError, DataReport
from nacgraph.tasks.points.tables import beginning, class_names, numbered, shown, table_of
from nacgraph.tasks.splits import Data

ARRAYS = ("points", "labels", "classes")
MAGIC = b"PK"  # an npz file is a zip archive


def read_npz(path: Path, found: DataReport) -> Data:
    """One table, "train"; other splits are carved from it.

    Raises:
        DataError: If the file is damaged as a whole, or lacks an array. Nothing in it is run.
    """
    arrays = _arrays(found.read(path), found)
    for name in ("points", "labels"):
        if name not in arrays:
            held = ", ".join(sorted(arrays)) or "none"
            raise DataError(f"{path}: expected an array {name}, got {held}")
    names = _names(path, arrays["classes"]) if "classes" in arrays else None
    count = None if names is None else len(names)
    table = table_of(path, arrays["points"], arrays["labels"], count, found)
    classes = names or numbered(table)
    return Data({"train": table}, classes, f"point clouds from {path.name}")


def _arrays(path: Path, found: DataReport) -> dict[str, np.ndarray]:
    head = beginning(path)
    if not head.startswith(MAGIC):
        raise DataError(f"{path}: expected an npz file, got {shown(head)}")
    arrays = {}
    name = "the file"
    try:
        with np.load(path, allow_pickle=False) as file:
            for name in ARRAYS:
                if name in file.files:
                    arrays[name] = file[name]
            for name in file.files:
                if name not in ARRAYS:
                    found.skip(name, f"arrays of {path.name} that are not read")
    except Exception as error:  # a broken archive may raise anything
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path}: {name}: expected a plain array, got pickled objects, which could run code"
            ) from error
        raise DataError(
            f"{path}: {name}: expected a readable array, got damage ({error})"
        ) from error
    return arrays


def _names(path: Path, classes: np.ndarray) -> tuple[str, ...]:
    if classes.ndim != 1 or classes.dtype.kind not in "US":
        raise DataError(
            f"{path}: classes: expected a list of names, got {classes.dtype} of shape "
            f"{classes.shape}"
        )
    if classes.dtype.kind == "S":
        classes = np.char.decode(classes, "utf-8", "replace")
    return class_names(path, [str(name).strip() for name in classes])
