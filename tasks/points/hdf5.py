"""ModelNet as HDF5: ``modelnet40_ply_hdf5_2048/``, 2,048 points sampled from every mesh.

::

    ply_data_train0.h5 …, ply_data_test0.h5 …   data (N, 2048, 3), label (N, 1)
    train_files.txt, test_files.txt             their names, with folders that need not exist
    shape_names.txt                             a class name a line

h5py is optional: it is imported when the first such file is read.
"""

from __future__ import annotations

import importlib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from nacgraph.tasks.data_report import DataError, DataReport, text_lines
from nacgraph.tasks.points.tables import beginning, class_names, numbered, shown, table_of
from nacgraph.tasks.splits import Data, Table

MAGIC = b"\x89HDF\r\n\x1a\n"
LISTS = {"train": "train_files.txt", "test": "test_files.txt"}
NAMES = "shape_names.txt"


def is_layout(folder: Path) -> bool:
    """Whether this is such a folder, or what is left of one."""
    return any((folder / name).is_file() for name in (*LISTS.values(), NAMES)) or any(
        folder.glob("ply_data_*.h5")
    )


def read_folder(folder: Path, found: DataReport) -> Data:
    """The splits "train" and "test", as far as the folder has them.

    Raises:
        FileNotFoundError: If a list, a listed file or ``shape_names.txt`` is missing.
        DataError: If the class names are damaged, or no split is there.
    """
    classes = _class_names(found.read(folder / NAMES))
    splits = {}
    for split, name in LISTS.items():
        listed = folder / name
        if listed.is_file() or any(folder.glob(f"ply_data_{split}*.h5")):
            splits[split] = _split(found.read(listed), len(classes), found)
    found.aside(folder, {"*id2file.json": "names of meshes"})
    if not splits:
        raise DataError(f"{folder}: expected {' or '.join(LISTS.values())}, got neither")
    return Data(splits, classes, f"point clouds from {folder.name} (HDF5)")


def read_file(path: Path, found: DataReport) -> Data:
    """One table, "train", from a single file; class names from ``shape_names.txt`` beside it."""
    points, labels = _arrays(found.read(path), found)
    beside = path.with_name(NAMES)
    names = _class_names(found.read(beside)) if beside.is_file() else None
    table = table_of(path, points, labels, None if names is None else len(names), found)
    return Data({"train": table}, names or numbered(table), f"point clouds from {path.name} (HDF5)")


def _split(listed: Path, classes: int, found: DataReport) -> Table:
    parts: list[Table] = []
    for line in _lines(listed):
        # "data/modelnet40_ply_hdf5_2048/ply_data_train0.h5": whoever made the list had it there.
        path = found.read(listed.with_name(PurePosixPath(line.replace("\\", "/")).name))
        try:
            points, labels = _arrays(path, found)
            table = table_of(path, points, labels, classes, found)
        except DataError as error:
            found.damaged(*_halves(path, error))
            continue
        size = table.columns["points"].shape[1]
        if parts and size != (wanted := parts[0].columns["points"].shape[1]):
            found.damaged(
                path, f"expected clouds of {wanted} points as in the files before, got {size}"
            )
            continue
        parts.append(table)
    if not parts:
        raise DataError(f"{listed}: expected names of files with clouds, got none that can be read")
    points = np.concatenate([part.columns["points"] for part in parts])
    return Table(np.concatenate([part.labels for part in parts]), {"points": points})


def _halves(path: Path, error: DataError) -> tuple[str, str]:
    """Where and what of an error that begins with its file."""
    return str(path), str(error).removeprefix(f"{path}: ")


def _arrays(path: Path, found: DataReport) -> tuple[np.ndarray, np.ndarray]:
    head = beginning(path)
    if not head.startswith(MAGIC):
        raise DataError(f"{path}: expected an HDF5 file, got {shown(head)}")
    arrays = load_hdf5(path)
    for name in ("data", "label"):
        if name not in arrays:
            held = ", ".join(sorted(arrays)) or "none"
            raise DataError(f"{path}: expected an array {name}, got {held}")
    for name in sorted(arrays.keys() - {"data", "label"}):
        found.skip(name, f"arrays of {path.name} that are not read")
    return arrays["data"], arrays["label"]


def load_hdf5(path: Path) -> dict[str, np.ndarray]:
    """All arrays at the top of an HDF5 file, by name.

    Raises:
        ValueError: If h5py is not installed; it says how to get it.
        DataError: If the file is damaged.
    """
    try:
        h5py: Any = importlib.import_module("h5py")
    except ImportError as error:
        raise ValueError(
            f"data: {path} needs the package h5py, which is not installed: pip install h5py"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            return {
                name: np.asarray(file[name][()])
                for name in file.keys()
                if hasattr(file[name], "shape")  # groups have none
            }
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise DataError(f"{path}: expected a whole HDF5 file, got damage ({error})") from error


def _class_names(path: Path) -> tuple[str, ...]:
    return class_names(path, _lines(path))


def _lines(path: Path) -> list[str]:
    """The lines of a list that are not empty."""
    text = path.read_bytes()
    if shown(text[:64]) == "a web page":
        raise DataError(f"{path}: expected a list of names, got a web page")
    return [line.strip() for line in text_lines(text) if line.strip()]
