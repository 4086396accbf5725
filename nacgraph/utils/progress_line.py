"""One line on stderr that says how far reading or making data is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_UNTOLD: ContextVar[bool] = ContextVar("untold", default=False)


@contextmanager
def untold() -> Iterator[None]:
    """Within it nothing is said, as where a library function was asked to be quiet."""
    before = _UNTOLD.set(True)
    try:
        yield
    finally:
        _UNTOLD.reset(before)


def tell(what: str, done: int, total: int, unit: str) -> None:
    """Keep one line on stderr up to date; where it is no terminal, write one at the end."""
    if not _UNTOLD.get() and (done == total or sys.stderr.isatty()):
        start, end = "\r" if sys.stderr.isatty() else "", "\n" if done == total else ""
        sys.stderr.write(f"{start}{what}: {done:,} of {total:,} {unit}{end}")
        sys.stderr.flush()


@contextmanager
def telling(
    what: str, total: int, unit: str, least: int = 500, every: int = 50
) -> Iterator[Callable[[], None]]:
    """Gives a function to call after each of ``total`` things, which are told of if many.

    Args:
        what: What is done, as "sampling points".
        total: How many there are.
        unit: What they are, as "meshes".
        least: Fewer than this are not worth a line.
        every: How many go by before the line changes.
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
        # Stopped by damage, say: what comes next is not to stand on the same line.
        begun = total >= least and every <= done < total
        if begun and sys.stderr.isatty() and not _UNTOLD.get():
            sys.stderr.write("\n")
