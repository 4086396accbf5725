"""LRA's own ListOps files: ``Source<TAB>Target``, read and written."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from nacgraph.tasks.batching import Sequences
from nacgraph.tasks.data_report import DataReport
from nacgraph.tasks.listops.trees import SYMBOLS, evaluate
from nacgraph.tasks.tsv import rows

HEADER = ["Source", "Target"]
_IDS = {symbol: number for number, symbol in enumerate(SYMBOLS, start=1)}
_IDS["]"] = _IDS["X"]  # the files have "]", which LRA's reader renames
_OPERATORS = range(_IDS["[MIN"], _IDS["X"])


def symbol_ids(source: str, where: str) -> bytes:
    """Ids of the symbols of a text; parentheses are dropped. ``where`` begins each message.

    Raises:
        ValueError: If there is an unknown symbol, or if parentheses or lists do not match.
    """
    words = source.replace("(", " ").replace(")", " ").split()
    if not words:
        raise ValueError(f"{where}: expected symbols in Source, got none")
    try:
        ids = bytes(map(_IDS.__getitem__, words))
    except KeyError as error:
        known = " ".join(_IDS)
        raise ValueError(f"{where}: expected symbols among {known}, got {error}") from None
    opened, closed = source.count("("), source.count(")")
    if opened != closed:
        raise ValueError(f"{where}: expected parentheses that match, got {opened} ( and {closed} )")
    if fault := _fault(ids):
        raise ValueError(f"{where}: expected one list that is closed, got {fault}")
    return ids


def _fault(ids: bytes) -> str:
    """Why symbols are no tree; empty if they are one."""
    arguments: list[int] = []  # of every open list
    for place, symbol in enumerate(ids):
        if not arguments and place:
            return f"{len(ids) - place} symbols behind its end"
        if symbol == _IDS["]"]:
            if not arguments:
                return "a ] that closes nothing"
            if not arguments.pop():
                return "a list without arguments"
        elif symbol in _OPERATORS:
            arguments.append(0)
            continue
        if arguments:
            arguments[-1] += 1
    return f"{len(arguments)} that {'is' if len(arguments) == 1 else 'are'} not closed" * bool(
        arguments
    )


def _label(target: str, where: str) -> int:
    label = int(target) if target.strip().isdecimal() else -1
    if not 0 <= label <= 9:
        raise ValueError(f"{where}: expected an integer from 0 to 9 as Target, got {target!r}")
    return label


def read_tsv(
    path: Path | str, max_length: int | None = None, found: DataReport | None = None
) -> Sequences:
    """Read one file as LRA wrote it: parentheses are dropped, ``]`` closes an operator.

    Args:
        path: The file; its first line names the columns Source and Target.
        max_length: Longest sequence accepted, if any.
        found: Gets the file and what is wrong in it; without one, the first damage is raised.

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: If a line is damaged, its lists do not match, or its Target is not the value of
            its list; the message names file and line. Not if ``found`` collects damage.
    """
    path, found = Path(path), found or DataReport()
    held: list[bytes] = []
    labels: list[int] = []
    places: list[str] = []
    for where, (source, target) in rows(path, HEADER, found):
        try:
            ids = symbol_ids(source.decode("utf-8", "backslashreplace"), where)
            label = _label(target.decode("utf-8", "backslashreplace"), where)
            if max_length is not None and len(ids) > max_length:
                raise ValueError(f"{where}: expected at most {max_length} symbols, got {len(ids)}")
        except ValueError as error:
            found.damaged(where, str(error).removeprefix(f"{where}: "))
            continue
        held.append(ids)
        labels.append(label)
        places.append(where)
    lengths = np.fromiter(map(len, held), np.int64, len(held))
    read = Sequences(
        np.frombuffer(b"".join(held), np.uint8),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.array(labels, np.int64),
    )
    values = evaluate(read.tokens, read.offsets)
    wrong = np.flatnonzero(values != read.labels)
    for row in wrong:
        found.damaged(places[row], f"expected the value {values[row]} as Target, got {labels[row]}")
    return read.take(np.flatnonzero(values == read.labels)) if len(wrong) else read


def listops_place(path: Path) -> Path:
    """The folder with LRA's files that ``path`` is or holds; a file stays as it is.

    Raises:
        ValueError: If there are several such folders.
    """
    level = [path] if path.is_dir() else []
    for _ in range(4):  # lra_release/lra_release/listops-1000
        if held := [place for place in level if any(place.glob("basic_*.tsv"))]:
            if len(held) > 1:
                names = ", ".join(map(str, held))
                raise ValueError(f"data: expected one folder with basic_*.tsv, got {names}")
            return held[0]
        level = sorted(
            inside
            for place in level
            for inside in place.iterdir()
            if inside.is_dir() and not inside.name.startswith((".", "__MACOSX"))
        )
    return path


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
