"""The tables to sort: one row a module, one row a read-out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from nacgraph.viz.report.labels import COLUMNS, column_label
from nacgraph.viz.report.values import fixed, number_of, read_stat, value_html


def module_table(columns: Mapping[str, Sequence[Any]], count: int) -> str:
    """One row a module; the page's script sorts and filters it."""
    known = [name for name in COLUMNS if name in columns]
    names = _shown([*known, *(name for name in columns if name not in COLUMNS)])
    rows = [{name: values[k] for name, values in columns.items()} for k in range(count)]
    return _table("modules", ("module", "index of the processor module"), names, rows)


def readout_table(rows: Sequence[Any]) -> str:
    """One row a read-out."""
    rows = [row for row in rows if isinstance(row, Mapping)]
    names = _shown(name for row in rows for name in row if name != "readout")
    if not rows:
        return ""
    return _table("readouts", ("read-out", "index of the read-out module"), names, rows)


def _table(
    name: str, first: tuple[str, str], names: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> str:
    index = first[0].replace("-", "")
    places = {n: decimals(row.get(n) for row in rows) for n in names}
    cells = (
        [str(row.get(index, k)), *(_cell(n, row.get(n), row.get(n + SE), places[n]) for n in names)]
        for k, row in enumerate(rows)
    )
    return sortable(name, [first, *map(column_label, names)], [index, *names], cells)


SE = "_se"  # of a column's name: the standard error, shown with the value it belongs to


def _shown(names: Iterable[str]) -> list[str]:
    names = list(dict.fromkeys(names))
    return [n for n in names if not (n.endswith(SE) and n[: -len(SE)] in names)]


TEXTS = {"top_tokens", "role"}


def sortable(
    name: str,
    heads: Sequence[tuple[str, str]],
    keys: Sequence[str],
    rows: Iterable[Sequence[str]],
) -> str:
    """A table whose headings are buttons. Rows carry the index in ``data-k``."""
    top = "".join(
        f"<th scope='col' aria-sort='none'{' class=left' if key in TEXTS else ''}>"
        f"<button type='button' data-sort='{escape(key)}' title='{escape(explained)}'>"
        f"{escape(title)}</button></th>"
        for key, (title, explained) in zip(keys, heads, strict=True)
    )
    rows = list(rows)
    # Of a long table the browser lays out nothing before it is scrolled to.
    long = " long" if len(rows) > 200 else ""
    body = "".join(
        f"<tr data-k='{escape(row[0])}'>"
        + "".join(cell if cell.startswith("<td") else f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>\n"
        for row in rows
    )
    return (
        f"<div class='scroll tall{long}'><table class='sortable' id='table-{name}'>"
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def decimals(values: Iterable[Any]) -> int:
    """Places behind the point that give the largest value of a column three digits, at most six.

    All of a column have as many, so that they can be compared by eye; whole numbers have none.
    """
    known = [abs(n) for value in values if (n := number_of(value)) is not None]
    if all(n == int(n) for n in known) or not any(known):
        return 0
    return min(6, max(0, 2 - math.floor(math.log10(max(known)))))


def _cell(name: str, value: Any, error: Any, places: int) -> str:
    stat = read_stat(value)
    if stat.value is None:
        why = "" if stat.reason == "no reason was recorded" else f" title='{escape(stat.reason)}'"
        return f"<td class='undefined'{why}>undefined</td>"
    if name == "top_tokens" and isinstance(stat.value, list):
        return f"<td class='left tokens'>{tokens_html(stat.value)}</td>"
    plain = number_of(stat.value)
    if plain is None:
        return f"<td class='left'>{value_html(stat.value)}</td>"
    shown = fixed(plain, places)
    spread = number_of(error)
    if spread is not None:
        shown += f" <span class='sd'>± {fixed(spread, places)}</span>"
    # The script sorts by text unless told otherwise: here by what rounding took away, too.
    sort = f" data-v='{plain:.6g}'" if places or spread is not None else ""
    return f"<td{sort}>{shown}</td>"


def tokens_html(tokens: Sequence[Any], most: int = 3) -> str:
    """The first tokens with their share of attention."""
    parts = []
    for entry in tokens[:most]:
        token, share = entry if isinstance(entry, list) and len(entry) == 2 else (entry, None)
        known = number_of(share)
        weight = "" if known is None else f"<small>{known:.2f}</small>"
        parts.append(f"<code>{escape(str(token))}</code>{weight}")
    return " ".join(parts)
