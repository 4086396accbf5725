"""One line on stderr that says how far reading or making data is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def tell(what: str, done: int, total: int, unit: str) -> None:
    """Keep one line on stderr up to date; where it is no terminal, write one at the end."""
    if done == total or sys.stderr.isatty():
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
        if total >= least and every <= done < total and sys.stderr.isatty():
            sys.stderr.write("\n")
