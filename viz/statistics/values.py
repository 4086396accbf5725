"""What a statistic looks like: a value, what is known about it, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Statistic = dict[str, Any]
Progress = Callable[[str, float], None]

NO_SPREAD = 1e-12  # of the scale of the values: what rounding alone can make of equal ones


def defined(value: Any, **more: Any) -> Statistic:
    """``{"value": value, ...}`` of plain Python numbers and lists.

    Raises:
        ValueError: If a number is not finite; those are for :func:`undefined`.
    """
    return {name: _plain(name, item) for name, item in {"value": value, **more}.items()}


def undefined(reason: str, **more: Any) -> Statistic:
    """``{"value": None, "reason": reason, ...}``: never 0 and never NaN."""
    return {**defined(None, **more), "reason": reason}


def _plain(name: str, item: Any) -> Any:
    if isinstance(item, np.ndarray | np.generic):
        item = item.tolist()
    if isinstance(item, list | tuple):
        return [_plain(name, part) for part in item]
    if isinstance(item, dict):
        return {str(key): _plain(name, part) for key, part in item.items()}
    if isinstance(item, float) and not math.isfinite(item):
        raise ValueError(f"{name}: expected a finite number, got {item}")
    return item


def spread(values: Sequence[float]) -> float | None:
    """Standard deviation of a sample (n - 1 below), exactly 0 for equal values; None of fewer
    than two."""
    if len(values) < 2:
        return None
    deviation = float(np.std(values, ddof=1))
    scale = max(abs(value) for value in values)
    return 0.0 if deviation <= NO_SPREAD * scale else deviation


def against_nulls(observed: Statistic, nulls: Sequence[Statistic], compared: str = "") -> Statistic:
    r"""The statistic beside its null graphs: ``null_mean``, ``null_sd``, ``nulls`` and ``z``.

    .. math:: z = (x - \bar x_0) / s_0

    ``z`` is None with a ``reason`` where the nulls do not vary or are fewer than two.

    Args:
        observed: The statistic of the graph itself.
        nulls: The same of every null graph; undefined ones are left out.
        compared: Entry of ``observed`` that is compared, ``"value"`` by default.
    """
    values = [null["value"] for null in nulls if null["value"] is not None]
    if observed["value"] is None:
        return observed
    if not nulls:
        return {**observed, "z": None, "reason": "no null graphs were asked for"}
    if not values:
        return {**observed, "z": None, "reason": f"undefined for every null: {nulls[0]['reason']}"}
    mean, deviation = float(np.mean(values)), spread(values)
    known = {**observed, "null_mean": mean, "null_sd": deviation, "nulls": len(values)}
    if deviation is None:
        return {**known, "z": None, "reason": "one null graph has no spread to measure by"}
    if deviation == 0:
        return {**known, "z": None, "reason": "all null graphs have the same value"}
    return {**known, "z": (observed[compared or "value"] - mean) / deviation}


def over_draws(draws: Sequence[Statistic]) -> Statistic:
    """One statistic over several drawn graphs: means, ``sd`` over draws, ``undefined`` count.

    Entries that are numbers (``z``, ``null_mean``, …) are averaged where they are known; lists
    are averaged place by place.
    """
    known = [draw for draw in draws if draw["value"] is not None]
    missing = len(draws) - len(known)
    if not known:
        reason = draws[0]["reason"] if draws else "no graph was drawn"
        return undefined(f"in every draw: {reason}" if draws else reason, undefined=missing)
    values = [draw["value"] for draw in known]
    if isinstance(values[0], list):
        return defined(_mean_of_lists(values), undefined=missing)
    result = defined(float(np.mean(values)), sd=spread(values), undefined=missing)
    for name in known[0]:
        items = [draw[name] for draw in known if _is_number(draw.get(name))]
        if name not in result and items:
            result[name] = float(np.mean(items))
        elif name == "z" and not items:
            result |= {"z": None, "reason": known[0]["reason"]}
    return result


def _is_number(item: Any) -> bool:
    return isinstance(item, int | float) and not isinstance(item, bool)


def _mean_of_lists(lists: Sequence[list[Any]]) -> list[float | None]:
    columns = [[item for item in column if item is not None] for column in zip(*lists, strict=True)]
    return [float(np.mean(column)) if column else None for column in columns]


class Counter:
    """Calls ``progress`` with the share done of work of known length."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, max(1, total), 0

    def step(self, what: str, steps: int = 1) -> None:
        """``steps`` more are done."""
        self._done += steps
        if self._progress is not None:
            self._progress(what, min(1.0, self._done / self._total))
