"""The tables of a sweep: Markdown and LaTeX with mean ± sd over seeds, CSV with every cell."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Sequence

from nacgraph.sweep.gather import MEASURES, Record, Row
from nacgraph.sweep.recipe import Recipe
from nacgraph.utils.stats import Mean

Table = list[list[str]]


def _columns(recipe: Recipe) -> list[str]:
    """Columns of accuracies, and those of the commands on finished runs."""
    return ["val %", "test %", *(column for each in recipe.after for column in each.columns)]


def _scale(column: str) -> float:
    """A column whose name ends in % holds fractions."""
    return 100.0 if column.endswith("%") else 1.0


def mean_sd(values: Sequence[float], scale: float = 1.0, digits: int = 1) -> str:
    """``46.2 ± 0.8``; a single value has no deviation, none at all is a dash."""
    if not values:
        return "–"
    mean = f"{scale * statistics.mean(values):.{digits}f}"
    return f"{mean} ± {scale * statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def difference(found: Mean | None) -> str:
    """``+1.3 (−0.2 to 2.8), p 0.07``, in points."""
    if found is None:
        return ""
    text = f"{100 * found.mean:+.1f}"
    if found.ci95 is not None:
        low, high = found.ci95
        text += f" ({100 * low:.1f} to {100 * high:.1f})"
    text = text.replace("-", "−")
    return text + (f", p {found.p:.2g}" if found.p is not None else "")


def sections(recipe: Recipe, rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by their point of the axis that gets a table each; all under "" without one."""
    if not recipe.sections:
        return {"": list(rows)}
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.points[recipe.sections], []).append(row)
    return found


def table(recipe: Recipe, rows: Sequence[Row]) -> Table:
    """Header and lines of one section."""
    axes = [axis for axis in recipe.axes if axis != recipe.sections]
    shown = [c for c in _columns(recipe) if any(row.values(c) for row in rows)]
    compared = any(row.baseline for row in rows)
    against = [c for c in shown if c != "val %" and c.endswith("%") and compared]
    name = ", ".join(recipe.baseline.values())
    head = [*axes, *shown, *(f"{c[:-2]}: points over {name} (95 %)" for c in against)]
    head += ["parameters", "minutes", "prior (floor)", "degree", "seeds"]
    lines = []
    for row in rows:
        line = [row.points[axis] for axis in axes]
        line += [mean_sd(row.values(c), _scale(c)) for c in shown]
        line += [difference(row.difference(c)) for c in against]
        sizes = row.values("parameters")
        line.append(f"{statistics.mean(sizes):,.0f}" if sizes else "–")
        line.append(f"{statistics.mean(row.values('minutes')):.1f}")
        prior, floor = row.values("prior"), row.values("floor")
        line.append(
            f"{statistics.mean(prior):.4f} ({statistics.mean(floor):.4f})"
            if prior and floor
            else "–"
        )
        degree = row.values("degree")
        line.append(f"{statistics.mean(degree):.1f}" if degree else "–")
        lines.append([*line, str(len(row.records))])
    return [head, *lines]


def markdown(recipe: Recipe, rows: Sequence[Row]) -> str:
    """All sections as Markdown; a line above each gives the majority accuracy."""
    parts = []
    for name, mine in sections(recipe, rows).items():
        head, *lines = table(recipe, mine)
        title = f"**{name}**, " if name else ""
        guess = mean_sd(mine[0].values("majority %")[:1], 100)
        said = [f"{title}majority {guess} %", "", _piped(head), _piped(["---"] * len(head))]
        parts.append("\n".join([*said, *map(_piped, lines)]))
    return "\n\n".join(parts) + "\n"


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def latex(recipe: Recipe, rows: Sequence[Row]) -> str:
    """All sections as LaTeX, for the package booktabs."""
    parts = []
    for name, mine in sections(recipe, rows).items():
        head, *lines = table(recipe, mine)
        caption = f"{recipe.title}{': ' + name if name else ''}"
        made = [
            r"\begin{table}",
            rf"\caption{{{_tex(caption)}}}",
            rf"\begin{{tabular}}{{{'l' * len(recipe.axes)}{'r' * (len(head) - len(recipe.axes))}}}",
            r"\toprule",
            _row(head),
            r"\midrule",
            *map(_row, lines),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        parts.append("\n".join(made))
    return "\n\n".join(parts) + "\n"


_TEX = {"\\": r"\textbackslash{}", "±": r"$\pm$", "–": "--", "−": "$-$", "×": r"$\times$"}
_TEX |= {sign: "\\" + sign for sign in "&%$#_{}"}


def _tex(text: str) -> str:
    return "".join(_TEX.get(sign, sign) for sign in text)


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(_tex, cells)) + r" \\"


def spreadsheet(recipe: Recipe, records: Sequence[Record], name: Callable[[Record], str]) -> str:
    """Every cell as a line of CSV: its points, its seed, all numbers, its folder by ``name``."""
    extra = [column for each in recipe.after for column in each.columns]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*recipe.axes, "seed", *MEASURES, *extra, "folder"])
    for record in records:
        values = [record.values.get(column) for column in (*MEASURES, *extra)]
        shown = ["" if v is None else v for v in values]
        writer.writerow([*record.cell.points.values(), record.cell.seed, *shown, name(record)])
    return text.getvalue()
