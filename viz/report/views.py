"""The statistics of P, of P > 0.5 and of sampled graphs side by side, one row a statistic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from nacgraph.viz.report.labels import VIEWS, label
from nacgraph.viz.report.values import (
    Stat,
    number,
    number_of,
    read_stat,
    score,
    undefined,
    value_html,
    words,
)


def views_table(views: Mapping[str, Any]) -> str:
    """A table of all views; what is one number a row comes first, then lists."""
    found = {name: dict(flatten(stats)) for name, stats in views.items() if stats}
    if not found:
        return ""
    # A view without null models has no empty columns for them.
    wide = {
        name: any(s.z is not None or s.null_mean is not None for s in stats.values())
        for name, stats in found.items()
    }
    top, below = ["<th rowspan='2' scope='col'>statistic</th>"], []
    for name in found:
        title, explained = VIEWS.get(name, (words(name), ""))
        span = 3 if wide[name] else 1
        top.append(
            f"<th colspan='{span}' scope='colgroup' class='view'>{escape(title)}"
            f"<small>{escape(explained)}</small></th>"
        )
        below.append("<th scope='col' class='view'>value</th>")
        if wide[name]:
            below.append("<th scope='col'>null mean ± sd</th><th scope='col'>z</th>")
    keys = list(dict.fromkeys(key for stats in found.values() for key in stats))
    lists = {k for k in keys if any(_is_list(stats.get(k)) for stats in found.values())}
    rows = []
    for key in sorted(keys, key=lambda k: k in lists):
        title, explained = label(key)
        cells = [f"<th scope='row' title='{escape(explained)}'>{escape(title)}</th>"]
        cells += [_cells(stats.get(key), wide[name]) for name, stats in found.items()]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f"<div class='scroll'><table class='statistics'><thead><tr>{''.join(top)}</tr>"
        f"<tr>{''.join(below)}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def flatten(stats: Any, before: str = "") -> Iterator[tuple[str, Stat]]:
    """Statistics by key; those of an object of statistics get its key in front."""
    for key, raw in stats.items() if isinstance(stats, Mapping) else ():
        name = f"{before} · {key}" if before else str(key)
        if isinstance(raw, Mapping) and raw and "value" not in raw and "reason" not in raw:
            yield from flatten(raw, name)
        else:
            yield name, read_stat(raw)


def _is_list(stat: Stat | None) -> bool:
    return stat is not None and isinstance(stat.value, (list, dict))


def stat_html(stat: Stat) -> str:
    """Value ± sd, its unit and share beneath, the rest of what is known as a hint."""
    if stat.value is None:
        return undefined(stat.reason)
    value = value_html(stat.value)
    if stat.sd is not None:
        value += f" <span class='sd'>± {number(stat.sd, 2)}</span>"
    told = [str(stat.more[k]) for k in ("unit", "remark", "by") if stat.more.get(k)]
    share = number_of(stat.more.get("share"))
    if share is not None and share < 1:
        told.insert(0, f"share {share:.3g}")
    if told:
        value += f"<small class='told'>{escape('; '.join(told))}</small>"
    return value


def hint(stat: Stat) -> str:
    """A ``title`` attribute with the numbers and words kept beside a value."""
    shown = [
        f"{words(key)} {value:.4g}" if isinstance(value, float) else f"{words(key)} {value}"
        for key, value in stat.more.items()
        if isinstance(value, (str, int, float)) and value != 0
    ]
    return f" title='{escape(', '.join(shown))}'" if shown else ""


def _cells(stat: Stat | None, wide: bool) -> str:
    rest = "<td colspan='2'></td>" if wide else ""
    if stat is None:
        return f"<td class='view faint'>not computed</td>{rest}"
    if stat.value is None:
        return f"<td class='view reason' colspan='{3 if wide else 1}'>{undefined(stat.reason)}</td>"
    value = f"<td class='view'{hint(stat)}>{stat_html(stat)}</td>"
    if not wide:
        return value
    if _is_list(stat):
        return value + rest
    if stat.null_mean is None and stat.z is None and not stat.reason:
        dash = "<td class='faint' title='not compared with null graphs'>–</td>"
        return value + dash + dash
    null = "" if stat.null_mean is None else number(stat.null_mean)
    if stat.null_sd is not None:
        null += f" <span class='sd'>± {number(stat.null_sd, 2)}</span>"
    if stat.z is None:
        why = stat.reason or "all null graphs agree, or there are too few"
        z = f"<td class='reason'>{undefined(why)}</td>"
    else:
        strong = " class='strong'" if abs(stat.z) >= 3 else ""
        z = f"<td{strong}>{score(stat.z)}</td>"
    return f"{value}<td>{null}</td>{z}"
