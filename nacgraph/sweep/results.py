"""What a sweep leaves behind: Markdown, LaTeX, CSV and pictures of its finished runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nacgraph.sweep.gather import Record, Row, gather, rows_of
from nacgraph.sweep.jobs import Job, cell_folder
from nacgraph.sweep.recipe import Cell, Recipe
from nacgraph.sweep.tables import latex, markdown, sections, spreadsheet
from nacgraph.utils.files import write_atomically


def write_results(
    recipe: Recipe,
    cells: Sequence[Cell],
    out: Path,
    scale: str,
    stem: Path,
    command: str | None = None,
) -> str:
    """Write ``stem``.md, .csv, .tex and pictures of what is finished; returns the tables."""
    records = gather(recipe, cells, out)
    if not records:
        return "no cell is finished"
    rows = rows_of(recipe, records)
    plan: Mapping[str, Any] = recipe.scales[scale]
    text = markdown(recipe, rows)
    note = str(plan.get("note") or "").strip()
    head = [f"# {recipe.title}", recipe.about, f"Scale `{scale}`. {note}".strip()]
    whole = "\n\n".join(
        [*(part for part in head if part), text.strip(), *_origin(records, command)]
    )
    write_atomically(Path(f"{stem}.md"), (whole + "\n").encode())
    write_atomically(Path(f"{stem}.tex"), latex(recipe, rows).encode())
    csv = spreadsheet(recipe, records, lambda r: str(cell_folder(Path(), r.cell)))
    write_atomically(Path(f"{stem}.csv"), csv.encode())
    _draw(recipe, rows, stem)
    return text.rstrip() + "\n"


def _origin(records: Sequence[Record], command: str | None) -> list[str]:
    """Which data, command, versions and machines the runs are of."""
    runs = [json.loads((r.folder / "summary.json").read_text("utf-8")) for r in records]
    said = {
        "Data": [run.get("data") for run in runs],
        "Command": [f"`{command}`" if command else None],
        "Versions": [", ".join(map(" ".join, run.get("versions", {}).items())) for run in runs],
        "Machines": [run.get("machine") for run in runs],
    }
    found = {name: sorted({text for text in texts if text}) for name, texts in said.items()}
    return [f"{name}: {'; '.join(texts)}" for name, texts in found.items() if texts]


def _draw(recipe: Recipe, rows: Sequence[Row], stem: Path) -> None:
    from nacgraph.viz import curves_figure, lines_figure, read_metrics

    for name, mine in sections(recipe, rows).items():
        ending = f"-{name}" if name else ""
        labelled = {_label(recipe, row) or name: row for row in mine}
        curves = {
            label: read_metrics(row.records[0].folder / "metrics.csv")
            for label, row in labelled.items()
        }
        curves_figure(curves, {}).savefig(f"{stem}-curves{ending}.png", dpi=120)
        for each in recipe.after:
            lines = {}
            for label, row in labelled.items():
                if found := [r.curves[each.name] for r in row.records if each.name in r.curves]:
                    lines[label] = found
            if lines:
                labels = [str(text) for text in each.series.get("labels", ())]
                figure = lines_figure(lines, *(labels or [each.series["x"], each.series["y"]]))
                figure.savefig(f"{stem}-{each.name}{ending}.png", dpi=120)


def _label(recipe: Recipe, row: Row) -> str:
    """Points of a row, that of its section left out."""
    return ", ".join(p for axis, p in row.points.items() if axis != recipe.sections)


def failures(jobs: Sequence[Job], codes: Mapping[str, int]) -> list[str]:
    """The last line of the log of each failed job."""
    said = []
    for job in jobs:
        lines = job.log.read_text("utf-8", errors="replace").strip().splitlines()
        last = lines[-1] if lines else ""
        said.append(
            f"failed     {job.name} (exit {codes[job.name]}): {last}\n           see {job.log}"
        )
    return said
