"""The report put together: one HTML text from the template, the styles, the script and the data."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from nacgraph.utils.files import write_atomically
from nacgraph.viz.report.blocks import blocks_html
from nacgraph.viz.report.data import Picture, ReportData, check_data
from nacgraph.viz.report.modules import module_table, readout_table
from nacgraph.viz.report.nested import nested_html
from nacgraph.viz.report.payload import module_columns, page_data, script_json
from nacgraph.viz.report.priors import priors_table
from nacgraph.viz.report.svg import embedded_svg
from nacgraph.viz.report.values import number
from nacgraph.viz.report.views import views_table

# One script in this order; each file only uses names of files before it, or of the page's end.
SCRIPTS = (
    *("numbers.js", "links.js", "colours.js", "camera.js", "drawing.js", "circuit.js"),
    *("inspector.js", "heatmap.js", "tables.js", "page.js"),
)
KNOWN = {"run", "config", "summary", "views", "block_models", "priors", "modules", "readouts"}
WIDE = 640  # pixels; a figure of more gets the whole width of the page
KNOWN |= {"checkpoint", "notes"}


def write_report(path: Path, data: ReportData) -> None:
    """Write :func:`render_report` to a file, which is never left half written.

    Raises:
        ValueError: If the data do not fit together.
        nacgraph.utils.errors.CheckpointError: If the file cannot be written.
    """
    write_atomically(Path(path), render_report(data).encode("utf-8"))


def render_report(data: ReportData) -> str:
    """The report as one HTML document that loads nothing. Equal data make equal text.

    Its content security policy forbids every request, and every script but its own, by digest.

    Raises:
        ValueError: If the data do not fit together; see :class:`ReportData`.
    """
    check_data(data)
    script = "".join(_file(name) for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{script}}})();\n'
    sections = [(key, title, body) for key, title, body in _sections(data) if body]
    names = [("circuit", "Circuit"), ("matrix", "Matrix"), *((k, t) for k, t, _ in sections)]
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    parts = {
        "digest": digest,
        "title": escape(data.title),
        "style": _file("report.css"),
        "nav": "".join(f"<a href='#{key}'>{title}</a>" for key, title in names),
        "facts": _facts(data),
        "matrix_title": "P and its target" if data.target is not None else "P",
        "sections": "".join(
            f"<section id='{key}'><h2>{title}</h2>\n{body}\n</section>\n"
            for key, title, body in sections
        ),
        "data": script_json(page_data(data)),
        "script": script,
    }
    # One pass, so that a text of the user's that looks like a place-holder stays a text.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found.group(1)], _file("template.html"))


def _file(name: str) -> str:
    return resources.files(__package__ or "").joinpath(name).read_text("utf-8")


def _sections(data: ReportData) -> list[tuple[str, str, str]]:
    """Key, title and HTML of every section after the drawings; without HTML it is left out."""
    stats = data.statistics
    columns = module_columns(data)
    priors = priors_table(stats.get("priors") or {})
    views = views_table(stats.get("views") or {})
    views_note = (
        "<p class='note'>Each column says which graph it was taken on. z compares with null graphs "
        "of the same degrees (–: not compared); |z| ≥ 3 is set in bold. What has no value says "
        "why.</p>"
    )
    modules = module_table(columns, len(data.probability))
    find = (
        "<div class='bar'><label class='find'>Filter <input type='search' data-filter='modules' "
        "placeholder='number, role, token …'></label>"
        "<span class='faint' data-shown='modules'></span></div>"
    )
    return [
        ("statistics", "Statistics", (views_note + views if views else "") + _further(stats)),
        ("priors", "Priors", priors),
        ("blocks", "Block models", blocks_html(stats.get("block_models") or {})),
        ("modules", "Modules", find + modules),
        ("readouts", "Read-outs", readout_table(stats.get("readouts") or [])),
        ("figures", "Figures", _pictures(data.pictures)),
        ("notes", "Notes", _items(data.notes)),
        ("commands", "Commands", _commands(data.commands)),
        ("settings", "Settings", _settings(stats)),
    ]


def _facts(data: ReportData) -> str:
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in data.facts
    )
    facts = f"<dl class='facts'>{facts}</dl>" if facts else ""
    if not data.notes:
        return facts
    count = "1 note" if len(data.notes) == 1 else f"{len(data.notes)} notes"
    return f"{facts}<p class='note'><a href='#notes'>{count}</a> on what to read with care.</p>"


def _further(stats: Mapping[str, Any]) -> str:
    """Everything in ``stats.json`` that has no section of its own, by its key."""
    parts = []
    titles = {"degree_tail": "Tail of the degree distribution", "probe": "How modules were probed"}
    for key, raw in stats.items():
        if key in KNOWN:
            continue
        raw = raw if isinstance(raw, Mapping) and "value" not in raw else {key: raw}
        # Labels are a column of the module table and a colour of the circuit.
        table = nested_html({k: v for k, v in raw.items() if k != "labels"})
        if table:
            title = titles.get(key, str(key).replace("_", " ").capitalize())
            parts.append(f"<div class='model'><h3>{escape(title)}</h3>{table}</div>")
    return f"<div class='flow'>{''.join(parts)}</div>" if parts else ""


def _pictures(pictures: Sequence[Picture]) -> str:
    parts = []
    for at, picture in enumerate(pictures):
        drawn = embedded_svg(picture.name, picture.svg, f"f{at + 1}-")
        width = re.search(r'style="max-width:(\d+)px"', drawn)
        is_wide = width is not None and int(width.group(1)) > WIDE
        parts.append(
            f"<figure id='figure-{at + 1}'{' class=wide' if is_wide else ''}>{drawn}"
            f"<figcaption><b>{at + 1}. {escape(picture.title)}</b> {escape(picture.caption)} "
            f"<button type='button' class='plain' data-save='{escape(picture.name)}'>Save SVG"
            "</button></figcaption></figure>"
        )
    return f"<div class='figures'>{''.join(parts)}</div>" if parts else ""


def _items(texts: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul class='notes'>{items}</ul>" if items else ""


def _commands(commands: Sequence[str]) -> str:
    return f"<pre>{escape(chr(10).join(commands))}</pre>" if commands else ""


def _settings(stats: Mapping[str, Any]) -> str:
    parts = []
    titles = {"checkpoint": "Checkpoint", "summary": "Summary", "config": "Configuration"}
    for key, title in titles.items():
        values = stats.get(key)
        if isinstance(values, Mapping) and values:
            rows = "".join(
                f"<tr><th scope='row'>{escape(str(name))}</th><td>{_setting(value)}</td></tr>"
                for name, value in values.items()
            )
            parts.append(
                f"<details><summary>{title} <span class='faint'>{len(values)}</span></summary>"
                f"<div class='scroll'><table class='plain'><tbody>{rows}</tbody></table></div>"
                "</details>"
            )
    if "run" in stats:
        parts.insert(0, f"<p class='note'>Run folder <code>{escape(str(stats['run']))}</code></p>")
    return "".join(parts)


def _setting(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value) if value == value and abs(value) != float("inf") else str(value)
    return escape("none" if value is None else str(value))
