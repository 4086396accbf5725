"""NLVR2 from disk: which layout lies there, and its samples as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nacgraph.tasks.data_report import DataReport
from nacgraph.tasks.nlvr2.examples import (
    FILES,
    LABELS,
    Example,
    divide,
    example_files,
    read_examples,
    read_skills,
)
from nacgraph.tasks.nlvr2.features import NAME, read_features
from nacgraph.tasks.nlvr2.pictures import find_images, read_images
from nacgraph.tasks.splits import Data, Table

LAYOUTS = (
    "a folder with train.json, dev.json or test1.json (JSON lines) and images, one such JSON "
    f"file, or {NAME}"
)


def read_layout(
    path: Path,
    size: int,
    seed: int,
    carve: bool,
    cache_dir: Path | None,
    found: DataReport,
    bits: int = 0,
) -> Data:
    """What lies at ``path``.

    Args:
        path: File or folder.
        size: Pixels a side to which images are brought.
        seed: Decides which directories of the training set are held back.
        carve: Whether to hold back at all.
        cache_dir: Where many decoded images are kept; None is the user's cache folder.
        found: Gets files and damage.
        bits: How many of 16 bits of grey the images use; 0: all, if that is clear.

    Raises:
        ValueError: If this is no layout of NLVR2's.
        DataError: If something in it is damaged.
    """
    if path.suffix == ".npz" or (path / NAME).is_file():
        return _of_features(path if path.is_file() else path / NAME, seed, carve, found)
    if path.is_file() and path.suffix in (".json", ".jsonl"):
        files = {_split_of(path): path}
        bases = [path.parent, path.parent.parent]
    elif path.is_dir() and (files := example_files(path)):
        bases = [path]
    else:
        there = sorted(p.name for p in path.iterdir()) if path.is_dir() else [path.name]
        listed = ", ".join(there[:8]) + ", …" * (len(there) > 8)
        raise ValueError(f"data: expected {LAYOUTS}, got {listed or 'an empty folder'} in {path}")
    skills: dict[str, tuple[str, ...]] = {}
    for base in bases:
        skills = skills or read_skills(base, found)
    examples = {name: read_examples(file, found) for name, file in files.items()}
    everything = [e for part in examples.values() for e in part]
    images = read_images(find_images(everything, bases, found), size, found, cache_dir, bits)
    examples = {
        name: [replace(e, skills=skills.get(e.sentence)) for e in part if _has(images, e)]
        for name, part in examples.items()
    }
    splits = divide(examples, seed, carve)
    _note_unused(examples, files, found)
    source = f"NLVR2: {path}, images brought to {size} x {size}"
    return _data(splits.parts, images, {}, source, splits.how)


def _of_features(path: Path, seed: int, carve: bool, found: DataReport) -> Data:
    held = read_features(path, found)
    found.aside(path.parent, {"*": f"{NAME} is read"})
    examples = {
        name: [e for e in part if _has(held.images, e)] for name, part in held.examples.items()
    }
    splits = divide(examples, seed, carve)
    _note_unused(examples, {"test2": path}, found)
    source = f"NLVR2: {path}, frozen features of images" + " and sentences" * bool(held.words)
    return _data(splits.parts, held.images, held.words, source, splits.how)


def _note_unused(
    examples: Mapping[str, list[Example]], files: Mapping[str, Path], found: DataReport
) -> None:
    """test2 stands in for test1; beside it, it is nobody's split."""
    if examples.get("test1") and examples.get("test2"):
        name = f"{files['test2'].name} ({len(examples['test2']):,} examples)"
        found.skip(name, "since test1 is the test split")


def _split_of(path: Path) -> str:
    """Which of NLVR2's files this is; one of another name counts as the test set."""
    return path.stem if path.stem in FILES else "test1"


def _has(images: Mapping[str, np.ndarray], example: Example) -> bool:
    return all(name in images for name in example.images)


def _data(
    parts: Mapping[str, list[Example]],
    images: Mapping[str, np.ndarray],
    words: Mapping[str, np.ndarray],
    source: str,
    how: str,
) -> Data:
    splits = {name: _table(part, images, words) for name, part in parts.items()}
    return Data(splits, LABELS, f"{source}; {how}" if how else source)


def _table(
    examples: list[Example], images: Mapping[str, np.ndarray], words: Mapping[str, np.ndarray]
) -> Table:
    columns: dict[str, Any] = {
        "left": [images[e.images[0]] for e in examples],
        "right": [images[e.images[1]] for e in examples],
        "sentence": [e.sentence for e in examples],
    }
    if words:
        columns["words"] = [words[e.identifier] for e in examples]
    tags = {
        "sentence": columns["sentence"],
        "identifier": [e.identifier for e in examples],
    }
    if any(e.skills is not None for e in examples):
        # A sentence can need several: one tag with all of them, and a tag for each.
        said = [e.skills for e in examples]
        tags["skill"] = ["not annotated" if s is None else ", ".join(s) or "none" for s in said]
        for skill in sorted({skill for s in said for skill in s or ()}):
            tags[skill] = [
                "not annotated" if s is None else "yes" if skill in s else "no" for s in said
            ]
    return Table(np.array([e.label for e in examples], np.int64), columns, tags)
