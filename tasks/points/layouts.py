"""Which layout a path has, and its reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nacgraph.tasks.base import named
from nacgraph.tasks.data_report import DataReport
from nacgraph.tasks.points import hdf5, meshes, npz
from nacgraph.tasks.splits import Data

KNOWN = (
    "CATEGORY/{train,test}/NAME.off meshes (ModelNet), CATEGORY/NAME.off meshes, HDF5 "
    "(ply_data_*.h5 with train_files.txt, test_files.txt, shape_names.txt; or one .h5 file), or "
    "one .npz file with points (N, P, 3), labels (N) and, if you like, classes"
)


def read_layout(
    path: Path, count: int, seed: int, cache_dir: Path | None, found: DataReport
) -> Data:
    """Clouds (N, P, 3) in the unit sphere, float32, from any of the layouts above.

    Args:
        path: File or folder; a folder with a single entry stands for that.
        count: Points that will be asked for, so that meshes are sampled with as many.
        seed: Seed of what is sampled from meshes.
        cache_dir: Where sampled clouds are kept; None is the user's cache folder.
        found: Gets files and damage.

    Raises:
        ValueError: If nothing of that is there; it says what is.
    """
    reader = _reader(path, count, seed, cache_dir)
    if reader is not None:
        return reader(found)
    entries = [] if path.is_file() else sorted(p for p in path.iterdir() if not _hidden(p))
    if len(entries) == 1:
        return read_layout(entries[0], count, seed, cache_dir, found)
    held = named([p.name + "/" * p.is_dir() for p in entries]) if path.is_dir() else "a file"
    raise ValueError(f"data: expected point clouds as {KNOWN}; got {path} ({held})")


def _reader(
    path: Path, count: int, seed: int, cache_dir: Path | None
) -> Callable[[DataReport], Data] | None:
    if path.is_file():
        if path.suffix == ".npz":
            return lambda found: npz.read_npz(path, found)
        if path.suffix in (".h5", ".hdf5"):
            return lambda found: hdf5.read_file(path, found)
        return None
    if hdf5.is_layout(path):
        return lambda found: hdf5.read_folder(path, found)
    if meshes.is_layout(path):
        return lambda found: meshes.read_folder(path, count, seed, cache_dir, found)
    return None


def _hidden(path: Path) -> bool:
    return path.name.startswith((".", "__MACOSX"))
