"""Results of a sweep: one record per finished cell, one row per point over its seeds."""

from __future__ import annotations

import csv
import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacgraph.sweep.jobs import after_folder, cell_folder
from nacgraph.sweep.recipe import Cell, Points, Recipe
from nacgraph.utils.stats import Mean, paired_difference

MEASURES = {  # column → key of summary.json
    "val %": "val_accuracy", "test %": "test_accuracy", "majority %": "majority_accuracy",
    "prior": "prior_loss", "floor": "prior_floor", "degree": "mean_degree",
    "isolated": "isolated", "parameters": "parameters", "minutes": "seconds", "steps": "steps",
}  # fmt: skip
_DOT = re.compile(r"\.(?![^\[]*\])")  # not within brackets
_PART = re.compile(r"([^.\[\]]*)(?:\[([^\]]*)\])?")


@dataclass(frozen=True)
class Record:
    """One finished cell.

    Attributes:
        cell: The cell.
        folder: Its run folder.
        values: Column → number, or None where there is none.
        curves: Name of a command for finished runs → its (x, y).
    """

    cell: Cell
    folder: Path
    values: Mapping[str, float | None]
    curves: Mapping[str, list[tuple[float, float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """The records of all seeds at one point of every axis.

    Attributes:
        points: Axis → point.
        records: By seed.
        baseline: Records of the row that this one is compared with; empty for that row itself.
    """

    points: Points
    records: Sequence[Record]
    baseline: Sequence[Record] = ()

    def values(self, column: str) -> list[float]:
        """The numbers of a column, missing ones left out."""
        return [v for r in self.records if (v := r.values.get(column)) is not None]

    def difference(self, column: str) -> Mean | None:
        """This row minus the baseline, paired over the seeds that both have."""
        theirs = {r.cell.seed: r.values.get(column) for r in self.baseline}
        pairs = [
            (mine, other)
            for r in self.records
            if (mine := r.values.get(column)) is not None
            and (other := theirs.get(r.cell.seed)) is not None
        ]
        return paired_difference(*zip(*pairs, strict=True)) if pairs else None


def gather(recipe: Recipe, cells: Sequence[Cell], out: Path) -> list[Record]:
    """The records of all cells that are finished.

    Raises:
        ValueError: If a result lacks what the recipe asks for; names file and path.
    """
    found = []
    for cell in cells:
        folder = cell_folder(out, cell)
        if not (folder / "summary.json").is_file():
            continue
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        values: dict[str, float | None] = {k: summary.get(name) for k, name in MEASURES.items()}
        if (seconds := values["minutes"]) is not None:
            values["minutes"] = seconds / 60
        curves = {}
        for each in recipe.after:
            file = after_folder(out, each, cell) / each.result
            if not each.concerns(cell.points) or not file.is_file():
                continue
            content = read_result(file)
            for column, path in each.columns.items():
                numbers = [float(n) for n in pick(content, path, file) if n is not None]
                values[column] = statistics.mean(numbers) if numbers else None
            if each.series:
                x, y = each.series["x"], each.series["y"]
                rows = pick(content, each.series.get("path", ""), file)
                rows = rows[0] if len(rows) == 1 and isinstance(rows[0], list) else rows
                curves[each.name] = [
                    (float(row[x]), float(row[y])) for row in rows if row.get(y) is not None
                ]
        found.append(Record(cell, folder, values, curves))
    return found


def read_result(file: Path) -> Any:
    """JSON as it is; CSV as a list of rows, with numbers converted."""
    if file.suffix == ".json":
        return json.loads(file.read_text("utf-8"))
    with open(file, newline="", encoding="utf-8") as text:
        return [{k: _number(v) for k, v in row.items()} for row in csv.DictReader(text)]


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text or None


def pick(content: Any, path: str, source: Path | str = "") -> list[Any]:
    """All values at a path: ``runs.0.mean``, ``series[shots=4,adapt=all].mean``.

    ``[key=value,…]`` keeps the rows of a list that have these values.

    Raises:
        ValueError: If there is nothing at the path.
    """
    found = [content]
    for part in _DOT.split(path) if path else []:
        shape = _PART.fullmatch(part)
        name, chosen = shape.groups() if shape else (part, None)
        try:
            if name:
                found = [
                    each[int(name)] if isinstance(each, list) else each[name] for each in found
                ]
            if chosen is not None:
                wanted = [pair.partition("=")[::2] for pair in chosen.split(",")]
                found = [
                    row
                    for each in found
                    for row in each
                    if all(_same(row[key], value) for key, value in wanted)
                ]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{source}: nothing at {path!r} ({error!r})") from error
    if not found:
        raise ValueError(f"{source}: nothing at {path!r}")
    return found


def _same(value: Any, text: str) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value) == text
    return float(value) == _number(text)


def rows_of(recipe: Recipe, records: Sequence[Record]) -> list[Row]:
    """A row for each point of every axis, in the recipe's order, beside its baseline."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record.cell.points.values()), []).append(record)
    order = [list(points) for points in recipe.axes.values()]
    keys = sorted(groups, key=lambda key: [o.index(p) for o, p in zip(order, key, strict=True)])
    found = []
    for key in keys:
        points = dict(zip(recipe.axes, key, strict=True))
        rival = tuple({**points, **recipe.baseline}.values()) if recipe.baseline else key
        baseline = groups.get(rival, []) if rival != key else []
        found.append(Row(points, groups[key], baseline))
    return found
