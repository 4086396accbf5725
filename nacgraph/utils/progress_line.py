"""One line on stderr that says how far reading or making data is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def no_progress() -> Iterator[None]:
    """Within it nothing is shown, for a library function that was asked to be quiet."""
    before = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(before)


def tell(what: str, done: int, total: int, unit: str) -> None:
    """Keep one line on stderr up to date; where it is no terminal, write one at the end."""
    if not _QUIET.get() and (done == total or sys.stderr.isatty()):
        start, end = "\r" if sys.stderr.isatty() else "", "\n" if done == total else ""
        sys.stderr.write(f"{start}{what}: {done:,} of {total:,} {unit}{end}")
        sys.stderr.flush()


@contextmanager
def telling(
    what: str, total: int, unit: str, least: int = 500, every: int = 50
) -> Iterator[Callable[[], None]]:
    """Gives a function to call after each of ``total`` items; shows progress if there are many.

    Args:
        what: What is done, as "sampling points".
        total: How many there are.
        unit: What they are, as "meshes".
        least: No line for fewer items than this.
        every: Items between updates of the line.
    """
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        if total >= least and (done == total or done % every == 0):
            tell(what, done, total, unit)

    try:
        yield one_more
    finally:
        # Stopped early, by damaged data for example: the next output starts on a new line.
        begun = total >= least and every <= done < total
        if begun and sys.stderr.isatty() and not _QUIET.get():
            sys.stderr.write("\n")
