"""Block models as matrices of link probabilities between blocks, areas by the blocks' sizes."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from nacgraph.viz.report.nested import nested_html
from nacgraph.viz.report.values import finite, number, number_of, read_stat, undefined, words

TITLES = {
    "sbm": ("SBM", "stochastic block model"),
    "dcsbm": ("DCSBM", "degree-corrected stochastic block model"),
}


# Key of a matrix: what its numbers are.
MATRICES = {
    "block_p": "Share of pairs linked between blocks",
    "omega": "Ends of links between blocks",
}
OF_MODULES = ("labels", "theta")  # a value a module, which says little without the module


def blocks_html(models: Mapping[str, Any]) -> str:
    """Every model: its block matrix, then its other numbers; before them what compares them."""
    parts, beside = [], {}
    for name, raw in models.items():
        if name not in TITLES and not (isinstance(raw, Mapping) and "value" not in raw):
            beside[name] = raw
            continue
        title, explained = TITLES.get(name, (str(name), ""))
        head = f"<h3>{escape(title)} <small>{escape(explained)}</small></h3>"
        parts.append(f"<div class='model'>{head}{_model(raw)}</div>")
    return nested_html(beside) + (f"<div class='pair'>{''.join(parts)}</div>" if parts else "")


def _model(raw: Any) -> str:
    if not isinstance(raw, Mapping) or ("value" in raw and raw["value"] is None):
        return f"<p>{undefined(read_stat(raw).reason)}</p>"
    if set(raw) <= {"value", "reason"} and isinstance(raw.get("value"), Mapping):
        raw = raw["value"]
    values = {str(key): finite(part) for key, part in raw.items()}
    sizes = next((s for k in ("sizes", "block_sizes") if (s := _list(values, k))), None)
    parts, left = [], {}
    for key, part in values.items():
        inner = part.get("value") if isinstance(part, dict) else part
        if isinstance(inner, list) and _is_matrix(inner):
            areas = sizes if sizes and len(sizes) == len(inner) else None
            parts.append(matrix_svg(inner, areas, title=MATRICES.get(key, words(key))))
        elif key not in OF_MODULES:
            left[key] = part
    return "".join(parts) + nested_html(left)


def _list(values: Mapping[str, Any], key: str) -> list[float] | None:
    found = read_stat(values[key]).value if key in values else None
    if not isinstance(found, list) or not all(number_of(v) for v in found):
        return None
    return [float(v) for v in found]


def _is_matrix(value: list[Any]) -> bool:
    rows = [row for row in value if isinstance(row, list) and len(row) == len(value)]
    return bool(value) and len(rows) == len(value)


def matrix_svg(
    matrix: list[list[Any]], sizes: list[float] | None, side: float = 300, title: str = ""
) -> str:
    """A square matrix of numbers as shades, rows as high as blocks are big.

    A block with room for it has its number written in; what has no value has a dashed border.
    """
    weights = [max(w, sum(sizes) / 40) for w in sizes] if sizes else [1.0] * len(matrix)
    total = sum(weights)
    edges = [0.0]
    for weight in weights:
        edges.append(edges[-1] + side * weight / total)
    known = [n for row in matrix for v in row if (n := number_of(v)) is not None]
    top = max([*known, 0.0]) or 1.0
    top = 1.0 if 0.2 <= top <= 1 else top
    marks = []
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            x, y = edges[j], edges[i]
            width, height = edges[j + 1] - x, edges[i + 1] - y
            plain = number_of(value)
            box = f"x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}'"
            if plain is None:
                marks.append(f"<rect {box} class='none'><title>{i}, {j}: undefined</title></rect>")
                continue
            share = max(0.0, min(1.0, plain / top))
            marks.append(
                f"<rect {box} style='--share:{share:.3f}'><title>block {i}, block {j}: "
                f"{plain:.4g}</title></rect>"
            )
            if width >= 30 and height >= 14:
                ink = " class='over'" if share > 0.5 else ""
                marks.append(
                    f"<text x='{x + width / 2:.1f}' y='{y + height / 2 + 3.5:.1f}'{ink}>"
                    f"{plain:.2g}</text>"
                )
    for at, low in enumerate(edges[:-1]):
        middle = (low + edges[at + 1]) / 2
        if edges[at + 1] - low >= 9:
            marks.append(f"<text class='axis' x='-7' y='{middle + 3.5:.1f}'>{at}</text>")
            marks.append(f"<text class='axis' x='{middle:.1f}' y='-5'>{at}</text>")
    shown = f"0 to {number(top, 3)}"
    return (
        f"<svg class='blocks' viewBox='-20 -18 {side + 22:g} {side + 20:g}' role='img' "
        f"aria-label='{escape(title)}'>{''.join(marks)}</svg>"
        f"<p class='faint small'>{escape(title)}, {shown}; "
        f"{'areas by block size' if sizes else 'all blocks drawn equally large'}.</p>"
    )
