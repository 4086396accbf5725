"""Fields of configurations: default, help, range and choices in one line, checked in one place.

::

    @dataclass(frozen=True)
    class Sizes:
        width: int = option(64, "state width D", low=2)

        def __post_init__(self) -> None:
            check_fields(self)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, field, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from nacgraph.utils.errors import ConfigError, did_you_mean


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Sequence[str] | None = None,
) -> Any:
    """A dataclass field with its help and what it may be.

    Args:
        default: Its default; a dict or list is copied for every instance.
        help: One line, as ``--help`` shows it.
        low: The least value.
        above: A number that it must be above.
        below: A number that it must be below.
        choices: The words that it may be.
    """
    about = {"help": help, "low": low, "above": above, "below": below, "choices": choices}
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata=about)
    return field(default=default, metadata=about)


def default_of(f: Field[Any]) -> Any:
    """The default of a field."""
    return f.default_factory() if f.default_factory is not MISSING else f.default


@cache
def types_of(cls: Any) -> dict[str, Any]:
    """Field → its type."""
    return get_type_hints(cls)


def expected(kind: Any, about: Mapping[str, Any]) -> str:
    """What a field may be, in words: ``a whole number >= 1``, ``one of shared, per_sample``."""
    choices = about.get("choices") or (get_args(kind) if get_origin(kind) is Literal else None)
    if choices:
        return f"one of {', '.join(map(str, choices))}"
    kinds = [k for k in members(kind) if k is not NoneType]
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        dict: "KEY=VALUE pairs",
        Sequence: "a list",
        tuple: "a list",
        Path: "a path",
    }
    text = " or ".join(names.get(get_origin(k) or k, getattr(k, "__name__", str(k))) for k in kinds)
    signs = (("low", ">="), ("above", ">"), ("below", "<"))
    bounds = [f"{sign} {about[key]}" for key, sign in signs if about.get(key) is not None]
    return " ".join([text, " and ".join(bounds)]).strip()


def members(kind: Any) -> tuple[Any, ...]:
    """The kinds of a union; of any other kind, itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def fits(value: Any, kind: Any, about: Mapping[str, Any]) -> bool:
    """Whether a value is of this kind, within its range and among its choices."""
    if not any(_is_a(value, each) for each in members(kind)):
        return False
    if value is None:
        return True
    if about.get("choices") and value not in about["choices"]:
        return False
    if isinstance(value, float) and not math.isfinite(value):
        return False
    low, above, below = (about.get(key) for key in ("low", "above", "below"))
    return (
        (low is None or value >= low)
        and (above is None or value > above)
        and (below is None or value < below)
    )


def _is_a(value: Any, kind: Any) -> bool:
    plain = get_origin(kind) or kind
    if plain is Any:
        return True
    if plain is Literal:
        return value in get_args(kind)
    if isinstance(value, bool) and plain in (int, float):
        return False
    # As YAML has them: paths are text, tuples are lists, a whole number is also a float.
    wider = {float: (int, float), tuple: (list, tuple), Path: (str, Path)}
    try:
        return isinstance(value, wider.get(plain, plain))
    except TypeError:  # a kind that nothing can be checked against
        return True


def problem(name: str, value: Any, kind: Any, about: Mapping[str, Any]) -> str | None:
    """``width: expected a whole number >= 2, got 1``, or None if the value will do."""
    if fits(value, kind, about):
        return None
    hint = did_you_mean(value, about["choices"]) if about.get("choices") else ""
    return f"{name}: expected {expected(kind, about)}, got {value!r}{hint}"


def field_problems(config: Any) -> list[str]:
    """What is wrong with the fields of a dataclass made of :func:`option`, each in one line."""
    kinds = types_of(type(config))  # type: ignore[arg-type]
    found = (
        problem(f.name, getattr(config, f.name), kinds[f.name], f.metadata)
        for f in fields(config)
        if f.metadata
    )
    return [text for text in found if text is not None]


def check_fields(config: Any, *more: str) -> None:
    """Raise ConfigError with all problems of the fields, and these, at once."""
    if problems := [*field_problems(config), *more]:
        raise ConfigError(problems)
