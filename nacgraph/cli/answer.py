"""How a command ends: its result on stdout, or one line on stderr and exit code 2."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from typing import Any

from nacgraph.utils.errors import CheckpointError, ConfigError, printable


def natural(text: str) -> int:
    """A number of threads, or a seed, as argparse reads it."""
    if not re.fullmatch(r"\d{1,19}", text) or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 2^63 - 1, got {text}")
    return int(text)


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
