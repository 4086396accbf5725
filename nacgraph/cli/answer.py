"""How a command ends: its result on stdout, or one line on stderr and exit code 2."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from nacgraph.utils.errors import CheckpointError, ConfigError


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` whose errors are one line, as all of ours are."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def note(*lines: str) -> None:
    """Say something beside the result, on stderr."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def answer(work: Callable[[], Any], *expected: type[Exception]) -> int:
    """Print what ``work()`` returns, a text as it is and all else as JSON; returns the exit code.

    Errors that say what is wrong are told in their own words, ``expected`` ones among them; others
    are faults of the program, and pass.
    """
    known: tuple[type[Exception], ...] = (CheckpointError, ValueError, OSError, *expected)
    try:
        result = work()
    except ConfigError as error:
        print("\n".join(f"error: {text}" for text in error.problems), file=sys.stderr)
        return 2
    except known as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(result if isinstance(result, str) else json.dumps(result, indent=1))
    return 0
