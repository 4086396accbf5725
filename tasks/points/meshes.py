"""Folders of OFF meshes: ModelNet's ``CATEGORY/{train,test}/CATEGORY_NNNN.off``."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from nacgraph.tasks.cache import Arrays, cached, default_cache_dir
from nacgraph.tasks.data_report import DataError, DataReport
from nacgraph.tasks.points.clouds import normalised
from nacgraph.tasks.points.off import read_off, surface_points
from nacgraph.tasks.splits import SPLIT_NAMES, SPLITS, Data, Table, by_split, same_text
from nacgraph.utils.progress_line import telling

SAMPLED = 2048  # points of a mesh, as many as in ModelNet's HDF5 files; more if more are wanted
_VERSION = 1  # increase with any change of what is sampled from a mesh


def is_layout(folder: Path) -> bool:
    """Whether there are meshes in folders of categories, divided into train and test or not."""
    places = [c for c in folder.iterdir() if c.is_dir() and _shows(c)]
    inside = [p for c in places for p in c.iterdir() if p.name.lower() in SPLIT_NAMES]
    return any(_meshes(place) for place in (*places, *inside))


def _meshes(place: Path) -> list[Path]:
    """The meshes of a folder in order of their names, ``.off`` in any case."""
    if not place.is_dir():
        return []
    return sorted(p for p in place.iterdir() if p.suffix.lower() == ".off" and _shows(p))


def read_folder(
    folder: Path, count: int, seed: int, cache_dir: Path | None, found: DataReport
) -> Data:
    """Points sampled by area from every mesh, into the unit sphere; "train" and "test".

    A folder of ``CATEGORY/NAME.off`` without train and test is all "train". What was sampled is
    kept in ``cache_dir`` and found there again as long as names, sizes and times of the files
    stay; collecting damage reads every mesh anew.
    """
    classes, listed = _listed(folder, found)
    size = max(SAMPLED, count)
    names = [path.relative_to(folder).as_posix() for _, _, path in listed]
    if found.collect:
        arrays = _sampled(folder, names, size, seed, found)
    else:
        settings = {"version": _VERSION, "points": size, "seed": seed, "files": _state(listed)}
        name = f"points-off-v{_VERSION}-{_short(str(settings))}.npz"
        arrays = cached(
            (cache_dir or default_cache_dir()) / name,
            settings,
            lambda: _sampled(folder, names, size, seed, found),
        )
    kept, points = arrays["kept"], arrays["points"]
    splits = {}
    for split in SPLITS:
        rows = [row for row, file in enumerate(kept) if listed[file][0] == split]
        if rows:
            labels = np.array([listed[kept[row]][1] for row in rows], np.int64)
            splits[split] = Table(labels, {"points": points[rows]})
    return Data(splits, classes, f"points sampled from the meshes of {folder.name} (OFF)")


def _listed(folder: Path, found: DataReport) -> tuple[tuple[str, ...], list[tuple[str, int, Path]]]:
    """Category names, and split, label and path of every mesh, in order of their names."""
    categories = [p for p in sorted(folder.iterdir()) if p.is_dir() and _shows(p)]
    classes = tuple(sorted({same_text(p.name) for p in categories}))
    parts = {p: by_split((q for q in p.iterdir() if q.is_dir()), found) for p in categories}
    divided = any(parts.values())
    listed: list[tuple[str, int, Path]] = []
    for category in categories:
        label = classes.index(same_text(category.name))
        places = parts[category] if divided else {"train": category}
        before = len(listed)
        for split, place in sorted(places.items(), key=lambda item: SPLITS.index(item[0])):
            for path in _meshes(place):
                named = same_text(path.stem.rpartition("_")[0])
                if divided and named != classes[label] and named in classes:
                    found.damaged(path, f"expected a mesh of {category.name}, got one of {named}")
                    continue
                listed.append((split, label, found.read(path)))
        if len(listed) == before:
            inside = " in train or test" * divided
            found.damaged(category, f"expected .off meshes{inside}, got none")
    if not listed:
        raise DataError(f"{folder}: expected .off meshes, got none that can be used")
    return classes, listed


def _sampled(folder: Path, names: list[str], size: int, seed: int, found: DataReport) -> Arrays:
    """``points`` (M, size, 3), and ``kept`` (M): which of the names each is of."""
    points = np.empty((len(names), size, 3), np.float32)
    kept: list[int] = []
    with telling("sampling points", len(names), "meshes") as one_more:
        for row, name in enumerate(names):
            mesh = read_off(folder / name, found)
            if mesh is not None:
                # By name, so that a mesh has the same points whatever lies beside it.
                key = int(_short(name), 16)
                drawn = surface_points(mesh, size, np.random.default_rng((seed, key)))
                points[len(kept)] = normalised(drawn)
                kept.append(row)
            one_more()
    return {"points": points[: len(kept)], "kept": np.array(kept, np.int64)}


def _state(listed: list[tuple[str, int, Path]]) -> str:
    """A digest of names, sizes and times of all files."""
    lines = []
    for _, label, path in listed:
        stat = path.stat()
        lines.append(f"{label} {path.resolve()} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _shows(path: Path) -> bool:
    return not path.name.startswith((".", "__MACOSX"))
