"""The result of a measurement: numbers as its JSON file holds them, and how they read as text."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacgraph.utils.files import write_atomically


@dataclass(frozen=True, eq=False, repr=False)
class Result(Mapping[str, Any]):
    """A mapping of names to plain numbers, lists and texts; printing it shows :meth:`lines`.

    Args:
        numbers: What the JSON file holds.
    """

    numbers: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    @abstractmethod
    def lines(self) -> list[str]:
        """The result as text."""


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` atomically; the folder is made if it is not there.

    Raises:
        ValueError: If a number is NaN or infinite, which JSON does not have.
    """
    text = json.dumps(dict(content), indent=1, allow_nan=False, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (text + "\n").encode())
