"""How far P is from every prior, as numbers and on one line."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from nacgraph.viz.report.values import Stat, number, number_of, read_stat, undefined, words
from nacgraph.viz.report.views import hint, stat_html

KINDS = {
    "mse": "Distance is the mean of (P − T)² over pairs of modules.",
    "kl": "Distance is the mean Bernoulli Kullback–Leibler divergence over pairs of modules.",
}
MARKS = (
    "<span class='mark'>●</span> matched: under the best order found. <span class='mark'>○</span> "
    "raw: as numbered. <span class='mark'>│</span> floor: the least that signatures can reach. "
    "<span class='mark'>◇</span> untrained: matched, before training."
)
DISTANCES = ("matched", "raw", "floor", "untrained")


def priors_table(priors: Mapping[str, Any]) -> str:
    """Distances of P to every prior, and where they lie on one scale."""
    stats = {
        str(name): {k: read_stat(v) for k, v in row.items()}
        for name, row in priors.items()
        if isinstance(row, Mapping)
    }
    if not stats:
        return ""
    found = {n: {k: number_of(s.value) for k, s in row.items()} for n, row in stats.items()}
    far = max((v or 0 for row in found.values() for v in row.values()), default=0) or 1.0
    matched = {n: row["matched"] for n, row in found.items() if row.get("matched") is not None}
    nearest = min(matched, key=lambda n: matched[n] or 0.0) if matched else None
    extra = dict.fromkeys(k for row in stats.values() for k in row if k not in DISTANCES)
    names = [*DISTANCES, *extra]
    head = "".join(f"<th scope='col'>{escape(words(name))}</th>" for name in names)
    rows = []
    for name, row in stats.items():
        cells = []
        for key in names:
            stat = row.get(key, Stat(None, "not computed"))
            if stat.value is None:
                cells.append(f"<td class='reason'>{undefined(stat.reason)}</td>")
            else:
                cells.append(f"<td{hint(stat)}>{stat_html(stat)}</td>")
        near = " class='strong'" if name == nearest else ""
        rows.append(
            f"<tr><th scope='row'{near}>{escape(name)}</th>{''.join(cells)}"
            f"<td class='left'>{_strip(found[name], far)}</td></tr>"
        )
    kinds = {stat.more.get("kind", "mse") for row in stats.values() for stat in row.values()}
    kinds -= {None}
    said = "".join(f"{KINDS[k]} " for k in sorted(map(str, kinds)) if k in KINDS)
    return (
        f"<p class='note'>{said}{MARKS}</p>"
        "<div class='scroll'><table class='priors'><thead><tr><th scope='col'>prior</th>"
        f"{head}<th scope='col' class='left'>0 … {number(far, 3)}</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _strip(row: Mapping[str, float | None], far: float) -> str:
    """Matched ●, raw ○, floor │ and untrained ◇ on a line from 0 to the farthest of all."""
    at = {k: 6 + 188 * v / far for k, v in row.items() if v is not None}
    marks = ["<line x1='6' x2='194' y1='9' y2='9' class='axis'/>"]
    if "floor" in at:
        marks.append(f"<line x1='{at['floor']:.1f}' x2='{at['floor']:.1f}' y1='3' y2='15'/>")
    if "untrained" in at:
        x = at["untrained"]
        marks.append(f"<path d='M{x - 4.5:.1f} 9L{x:.1f} 4.5L{x + 4.5:.1f} 9L{x:.1f} 13.5Z'/>")
    if "raw" in at:
        marks.append(f"<circle cx='{at['raw']:.1f}' cy='9' r='4'/>")
    if "matched" in at:
        marks.append(f"<circle cx='{at['matched']:.1f}' cy='9' r='4' class='full'/>")
    return (
        "<svg class='strip' viewBox='0 0 200 18' width='200' height='18' aria-hidden='true'>"
        f"{''.join(marks)}</svg>"
    )
