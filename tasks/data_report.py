"""Files that a reader used, those that it left out, and the damage found in them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

# What desktops and notebooks leave behind; hidden files and folders are recognised by their dot.
_LITTER = ("__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r", "__pycache__")
# What tells people about the data, in any layout.
_ABOUT = ("README*", "readme*", "LICENSE*", "license*", "LICENCE*", "*.md", "CITATION*")
NO_FILE = "not of this layout"
_SHOWN = 3  # names of a group that are shown


class DataError(ValueError):
    """Data that cannot be used; names the file and, where there is one, the line or the row."""


@dataclass(frozen=True)
class LeftOut:
    """Things that a reader does not take, of one folder and for one reason.

    Attributes:
        why: The reason.
        folder: Where they are, relative to the data; "." is the data itself.
        names: Their names in that folder.
        known: Whether the layout is known to have them, so that only `data check` tells.
    """

    why: str
    folder: str
    names: tuple[str, ...]
    known: bool = False

    def __str__(self) -> str:
        """``4 in cat, not of this layout: a.jfif, b.jfif, c.jfif, …``."""
        more = ", …" * (len(self.names) > _SHOWN)
        place = "" if self.folder == "." else f" in {self.folder}"
        shown = ", ".join(self.names[:_SHOWN])
        return printable(f"{len(self.names):,}{place}, {self.why}: {shown}{more}")


class DataReport:
    """Collects the files that a reader uses, what it leaves out, and the damage that it finds.

    Training stops at the first damage, since a sample left out in silence would change results.
    ``nacgraph data check`` collects all of it: there a reader goes on without the sample.

    Args:
        collect: Keep damage rather than raise it.

    Attributes:
        files: Files that were read, in order.
        damage: What is wrong, one line each, each beginning with the file.
    """

    def __init__(self, collect: bool = False) -> None:
        self.collect = collect
        self.files: list[Path] = []
        self.damage: list[str] = []
        self._damaged: set[str] = set()
        self._aside: list[tuple[Path, str, str]] = []
        self._skipped: dict[tuple[str, str, bool], list[str]] = {}

    def read(self, path: Path) -> Path:
        """Note that ``path`` is read, and give it back.

        Raises:
            FileNotFoundError: If there is no such file.
        """
        if not path.is_file():
            raise FileNotFoundError(f"data: no file {path}")
        self.files.append(path)
        return path

    def damaged(self, where: str | Path, what: str) -> None:
        """Report damage: "FILE" or "FILE, line 7", and what was expected and found.

        Raises:
            DataError: Unless damage is collected.
        """
        text = f"{where}: {what}"
        if isinstance(where, Path):
            self._damaged.add(os.path.abspath(where))
        if not self.collect:
            raise DataError(text)
        self.damage.append(text)

    def skip(self, name: str, why: str, folder: str = ".", known: bool = False) -> None:
        """Note that something is left out that is no damage, as a column or an array."""
        self._skipped.setdefault((why, folder, known), []).append(name)

    def aside(self, folder: Path, patterns: Mapping[str, str]) -> None:
        """Files of a layout that are not read: their places in ``folder`` → why they are not."""
        self._aside += [(folder, pattern, why) for pattern, why in patterns.items()]

    def account(self, root: Path | None, cache: Path | None = None) -> None:
        """Note every file below ``root`` that was not read, so that none is missed in silence.

        A folder of which nothing was read is one group, as ``dev`` beside ``train``. Nothing is
        noted where ``root`` is no folder, nor of the folder ``cache``.
        """
        if root is None or not root.is_dir():
            return
        taken = {os.path.abspath(file) for file in self.files}
        used = {parent for file in taken for parent in Path(file).parents}
        base = Path(os.path.abspath(root))
        ours = None if cache is None else Path(os.path.abspath(cache))
        if ours == base or ours in base.parents:  # an archive is unpacked there
            ours = None
        for file in _files_below(base):
            if str(file) in taken or str(file) in self._damaged or ours in file.parents:
                continue
            folder = file.parent
            while folder.parent != base and folder != base and folder.parent not in used:
                folder = folder.parent
            why, known = self._reason(file)
            name, place = file.relative_to(folder), folder.relative_to(base)
            self.skip(name.as_posix(), why, place.as_posix(), known)

    def _reason(self, file: Path) -> tuple[str, bool]:
        for folder, pattern, why in self._aside:
            top = Path(os.path.abspath(folder))
            if top in file.parents and fnmatchcase(file.relative_to(top).as_posix(), pattern):
                return why, True
        about = any(fnmatchcase(file.name, pattern) for pattern in _ABOUT)
        return ("about the data", True) if about else (NO_FILE, False)

    @property
    def left_out(self) -> list[LeftOut]:
        """What was left out, by reason and folder; first what no layout says."""
        groups = [
            LeftOut(why, folder, tuple(names), known)
            for (why, folder, known), names in self._skipped.items()
        ]
        return sorted(groups, key=lambda group: (group.known, group.why, group.folder))


def left_out_text(groups: Iterable[LeftOut], most: int = 4) -> str:
    """One line of what nobody may expect to be left out; empty if there is nothing of it."""
    strange = [group for group in groups if not group.known]
    count = sum(len(group.names) for group in strange)
    shown = "; ".join(map(str, strange[:most])) + "; …" * (len(strange) > most)
    return f"{count:,} left out ({shown})" if count else ""


def told_left_out(data: Path | None, found: DataReport) -> str:
    """What was left out and nobody may expect, as one line; also told on stderr."""
    text = left_out_text(found.left_out)
    if text:
        print(f"data: {data}: {text}; see `nacgraph data check`", file=sys.stderr, flush=True)
    return text


def text_lines(data: bytes) -> list[str]:
    """Lines of a list in UTF-8, with or without a byte order mark.

    Only line breaks end a line, unlike in ``str.splitlines``: names may hold U+2028 and others.
    """
    return re.split(r"\r\n|\r|\n", data.decode("utf-8-sig", "replace"))


def printable(text: str) -> str:
    """Names of files may hold what would move a terminal's cursor, or be no characters at all."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def what_came(path: Path, error: Exception) -> str:
    """What an unreadable file seems to be: "a page of HTML", or its first bytes."""
    with open(path, "rb") as file:
        start = file.read(12)
    html = start.lstrip().lower().startswith((b"<!doc", b"<html"))
    return "a page of HTML" if html else f"{start!r}… ({error})"


def _files_below(root: Path) -> Iterator[Path]:
    """Files in order of their places, without hidden ones and what desktops leave behind."""
    for place, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if _shows(name))
        for name in sorted(filter(_shows, files)):
            yield Path(place, name)


def _shows(name: str) -> bool:
    return not name.startswith(".") and name not in _LITTER
