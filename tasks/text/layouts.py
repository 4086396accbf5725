"""Text data on disk: IMDB's folders of reviews, and label/text TSV files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nacgraph.tasks.base import named
from nacgraph.tasks.data_report import DataReport
from nacgraph.tasks.splits import SPLITS, Data, Table

LAYOUTS = (
    "aclImdb: {train,test}/{pos,neg}/<id>_<rating>.txt",
    "one TSV file with the header label<TAB>text",
    "a folder with such files: train.tsv, val.tsv, test.tsv, one or more of them",
)
HEADER = (b"label", b"text")
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
    files = {name: path / f"{name}.tsv" for name in SPLITS if (path / f"{name}.tsv").is_file()}
    if files:
        return _tables(files, found, f"label/text files in {path}")
    holds = named(sorted(each.name for each in path.iterdir()))
    raise ValueError(f"data: expected {'; or '.join(LAYOUTS)}; got {path}, which holds {holds}")


def table(rows: Sequence[tuple[str, bytes]], classes: Sequence[str]) -> Table:
    """Rows with their labels as numbers."""
    number = {name: k for k, name in enumerate(classes)}
    labels = np.array([number[label] for label, _ in rows], np.int64)
    return Table(labels, {"text": [text for _, text in rows]})


def _imdb(root: Path, found: DataReport, paper_protocol: bool) -> Data:
    classes = ("neg", "pos")
    rows = {
        split: [row for label in classes for row in _reviews(root / split, label, found)]
        for split in ("train", "test")
        if (root / split).is_dir()
    }
    splits = {split: table(part, classes) for split, part in rows.items()}
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
    rows = {split: list(_lines(file, found)) for split, file in files.items()}
    names = {label for part in rows.values() for label, _ in part}
    classes = tuple(sorted(names, key=_order(names)))
    if "train" in rows:
        known = {label for label, _ in rows["train"]}
        for split in rows.keys() - {"train"}:
            strange = sorted({label for label, _ in rows[split]} - known)
            if strange and known:
                found.damaged(
                    files[split],
                    f"expected labels of train.tsv ({named(sorted(known))}), got {named(strange)}",
                )
    return Data({split: table(part, classes) for split, part in rows.items()}, classes, source)


def _order(names: set[str]) -> Callable[[str], Any]:
    """Numbers by value ("9" before "10"), words by letters."""
    return int if all(name.isdecimal() for name in names) else str


def _lines(file: Path, found: DataReport) -> Iterator[tuple[str, bytes]]:
    """Labels and texts of a TSV file, one line each.

    Texts are bytes, in no encoding. A field as csv writes it, within quotes and with quotes
    doubled, is taken out of them; a line break ends a row even there, so that a stray quote
    never swallows the rows below it.
    """
    lines = found.read(file).read_bytes().split(b"\n")
    header = _fields(lines[0].removeprefix(b"\xef\xbb\xbf"))
    if tuple(header) != HEADER:
        got = repr(lines[0][:40])[1:]
        found.damaged(f"{file}, line 1", f"expected the header label<TAB>text, got {got}")
        return
    count = 0
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip(b"\r"):  # an empty line, as at the end
            continue
        where, fields = f"{file}, line {number}", _fields(line)
        if len(fields) != 2:
            found.damaged(where, f"expected 2 columns, label and text, got {len(fields)}")
        elif not (label := fields[0].strip()):
            found.damaged(where, "expected a label, got none")
        elif not fields[1].strip():
            found.damaged(where, "expected a text, got none")
        else:
            count += 1
            yield label.decode("utf-8", "backslashreplace"), fields[1]
    if not count:
        found.damaged(file, "expected rows after the header, got none that can be used")


def _fields(line: bytes) -> list[bytes]:
    return [_unquoted(field) for field in line.removesuffix(b"\r").split(b"\t")]


def _unquoted(field: bytes) -> bytes:
    inside = field[1:-1]
    quoted = len(field) >= 2 and field[:1] == field[-1:] == b'"'
    if quoted and b'"' not in inside.replace(b'""', b""):
        return inside.replace(b'""', b'"')
    return field
