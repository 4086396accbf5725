"""Text data on disk: IMDB's folders of reviews, and label/text TSV files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nacgraph.tasks.base import named
from nacgraph.tasks.data_report import DataReport
from nacgraph.tasks.splits import SPLITS, Data, Table, by_split, same_text
from nacgraph.tasks.tsv import rows

LAYOUTS = (
    "aclImdb: {train,test}/{pos,neg}/<id>_<rating>.txt",
    "one TSV file with the header label<TAB>text",
    "a folder with such files: train.tsv, val.tsv, test.tsv, one or more of them",
)
HEADER = ("label", "text")
_REVIEW = re.compile(r"(\d+)_(\d+)\.txt")
# IMDB's stars by folder; reviews of 5 and 6 were left out when the set was made.
_STARS = {"neg": range(1, 5), "pos": range(7, 11)}

Rows = list[tuple[str, bytes]]  # (label, text)


def read_text(path: Path, found: DataReport, paper_protocol: bool) -> Data:
    """Read the layout that ``path`` has: columns "text" (bytes as they are on disk).

    Raises:
        DataError: At the first damage, unless ``found`` collects it.
        ValueError: If this is no layout of `LAYOUTS`, or if ``paper_protocol`` is asked of
            another than IMDB's.
    """
    if path.is_dir() and (path / "aclImdb").is_dir():
        path = path / "aclImdb"
    if path.is_dir() and any((path / name).is_dir() for name in ("train", "test")):
        return _imdb(path, found, paper_protocol)
    if paper_protocol:
        raise ValueError(f"paper_protocol: expected the folder aclImdb, got {path}")
    if path.is_file():
        return _tables({"train": path}, found, f"label/text file {path}")
    files = by_split((f for f in path.iterdir() if f.suffix.lower() == ".tsv"), found)
    files = {name: files[name] for name in SPLITS if name in files}
    if files:
        return _tables(files, found, f"label/text files in {path}")
    holds = named(sorted(each.name for each in path.iterdir()))
    raise ValueError(f"data: expected {'; or '.join(LAYOUTS)}; got {path}, which holds {holds}")


def table(pairs: Sequence[tuple[str, bytes]], classes: Sequence[str]) -> Table:
    """Pairs of label and text, the labels as numbers."""
    number = {name: k for k, name in enumerate(classes)}
    labels = np.array([number[label] for label, _ in pairs], np.int64)
    return Table(labels, {"text": [text for _, text in pairs]})


def _imdb(root: Path, found: DataReport, paper_protocol: bool) -> Data:
    classes = ("neg", "pos")
    reviews = {
        split: [row for label in classes for row in _reviews(root / split, label, found)]
        for split in ("train", "test")
        if (root / split).is_dir()
    }
    splits = {split: table(part, classes) for split, part in reviews.items()}
    found.aside(
        root,
        {
            "train/unsup/*": "without labels",
            "*.feat": "counts of words",
            "imdb*": "vocabulary",
            "*urls_*.txt": "addresses",
        },
    )
    note = "validation carved from train"
    if paper_protocol:
        if "test" not in splits:
            raise ValueError(f"paper_protocol: expected {root / 'test'}, got no such folder")
        splits["val"] = splits["test"]
        note = "paper_protocol: as in LRA the validation set is the test set"
    return Data(splits, classes, f"IMDB reviews in {root} ({note})")


def _reviews(split: Path, label: str, found: DataReport) -> Iterator[tuple[str, bytes]]:
    folder = split / label
    if not folder.is_dir():
        found.damaged(folder, "expected a folder of reviews, got none")
        return
    matched = []
    for file in folder.iterdir():
        match = _REVIEW.fullmatch(file.name)
        if match:
            matched.append((int(match[1]), int(match[2]), file))
        elif not file.name.startswith("."):  # what desktops leave behind
            found.damaged(file, "expected a review called <id>_<rating>.txt, got another name")
    if not matched:
        found.damaged(folder, "expected reviews, got an empty folder")
    for _, stars, file in sorted(matched):
        if stars not in _STARS[label]:
            low, high = _STARS[label][0], _STARS[label][-1]
            found.damaged(file, f"expected a rating of {low} to {high} in {label}, got {stars}")
            continue
        text = found.read(file).read_bytes()
        if text.strip():
            yield label, text
        else:
            found.damaged(file, "expected a review, got an empty file")


def _tables(files: dict[str, Path], found: DataReport, source: str) -> Data:
    held = {split: list(_lines(file, found)) for split, file in files.items()}
    names = {label for part in held.values() for label, _ in part}
    classes = tuple(sorted(names, key=_order(names)))
    if "train" in held:
        known = {label for label, _ in held["train"]}
        for split in held.keys() - {"train"}:
            strange = sorted({label for label, _ in held[split]} - known)
            if strange and known:
                found.damaged(
                    files[split],
                    f"expected labels of train.tsv ({named(sorted(known))}), got {named(strange)}",
                )
    return Data({split: table(part, classes) for split, part in held.items()}, classes, source)


def _order(names: set[str]) -> Callable[[str], Any]:
    """Numbers by value ("9" before "10"), words by letters."""
    return int if all(name.isdecimal() for name in names) else str


def _lines(file: Path, found: DataReport) -> Iterator[tuple[str, bytes]]:
    """Labels and texts of a TSV file, one line each; texts are bytes, in no encoding."""
    for where, (label, text) in rows(file, HEADER, found):
        if not label.strip():
            found.damaged(where, "expected a label, got none")
        elif not text.strip():
            found.damaged(where, "expected a text, got none")
        else:
            yield same_text(label.strip().decode("utf-8", "backslashreplace")), text
