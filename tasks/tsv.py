"""Files of tab-separated columns with a header, line by line, as bytes in no encoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nacgraph.tasks.data_report import DataReport

Row = tuple[str, list[bytes]]  # "FILE, line 7" and the fields that were asked for


def rows(path: Path, columns: Sequence[str], found: DataReport) -> Iterator[Row]:
    """The columns of these names, of every line; lines that lack one are damage.

    The header names the columns, in any order and in capitals or not; further columns are left
    out and told. A field as csv writes it, within quotes and with quotes doubled, is taken out of
    them; a line break ends a row even there, so that a stray quote never swallows the rows below
    it. Fields may be of any length.

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: At the first damage, unless ``found`` collects it.
    """
    lines = found.read(path).read_bytes().split(b"\n")
    header = [
        field.strip().decode("utf-8", "replace")
        for field in _fields(lines[0].removeprefix(b"\xef\xbb\xbf"))
    ]
    names = [name.lower() for name in header]
    wanted = [column.lower() for column in columns]
    if any(names.count(name) != 1 for name in wanted):
        got = repr(lines[0][:40])[1:]
        found.damaged(f"{path}, line 1", f"expected the header {'<TAB>'.join(columns)}, got {got}")
        return
    places = [names.index(name) for name in wanted]
    for place, name in enumerate(header):
        if place not in places:
            found.skip(name or f"column {place + 1}", f"columns of {path.name} that are not read")
    count = 0
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip(b"\r"):  # an empty line, as at the end
            continue
        where, fields = f"{path}, line {number}", _fields(line)
        if len(fields) != len(header):
            listed = " and ".join(columns) if len(header) == len(columns) else "as in the header"
            found.damaged(where, f"expected {len(header)} columns, {listed}, got {len(fields)}")
            continue
        count += 1
        yield where, [fields[place] for place in places]
    if not count:
        found.damaged(path, "expected rows after the header, got none that can be used")


def _fields(line: bytes) -> list[bytes]:
    return [_unquoted(field) for field in line.removesuffix(b"\r").split(b"\t")]


def _unquoted(field: bytes) -> bytes:
    inside = field[1:-1]
    quoted = len(field) >= 2 and field[:1] == field[-1:] == b'"'
    if quoted and b'"' not in inside.replace(b'""', b""):
        return inside.replace(b'""', b'"')
    return field
