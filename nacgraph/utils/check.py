"""Checks of arguments that several tasks and tokenizers have."""

from __future__ import annotations


def at_least(*limits: tuple[str, float, float]) -> None:
    """Raise ValueError unless each value is at least so much: ``("seed", seed, 0), …``."""
    for name, value, least in limits:
        if value < least:
            raise ValueError(f"{name}: expected at least {least}, got {value}")


def whole(*limits: tuple[str, object, int]) -> None:
    """Raise ValueError unless each value is a whole number and at least so much."""
    for name, value, least in limits:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}: expected a whole number >= {least}, got {value!r}")
