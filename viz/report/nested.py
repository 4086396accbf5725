"""Objects of any depth as small tables: what has no table of its own is shown all the same."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from nacgraph.viz.report.labels import label
from nacgraph.viz.report.values import read_stat, undefined, words
from nacgraph.viz.report.views import hint, stat_html


def nested_html(values: Mapping[str, Any], depth: int = 0) -> str:
    """Name and value of everything in an object, then its inner objects, each under its name.

    Neighbours that are undefined for the same reason share a row. Objects that hold the same
    names, such as one entry a rival, are a table with a row each. Sentences come first.
    """
    inner = {k: v for k, v in values.items() if is_object(v)}
    plain = {k: v for k, v in values.items() if k not in inner and not _is_empty(v)}
    parts = []
    said = {k: v for k, v in plain.items() if isinstance(v, str) and v.endswith(".")}
    parts += [f"<p class='said'>{escape(text)}</p>" for text in said.values()]
    parts.append(_rows({k: v for k, v in plain.items() if k not in said}))
    columns = _common(inner)
    if columns:
        parts.append(_grid(inner, columns))
    else:
        for key, part in inner.items():
            body = nested_html(part, depth + 1)
            parts.append(f"<h4>{escape(label(key)[0])}</h4>{body}" if body else "")
    return "".join(parts)


def is_object(value: Any) -> bool:
    """Whether this holds statistics, rather than being one."""
    return isinstance(value, Mapping) and bool(value) and not {"value", "reason"} & set(value)


def _is_empty(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple)) and not value


def _rows(values: Mapping[str, Any]) -> str:
    rows: list[tuple[list[str], str, str]] = []  # names, reason or "", cell
    for key, raw in values.items():
        stat = read_stat(raw)
        why = stat.reason if stat.value is None else ""
        if why and rows and rows[-1][1] == why:
            rows[-1][0].append(str(key))
            continue
        after = f" <span class='faint'>{escape(stat.reason)}</span>" if not why else ""
        cell = f"<td{hint(stat)}>{undefined(why) if why else stat_html(stat) + after}</td>"
        rows.append(([str(key)], why, cell))
    if not rows:
        return ""
    body = ""
    for names, _, cell in rows:
        titles, meanings = zip(*(label(name) for name in names), strict=True)
        told = escape("; ".join(filter(None, meanings)))
        body += f"<tr><th scope='row' title='{told}'>{escape(', '.join(titles))}</th>{cell}</tr>"
    return f"<div class='scroll'><table class='plain'><tbody>{body}</tbody></table></div>"


def _common(inner: Mapping[str, Any]) -> list[str]:
    """The names that all inner objects share, if there are several and they differ little."""
    if len(inner) < 2:
        return []
    names = [set(part) for part in inner.values()]
    if set.intersection(*names) != set.union(*names):
        return []
    return list(next(iter(inner.values())))


def _grid(inner: Mapping[str, Any], columns: list[str]) -> str:
    head = "".join(f"<th scope='col'>{escape(label(c)[0])}</th>" for c in columns)
    body = "".join(
        f"<tr><th scope='row'>{escape(words(name))}</th>"
        + "".join(f"<td{hint(read_stat(part[c]))}>{_cell(part[c])}</td>" for c in columns)
        + "</tr>"
        for name, part in inner.items()
    )
    return (
        f"<div class='scroll'><table class='plain grid'><thead><tr><th></th>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(raw: Any) -> str:
    return stat_html(read_stat({"value": raw} if is_object(raw) else raw))
