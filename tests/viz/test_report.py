"""The HTML report as a text: all is in it, nothing in it acts or loads, numbers come back."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_data import EVIL, SVG, bare_data, links, report_data

from nacgraph.utils.errors import CheckpointError
from nacgraph.viz.report import Picture, ReportData, render_report, write_report
from nacgraph.viz.report.blocks import matrix_svg
from nacgraph.viz.report.modules import decimals, module_table
from nacgraph.viz.report.nested import nested_html
from nacgraph.viz.report.payload import STEPS, pack, quantise, script_json, triangle
from nacgraph.viz.report.svg import embedded_svg
from nacgraph.viz.report.values import fixed, number, read_stat, value_html

VOID = {"meta", "link", "input", "br", "img", "hr"}


class Page(HTMLParser):
    """Elements of a page; fails where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> repeats an attribute: {names}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, text: str) -> None:
        if text.strip():
            self.texts.append((self.open[-1] if self.open else "", text.strip()))

    def shown(self) -> str:
        """What a reader sees, words only."""
        words = " ".join(t for tag, t in self.texts if tag not in ("script", "style"))
        return " ".join(words.split())


def embedded(text: str) -> dict[str, Any]:
    """The JSON that the page's script reads."""
    found = re.search(r'id="nacgraph-data">(.*?)</script>', text, re.S)
    assert found
    return dict(json.loads(found.group(1)))


def unpack(packed: dict[str, Any]) -> np.ndarray:
    """Cache numbers again, as the page's script has them."""

    def whole(text: str, size: int) -> np.ndarray:
        return np.frombuffer(base64.b64decode(text), "u1" if size == 1 else "<u2").astype(int)

    values = whole(packed["values"], packed["bytes"])
    return np.repeat(values, whole(packed["lengths"], 2)) if packed["lengths"] else values


def probabilities(packed: dict[str, Any]) -> np.ndarray:
    kept = unpack(packed)
    return np.where(kept == 0, 0, (kept - 0.5) / packed["levels"])


@pytest.fixture(scope="module")
def text() -> str:
    return render_report(report_data())


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_it_is_well_formed_and_every_id_is_there_once(page: Page) -> None:
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(set(ids)) == len(ids)
    anchors = [a["href"] for tag, a in page.elements if tag == "a"]
    sections = "circuit matrix statistics priors blocks modules readouts figures notes commands"
    assert {f"#{name}" for name in [*sections.split(), "settings"]} <= set(anchors)
    assert {(a or "")[1:] for a in anchors} <= set(ids)


def test_everything_given_is_shown(page: Page) -> None:
    shown = page.shown()
    for words in (
        "nac on listops under ring_of_cliques",
        "Test accuracy 41.2 %",
        "on P > 0.5",
        "on sampled graphs",
        "clustering 0.4300 0.3000 ± 0.010 11.7",
        "0.1500 ± 0.0040",
        "scale_free 0.0500 0.0600 0.0020 0.0700",
        "SBM",
        "A caption.",
        "path length was left out",
        "nacgraph analyze runs/a --html",
        "test_accuracy 0.4120",
        "modularity 0.5100 ± 0.0030",
    ):
        assert words in shown
    rows = [a for tag, a in page.elements if tag == "tr" and "data-k" in a]
    assert len(rows) == 48 + 5
    assert sum(tag == "figure" for tag, _ in page.elements) == 2 + 2


def test_undefined_says_why_and_is_never_blank_or_zero(page: Page) -> None:
    shown = page.shown()
    for reason in (
        "the graph has 3 components",
        "sd is 0",
        "too few links for a fit",
        "9 modules in the tail",
    ):
        assert f"undefined: {reason}" in shown
    assert "path length not computed undefined: the graph has 3 components" in shown
    assert "undefined" in [t for tag, t in page.texts if tag == "td"]  # clustering of module 3


def test_a_value_that_is_not_finite_is_undefined() -> None:
    stats = {"views": {"probability": {"gap": {"value": float("nan")}, "size": float("inf")}}}
    shown = Page(render_report(bare_data(statistics=stats))).shown()
    assert shown.count("undefined: the result was not a finite number") == 2
    assert "NaN" not in script_json({"a": float("nan")}) and script_json([float("inf")]) == "[null]"


def test_it_loads_nothing(text: str, page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("iframe", "object", "embed", "img", "base")
        for name in ("src", "srcset", "action", "data", "poster"):
            assert name not in attributes, (tag, attributes)
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    without_names = re.sub(r"http://www\.w3\.org/(2000/svg|1999/xlink)", "", text)
    loads = r"https?:|//[a-z]+\.[a-z]|@import|url\((?!#)|fetch\(|XMLHttp|WebSocket|import\("
    assert not re.search(loads, without_names)
    policy = next(a["content"] for _, a in page.elements if "http-equiv" in a) or ""
    assert "default-src 'none'" in policy and "'unsafe-eval'" not in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]


def test_texts_cannot_act() -> None:
    data = report_data(
        title=EVIL,
        facts=[(EVIL, EVIL)],
        notes=[EVIL, "{{script}}"],
        commands=[EVIL],
        pictures=[Picture(EVIL, EVIL, EVIL, SVG)],
    )
    stats = dict(data.statistics)
    stats["priors"] = {EVIL: {"raw": 0.1, EVIL: {"value": None, "reason": EVIL}}}
    stats["views"] = {EVIL: {EVIL: {"value": EVIL}, "b": {"value": None, "reason": EVIL}}}
    stats["modules"] = [
        {"module": k, "role": EVIL, EVIL: EVIL, "top_tokens": [[EVIL, 0.5]], "degree": 1.0}
        for k in range(48)
    ]
    stats |= {"config": {EVIL: EVIL}, "run": EVIL, EVIL: {EVIL: EVIL}, "readouts": [{EVIL: EVIL}]}
    stats["block_models"] = {EVIL: {EVIL: EVIL, "matrix": [[1.0]]}}
    made = render_report(replace(data, statistics=stats))
    page = Page(made)
    assert sum(tag == "script" for tag, _ in page.elements) == 2
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert embedded(made)["title"] == EVIL  # unharmed
    assert EVIL in page.shown() and "{{script}}" in page.shown()
    assert "<" not in script_json({"<!--": "</script>"}) and "\u2028" not in script_json("\u2028")


def test_equal_data_make_equal_bytes(tmp_path: Path) -> None:
    write_report(tmp_path / "a.html", report_data())
    write_report(tmp_path / "b.html", report_data())
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.html", "b.html"]
    with pytest.raises(CheckpointError, match="not written"):
        write_report(tmp_path / "none" / "c.html", report_data())


@pytest.mark.parametrize("modules", [48, 600])  # two bytes a pair, and one
def test_probabilities_come_back(modules: int) -> None:
    data = report_data(modules=modules)
    read = embedded(render_report(data))
    for packed, real in (
        (read["link"], triangle(data.probability)),
        (read["readoutLink"], np.asarray(data.readout_probability).ravel()),
        (read["target"], triangle(np.asarray(data.target))),
    ):
        assert np.abs(probabilities(packed) - real).max() <= 0.5 / packed["levels"] + 1e-12
        for step in (0, 1, 37, 100, 199, 200):
            above = unpack(packed) > step * packed["levels"] // STEPS
            assert (above == (real > step / STEPS)).all()
    assert read["order"] == list(data.order)
    # A prior's target is blocks of few values.
    assert len(read["target"]["values"]) < len(read["link"]["values"]) / 10


def test_1024_modules_take_about_a_megabyte() -> None:
    link, _ = links(1024, 32)
    text = render_report(bare_data(1024, probability=link))
    assert len(embedded(text)["link"]["values"]) <= 4 * -(-1024 * 1023 // 2 // 3)
    assert len(text) < 1_250_000


@given(st.lists(st.floats(0, 1), max_size=60), st.integers(0, STEPS), st.sampled_from([200, 60000]))
def test_a_threshold_cuts_kept_numbers_where_it_cuts_real_ones(
    values: list[float], step: int, levels: int
) -> None:
    given = np.array([*values, step / STEPS, 0.0, 1.0])
    kept = quantise(given, levels)
    assert ((kept > step * levels // STEPS) == (given > step / STEPS)).all()
    assert kept.max() <= levels
    read = np.where(kept == 0, 0, (kept - 0.5) / levels)
    assert (np.abs(read - given) <= 0.5 / levels + 1e-12).all()


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.05, 0.9]), st.integers(1, 80_000)), max_size=4))
def test_runs_of_any_length_come_back(runs: list[tuple[float, int]]) -> None:
    values = np.concatenate([np.full(n, v) for v, n in runs] or [np.zeros(0)])
    packed = pack(values)
    assert (unpack(packed) == quantise(values, packed["levels"])).all()


def test_whatever_is_missing_is_left_out() -> None:
    page = Page(render_report(bare_data()))
    ids = {a["id"] for _, a in page.elements if "id" in a}
    assert {"circuit", "matrix", "modules"} <= ids
    assert not {"statistics", "priors", "blocks", "readouts", "figures", "notes", "commands"} & ids
    full = report_data()
    for key in full.statistics:
        rest = {k: v for k, v in full.statistics.items() if k != key}
        Page(render_report(replace(full, statistics=rest)))
        Page(render_report(replace(full, statistics={key: full.statistics[key]})))
        for empty in (None, {}):
            if key not in ("modules", "readouts", "run"):
                Page(render_report(replace(full, statistics={**full.statistics, key: empty})))


def test_degree_and_community_come_from_elsewhere_where_the_table_has_none() -> None:
    link, group = links(7, 2)
    read = embedded(
        render_report(
            bare_data(
                7,
                probability=link,
                statistics={
                    "communities": {"labels": group},
                    "modules": [{"module": 2, "role": "digits"}],
                },
            )
        )
    )
    assert np.allclose(read["columns"]["degree"], link.sum(1) - 1, rtol=1e-5)
    assert read["columns"]["community"] == group
    assert read["columns"]["role"] == [None, None, "digits", None, None, None, None]


def test_places_fill_the_square_and_keep_their_shape() -> None:
    places = np.array([[10.0, 5.0], [14.0, 5.0], [12.0, 6.0]])
    read = embedded(render_report(bare_data(3, positions=places)))
    assert read["places"] == [[-1, -0.25], [1, -0.25], [0, 0.25]]
    assert embedded(render_report(bare_data(2)))["places"] == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"probability": np.zeros((2, 3))}, r"probability: expected \(U, U\)"),
        ({"probability": np.zeros((0, 0))}, r"U >= 1, got \(0, 0\)"),
        ({"probability": np.full((2, 2), 1.5)}, "probability: expected values from 0 to 1, got 4"),
        ({"probability": np.full((2, 2), np.nan)}, "probability: expected values from 0 to 1"),
        ({"positions": np.zeros((3, 2))}, r"positions: expected \(2, 2\), got \(3, 2\)"),
        ({"positions": np.full((2, 2), np.inf)}, "positions: expected finite"),
        ({"order": [0, 0]}, "order: expected each of 0 … 1 once"),
        ({"target": np.eye(3)}, r"target: expected \(2, 2\)"),
        ({"readout_probability": np.zeros((1, 2))}, "readout_positions: expected both"),
        ({"pictures": [Picture("a", "", "", SVG)] * 2}, "pictures: expected different names"),
        ({"pictures": [Picture("a", "", "", "<svg")]}, "picture 'a': expected an SVG"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], message: str) -> None:
    data: ReportData = bare_data(2, **changed)
    with pytest.raises(ValueError, match=message):
        render_report(data)


def test_figures_have_names_of_their_own_and_cannot_act() -> None:
    made = embedded_svg("x", SVG, "f1-")
    assert 'id="f1-a"' in made and 'href="#f1-a"' in made and 'clip-path="url(#f1-c)"' in made
    assert made.startswith("<svg") and " width=" not in made and 'viewBox="0 0 10 5"' in made
    evil = (
        "<svg xmlns='http://www.w3.org/2000/svg' onload='x()' width='3' height='4'>"
        "<script>x()</script><style>@import 'http://a.b/c'</style><metadata>m</metadata>"
        "<a href='javascript:x()'><path d='M0 0' fill='url(http://a.b/c)' onclick='x()'/></a>"
        "<foreignObject/><image href='data:image/png;base64,AA'/></svg>"
    )
    made = embedded_svg("x", evil, "p")
    for bad in ("script", "onload", "onclick", "a.b", "metadata", "foreignObject", "<style"):
        assert bad not in made
    assert "data:image/png" in made and 'viewBox="0 0 3 4"' in made
    assert 'style="max-width:4px"' in made  # 3 points; never drawn larger than it is


def test_a_column_has_as_many_places_as_its_largest_value_needs() -> None:
    assert [decimals(v) for v in ([1, 20], [0.00131, -0.0055], [41.2, None, 3], [0.0], [])] == [
        0,
        5,
        1,
        0,
        0,
    ]
    assert [fixed(-0.0055, 5), fixed(-0.001, 2), fixed(1234.5, 1)] == [
        "−0.00550",
        "0.00",
        "1\u202f234.5",
    ]
    made = module_table({"loss": [0.5, -0.25], "loss_se": [0.1, None]}, 2)
    assert "0.500 <span class='sd'>± 0.100</span>" in made and "data-v='-0.25'>−0.250<" in made
    assert "loss_se" not in made and "loss se" not in made


def test_objects_of_any_depth_are_shown() -> None:
    page = Page(
        nested_html(
            {
                "verdict": "Too few to tell.",
                "alpha": {"value": None, "reason": "no tail"},
                "xmin": {"value": None, "reason": "no tail"},
                "empty": {},
                "kept": {"value": 3, "sd": 0.5},
                "alternatives": {
                    "a": {"ratio": {"value": -1.5}, "p": 0.2},
                    "b": {"ratio": 2, "p": 0.3},
                },
            }
        )
    )
    shown = page.shown()
    assert "Too few to tell." in shown and "α, xmin undefined: no tail" in shown
    assert "kept 3 ± 0.50" in shown and "empty" not in shown
    assert "power law against" in shown and "a −1.500 0.2000 b 2 0.3000" in shown


def test_lists_are_curves_or_said_in_words() -> None:
    assert "<polyline" in value_html([3, 1, 2, 5, 4, 7, None, 6])
    assert "1 … 7, 1 undefined" in value_html([3, 1, 2, 5, 4, 7, None, 6])
    assert "<polyline" in value_html([[1, 1.0], [4, 0.5]])
    assert value_html([[0.1, 0.2], [0.0, 0.3]]).count("2 rows of 2 numbers") == 1
    assert value_html([]) == "none" and value_html([1, None]) == "1, undefined"


def test_numbers_as_printed() -> None:
    assert [number(v) for v in (0, 3, 1234567, -0.0821, 41.239, 999.96, 12345.6)] == [
        "0",
        "3",
        "1.23×10<sup>6</sup>",
        "−0.0821",
        "41.24",
        "1\u202f000.0",
        "12\u202f346",
    ]
    assert number(1.2e-7) == "1.20×10<sup>−7</sup>"
    assert read_stat({"value": None}).reason == "no reason was recorded"
    assert read_stat(True).value is True and read_stat(np.float32(0.5)).value == 0.5


def test_block_areas_follow_block_sizes() -> None:
    made = matrix_svg([[0.9, 0.1], [0.1, None]], [3.0, 1.0], side=100)
    found = re.findall(r"<rect x='([\d.]+)' y='([\d.]+)' width='([\d.]+)' height='([\d.]+)'", made)
    assert [tuple(map(float, row)) for row in found] == [
        (0, 0, 75, 75),
        (75, 0, 25, 75),
        (0, 75, 75, 25),
        (75, 75, 25, 25),
    ]
    assert "--share:0.900" in made and "1, 1: undefined" in made
