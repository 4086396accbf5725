"""Checks of arguments: each names all its values by keyword, and raises one clear ValueError."""

from __future__ import annotations

import math
from collections.abc import Collection
from numbers import Integral, Real

from nacgraph.utils.errors import did_you_mean


def check_at_least(least: float, **values: object) -> None:
    """Each value must be a finite number of at least ``least``.

    Example:
        >>> check_at_least(1, samples=3, nulls=0)
        Traceback (most recent call last):
        ValueError: nulls: expected at least 1, got 0
    """
    for name, value in values.items():
        if not (_is_number(value) and least <= value < math.inf):  # type: ignore[operator]
            raise ValueError(f"{name}: expected at least {least}, got {value!r}")


def check_whole(least: int, **values: object) -> None:
    """Each value must be a whole number of at least ``least``."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name}: expected a whole number >= {least}, got {value!r}")


def check_positive(**values: object) -> None:
    """Each value must be a finite number above 0."""
    for name, value in values.items():
        if not (_is_number(value) and 0 < value < math.inf):  # type: ignore[operator]
            raise ValueError(f"{name}: expected a number > 0, got {value!r}")


def check_probability(**values: object) -> None:
    """Each value must be a number in [0, 1]."""
    for name, value in values.items():
        if not (_is_number(value) and 0 <= value <= 1):  # type: ignore[operator]
            raise ValueError(f"{name}: expected a probability in [0, 1], got {value!r}")


def check_choice(choices: Collection[str], **values: object) -> None:
    """Each value must be one of ``choices``; the nearest one is offered for a typo."""
    for name, value in values.items():
        if value not in choices:
            raise ValueError(
                f"{name}: expected one of {', '.join(choices)}, got {value!r}"
                f"{did_you_mean(value, choices)}"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
