"""Errors that say what is wrong in words a user can act on, and the nearest name for a typo."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class ConfigError(ValueError):
    """Every problem of a configuration at once, one a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CheckpointError(RuntimeError):
    """A file of a run that cannot be written, or whose content is not what was expected."""


class NonFiniteError(RuntimeError):
    """A loss or gradient that is NaN or infinite, met before it could spoil the weights."""


class TrainingStopped(KeyboardInterrupt):
    """Training was stopped by a signal, after a step; what is there can be resumed.

    Attributes:
        signal: Number of the signal: 2 for Ctrl-C.
    """

    def __init__(self, text: str, signal: int = 2) -> None:
        super().__init__(text)
        self.signal = signal


def printable(text: str) -> str:
    """The text without what a terminal would obey: names of classes and files are data.

    Example:
        >>> printable("cat" + chr(27) + "[2J")
        'cat\\\\x1b[2J'
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def did_you_mean(name: object, choices: Iterable[str]) -> str:
    """``"; did you mean 'width'?"``, or nothing where no choice is near."""
    close = get_close_matches(str(name), list(choices), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def nearest(name: str, choices: Iterable[str]) -> str:
    """``'widht' (nearest: width)``, or the name alone when nothing is near."""
    close = get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return f"{name!r} (nearest: {close[0]})" if close else repr(name)
