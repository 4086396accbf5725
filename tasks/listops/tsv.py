"""LRA's own ListOps files: ``Source<TAB>Target``, read and written."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from nacgraph.tasks.batching import Sequences
from nacgraph.tasks.listops.trees import SYMBOLS

HEADER = ["Source", "Target"]
_IDS = {symbol: number for number, symbol in enumerate(SYMBOLS, start=1)}
_IDS["]"] = _IDS["X"]  # the files have "]", which LRA's reader renames
_OPERATORS = range(_IDS["[MIN"], _IDS["X"])


def symbol_ids(source: str, where: str) -> bytes:
    """Ids of the symbols of a text; parentheses are dropped. ``where`` begins each message."""
    words = source.replace("(", " ").replace(")", " ").split()
    if not words:
        raise ValueError(f"{where}: Source is empty")
    try:
        return bytes(map(_IDS.__getitem__, words))
    except KeyError as error:
        raise ValueError(f"{where}: unknown symbol {error}, known are {' '.join(_IDS)}") from None


def _label(target: str, where: str) -> int:
    label = int(target) if target.strip().isdecimal() else -1
    if not 0 <= label <= 9:
        raise ValueError(f"{where}: Target must be an integer from 0 to 9, got {target!r}")
    return label


def read_tsv(path: Path | str, max_length: int | None = None) -> Sequences:
    """Read one file as LRA wrote it: parentheses are dropped, ``]`` closes an operator.

    Args:
        path: The file; its first line is ``Source<TAB>Target``, its dialect csv's default.
        max_length: Longest sequence accepted, if any.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged; the message names file and line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no ListOps file {path}")
    rows: list[bytes] = []
    labels: list[int] = []
    line = 0
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t")
            header = next(reader, [])
            if header != HEADER:
                raise ValueError(f"{path}, line 1: header must be {HEADER}, got {header[:4]}")
            line = reader.line_num
            for fields in reader:
                where, line = f"{path}, line {line + 1}", reader.line_num
                if not fields:  # an empty line
                    continue
                if len(fields) != 2:
                    raise ValueError(f"{where}: a row has 2 columns, got {len(fields)}")
                rows.append(symbol_ids(fields[0], where))
                labels.append(_label(fields[1], where))
                if max_length is not None and len(rows[-1]) > max_length:
                    raise ValueError(
                        f"{where}: at most {max_length} symbols are allowed, got {len(rows[-1])}"
                    )
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}, line {line + 1}: {error}") from error
    if not rows:
        raise ValueError(f"{path}: no sequences")
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    return Sequences(
        np.frombuffer(b"".join(rows), np.uint8),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.array(labels, np.int64),
    )


def source_text(tokens: np.ndarray) -> str:
    """One tree as LRA writes it: an operator with k arguments opens k + 1 parentheses."""
    pieces: list[str] = []
    open_operators: list[tuple[int, int]] = []  # (place of the operator, arguments so far)
    for token in tokens.tolist():
        if token in _OPERATORS:
            open_operators.append((len(pieces), 0))
            pieces.append(SYMBOLS[token - 1])
            continue
        if token == _IDS["]"]:
            place, arguments = open_operators.pop()
            pieces[place] = "( " * (arguments + 1) + pieces[place]
            pieces.append("] )")
        else:
            pieces.append(SYMBOLS[token - 1])
        if open_operators:
            place, arguments = open_operators.pop()
            open_operators.append((place, arguments + 1))
            pieces.append(")")
    return " ".join(pieces)


def write_tsv(path: Path | str, sequences: Sequences) -> None:
    """Write sequences in the form of LRA's files, for other programs to read.

    Args:
        path: The file to write; its folder must exist.
        sequences: Well-formed trees and their values.
    """
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(HEADER)
        for index in range(len(sequences)):
            writer.writerow([source_text(sequences.row(index)), int(sequences.labels[index])])
