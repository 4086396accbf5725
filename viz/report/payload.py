"""The numbers that the page's script reads: probabilities in few bytes, and JSON safe in HTML.

A probability p is kept as the smallest whole q with p <= q / levels. Then ``p > k / levels`` if and
only if ``q > k``, so that a threshold on the grid cuts the kept numbers exactly where it cuts the
real ones. They are shown as (q - 1/2) / levels, at most 1 / (2 levels) off.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from nacgraph.viz.report.data import ReportData
from nacgraph.viz.report.values import finite, number_of

STEPS = 200  # places of the threshold slider between 0 and 1
COARSE, FINE = STEPS, 300 * STEPS  # levels: multiples of STEPS that fit one byte, or two
FINE_UP_TO = 150_000  # values; more take one byte each, so that 1,024 modules stay under 1 MB


def quantise(values: np.ndarray, levels: int) -> np.ndarray:
    """Probabilities (…) as whole numbers 0 … levels; see the equation above."""
    grid = np.arange(levels + 1) / levels
    return np.searchsorted(grid, np.clip(values, 0, 1), side="left").astype("<u2")


def pack(values: np.ndarray) -> dict[str, Any]:
    """Probabilities (n,) for the page: base64 of one or two bytes each, little end first.

    ``lengths`` says how often each value is repeated, where runs take less room (a prior's target
    has few distinct values); otherwise it is None.
    """
    fine = values.size <= FINE_UP_TO
    levels, width = (FINE, "<u2") if fine else (COARSE, "u1")
    kept = quantise(values.ravel(), levels)
    starts = np.flatnonzero(np.r_[True, kept[1:] != kept[:-1]]) if kept.size else np.array([], int)
    lengths = np.diff(np.r_[starts, kept.size])
    # A length has two bytes; a longer run goes on in the next.
    pieces = np.maximum(1, -(-lengths // 65535))
    full = np.full(int(pieces.sum()), 65535)
    full[np.cumsum(pieces) - 1] = lengths - 65535 * (pieces - 1)
    bytes_each = np.dtype(width).itemsize
    short = full.size * (bytes_each + 2) < kept.size * bytes_each
    stored = np.repeat(kept[starts], pieces) if short else kept
    return {
        "levels": levels,
        "bytes": bytes_each,
        "values": _base64(stored.astype(width)),
        "lengths": _base64(full.astype("<u2")) if short else None,
    }


def triangle(matrix: np.ndarray) -> np.ndarray:
    """The pairs i < j of a symmetric (n, n) matrix, row by row: (n (n - 1) / 2,)."""
    values = np.asarray(matrix, dtype=np.float64)
    return values[np.triu_indices(len(values), 1)]


def page_data(data: ReportData) -> dict[str, Any]:
    """What the script needs: matrices, places, and the columns of the module table it draws."""
    link = np.asarray(data.probability, dtype=np.float64)
    places = np.asarray(data.positions, dtype=np.float64)
    others = data.readout_positions
    together = places if others is None else np.concatenate([places, others])
    together = unit_square(together)
    has_readouts = data.readout_probability is not None
    return {
        "title": data.title,
        "modules": len(link),
        "readouts": len(others) if others is not None else 0,
        "steps": STEPS,
        "link": pack(triangle(link)),
        "readoutLink": pack(np.asarray(data.readout_probability)) if has_readouts else None,
        "target": None if data.target is None else pack(triangle(data.target)),
        "order": [int(k) for k in data.order],
        "places": [[round(float(v), 4) for v in row] for row in together],
        "columns": module_columns(data),
        "readoutConfidence": _readout_confidence(data),
    }


def module_columns(data: ReportData) -> dict[str, list[Any]]:
    """Degree, community, role, … of every module, each a list of U values or None.

    The expected degree of module i is the sum over j ≠ i of P_ij where ``statistics`` has none.
    """
    modules = len(data.probability)
    rows: list[dict[str, Any]] = [{} for _ in range(modules)]
    for at, row in enumerate(data.statistics.get("modules") or []):
        k = row.get("module", at)
        if isinstance(k, int) and 0 <= k < modules:
            rows[k] = dict(row)
    link = np.asarray(data.probability, dtype=np.float64)
    expected = link.sum(1) - np.diag(link)
    labels = (data.statistics.get("communities") or {}).get("labels")
    for k, row in enumerate(rows):
        if number_of(row.get("degree")) is None:
            row["degree"] = float(expected[k])
        if row.get("community") is None and isinstance(labels, list) and len(labels) == modules:
            row["community"] = labels[k]
    names = dict.fromkeys(name for row in rows for name in row if name != "module")
    return {name: [_plain(row.get(name)) for row in rows] for name in names}


def unit_square(places: np.ndarray) -> np.ndarray:
    """Places (n, 2) moved and scaled, both axes alike, so that they fill -1 … 1 around 0."""
    low, high = places.min(0), places.max(0)
    size = float((high - low).max())
    return (places - (low + high) / 2) * (2 / size if size > 0 else 1)


def script_json(value: Any) -> str:
    """JSON that may stand inside ``<script>``: nothing in it can end the element or open a comment.

    Equal values make equal text. A number that is not finite becomes null.
    """
    text = json.dumps(
        finite(value), ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    )
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _readout_confidence(data: ReportData) -> list[float | None]:
    rows = data.statistics.get("readouts") or []
    found = {row.get("readout", k): number_of(row.get("confidence")) for k, row in enumerate(rows)}
    count = 0 if data.readout_positions is None else len(data.readout_positions)
    return [found.get(k) for k in range(count)]


def _plain(value: Any) -> Any:
    """A number to six digits, top tokens as they are, a statistic's value, or a text."""
    if isinstance(value, dict):
        value = value.get("value")
    number = number_of(value)
    if number is not None:
        return int(number) if number == int(number) else float(f"{number:.6g}")
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if value is None or isinstance(value, float) else str(value)


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")
