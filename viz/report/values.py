"""Numbers as they are printed, and the statistics of ``stats.json`` read tolerantly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Stat:
    """One statistic; ``reason`` says why there is no value, ``more`` is all else kept with it."""

    value: Any
    reason: str = ""
    sd: float | None = None
    z: float | None = None
    null_mean: float | None = None
    null_sd: float | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


OWN = ("value", "reason", "sd", "z", "null_mean", "null_sd")


def read_stat(raw: Any) -> Stat:
    """A statistic from an object {"value": …}, a bare number, a list or a text."""
    if not isinstance(raw, Mapping):
        raw = {"value": raw}
    value = finite(raw.get("value"))
    reason = str(raw.get("reason") or "")
    if value is None and not reason:
        is_number = isinstance(raw.get("value"), (float, np.floating))
        reason = "the result was not a finite number" if is_number else "no reason was recorded"
    return Stat(
        value,
        reason,
        number_of(raw.get("sd")),
        number_of(raw.get("z")),
        number_of(raw.get("null_mean")),
        number_of(raw.get("null_sd")),
        {str(key): finite(part) for key, part in raw.items() if key not in OWN},
    )


def number_of(value: Any) -> float | None:
    """A finite number, out of a statistic too, or None. Truth values are no numbers."""
    if isinstance(value, Mapping):
        value = value.get("value")
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        return None
    return float(value) if math.isfinite(value) else None


def finite(value: Any) -> Any:
    """The same in plain JSON types, with None for every number that is not finite."""
    if isinstance(value, Mapping):
        return {str(key): finite(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return finite(value.tolist())
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def number(value: float, digits: int = 4) -> str:
    """HTML of a number: four digits, a true minus, powers of ten where zeros would crowd."""
    if value == int(value) and abs(value) < 1e6:
        return _signed(f"{int(value):,}".replace(",", "\u202f"))
    if 1e-3 <= abs(value) < 1e6:
        places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{min(places, 4)}f}".replace(",", "\u202f")
        return _signed(text)
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{_signed(mantissa)}×10<sup>{_signed(str(int(exponent)))}</sup>"


def fixed(value: float, places: int) -> str:
    """A number with this many decimals; never a negative zero."""
    text = f"{value:,.{places}f}".replace(",", "\u202f")
    return _signed(text if text.strip("-0.") else text.lstrip("-"))


def score(z: float) -> str:
    """HTML of a z-score, to one part in a hundred or a few of them."""
    if abs(z) >= 1000:
        return number(z, 3)
    return _signed(f"{z:.1f}" if abs(z) >= 10 else f"{z:.2f}")


def undefined(reason: str) -> str:
    """HTML of a value that does not exist, with the reason in words."""
    return f'<span class="undefined"><b>undefined:</b> {escape(reason)}</span>'


def words(key: str) -> str:
    """A key of a JSON object as a label: ``mean_degree`` is "mean degree"."""
    return key.replace("_", " ").strip()


def value_html(value: Any) -> str:
    """HTML of a value of any JSON type; a long list becomes a small curve and its range."""
    plain = number_of(value)
    if plain is not None and not isinstance(value, Mapping):
        return number(plain)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{escape(words(str(k)))} {value_html(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return _list_html(value)
    return undefined("no reason was recorded") if value is None else escape(str(value))


def _list_html(values: Sequence[Any]) -> str:
    if not values:
        return "none"
    numbers = [number_of(value) for value in values]
    known = sorted((n for n in numbers if n is not None), reverse=True)
    if len(known) > 6:  # a value a module: how they are spread says more than their order
        gaps = f", {len(values) - len(known)} undefined" if len(known) < len(values) else ""
        span = f"{number(known[-1])} … {number(known[0])}"
        return _drawn(curve(list(enumerate(known))), span + gaps)
    points = [(number_of(v[0]), number_of(v[1])) for v in values if _is_pair(v)]
    pairs = [(x, y) for x, y in points if x is not None and y is not None]
    if len(pairs) == len(values) and all(
        a[0] < b[0] for a, b in zip(pairs, pairs[1:], strict=False)
    ):
        return _drawn(curve(pairs), f"at {number(pairs[0][0])} … {number(pairs[-1][0])}")
    if all(isinstance(value, (list, tuple)) for value in values):
        return f"<span class='faint'>{len(values)} rows of {len(values[0])} numbers</span>"
    if len(values) > 12:
        return f"<span class='faint'>a list of {len(values)}</span>"
    return ", ".join("undefined" if v is None else value_html(v) for v in values)


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2


def _drawn(drawing: str, span: str) -> str:
    return f"{drawing}<small class='told'>{span}</small>"


def curve(points: Sequence[tuple[float, float]], width: int = 84, height: int = 18) -> str:
    """A curve as small as a word through points (x, y)."""
    xs, ys = zip(*points, strict=True)
    wide, high = max(xs) - min(xs), max(ys) - min(ys)
    drawn = " ".join(
        f"{1 + (width - 2) * (x - min(xs)) / (wide or 1):.1f},"
        f"{height - 1.5 - (height - 3) * ((y - min(ys)) / high if high else 0.5):.1f}"
        for x, y in points
    )
    return (
        f'<svg class="curve" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'aria-hidden="true"><polyline points="{drawn}"/></svg>'
    )


def _signed(text: str) -> str:
    return text.replace("-", "\u2212")
