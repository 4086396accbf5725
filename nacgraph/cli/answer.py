"""How a command ends: its result on stdout, or one line on stderr and exit code 2."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from nacgraph.utils.errors import CheckpointError, ConfigError, printable


def thread_count(text: str) -> int:
    """``--threads`` as argparse reads it."""
    return _number(text, 0, 2**15)


def seed_number(text: str) -> int:
    """``--seed`` as argparse reads it; what is below 0 the command refuses by name."""
    return _number(text, -(2**63), 2**63)


def _number(text: str, low: int, above: int) -> int:
    found = int(text) if re.fullmatch(r"-?\d{1,19}", text) else above
    if not low <= found < above:
        raise argparse.ArgumentTypeError(f"expected a whole number >= {max(0, low)}, got {text}")
    return found


def comma_list(name: str, text: str, kind: Callable[[str], Any], wanted: str) -> list:
    """``"0.5,1"`` → [0.5, 1.0] for ``kind`` float; a ValueError says what was ``wanted``."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{name}: expected {wanted}, got {text!r}") from None


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` whose errors are one line, as all of ours are."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def note(*lines: str) -> None:
    """Say something beside the result, on stderr."""
    for line in lines:
        print(printable(line), file=sys.stderr, flush=True)


def answer(work: Callable[[], Any], *expected: type[Exception]) -> int:
    """Print what ``work()`` returns, a text as it is and all else as JSON; returns the exit code.

    Errors that say what is wrong are told in their own words, ``expected`` ones among them; others
    are faults of the program, and pass.
    """
    known: tuple[type[Exception], ...] = (CheckpointError, ValueError, OSError, *expected)
    try:
        result = work()
    except ConfigError as error:
        note(*(f"error: {text}" for text in error.problems))
        return 2
    except known as error:
        note(f"error: {error}")
        return 2
    print(printable(result) if isinstance(result, str) else json.dumps(result, indent=1))
    return 0
