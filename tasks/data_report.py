"""Files that a reader used, and the damage found in them."""

from __future__ import annotations

from pathlib import Path


class DataError(ValueError):
    """Data that cannot be used; names the file and, where there is one, the line or the row."""


class DataReport:
    """Collects the files that a reader uses and the damage that it finds.

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
        if not self.collect:
            raise DataError(text)
        self.damage.append(text)


def what_came(path: Path, error: Exception) -> str:
    """What an unreadable file seems to be: "a page of HTML", or its first bytes."""
    with open(path, "rb") as file:
        start = file.read(12)
    html = start.lstrip().lower().startswith((b"<!doc", b"<html"))
    return "a page of HTML" if html else f"{start!r}… ({error})"
