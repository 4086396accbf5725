"""The HTML report in a real browser: drawings, slider, pointer, tables, themes, size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import MISSING, Browser
from report_data import EVIL, bare_data, links, report_data

from nacgraph.viz.report import Picture, ReportData, write_report
from nacgraph.viz.report.payload import triangle

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=MISSING)]

SET_THRESHOLD = """
const slider = document.getElementById("threshold");
slider.value = Math.round(arguments[0] * 200);
slider.dispatchEvent(new Event("input"));
"""
INK = """
const canvas = document.getElementById(arguments[0]);
const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
let sum = 0;
for (let k = 3; k < pixels.length; k += 4) sum += pixels[k] > 0;
return sum / (canvas.width * canvas.height);
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as window:
        yield window


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


def settle(browser: Browser) -> None:
    """Wait until nothing is left to draw."""
    browser.wait(lambda: browser.value("window.nacgraph && nacgraph.settled"), "drawn")


def show(browser: Browser, folder: Path, data: ReportData) -> ReportData:
    """Open a report; whatever was said before is forgotten."""
    write_report(folder / "report.html", data)
    browser.prefer("light")
    browser.log()
    browser.open(folder / "report.html")
    settle(browser)
    browser.run("localStorage.clear()")
    return data


def on_page(browser: Browser, k: int) -> tuple[float, float]:
    """Where node k lies in the window."""
    x, y = browser.run(
        "const b = document.getElementById('canvas'); b.scrollIntoView({block: 'center'});"
        "const r = b.getBoundingClientRect(), p = nacgraph.place(arguments[0]);"
        "return [r.left + p.x, r.top + p.y];",
        k,
    )
    return x, y


def column(browser: Browser, table: str, at: int) -> list[str]:
    rows = f"[...document.querySelectorAll('#table-{table} tbody tr')]"
    return list(browser.value(f"{rows}.map((tr) => tr.cells[{at}].textContent)"))


def sort_by(browser: Browser, table: str, key: str) -> str:
    button = f"document.querySelector('#table-{table} [data-sort={key}]')"
    browser.run(f"{button}.click()")
    return str(browser.value(f"{button}.parentElement.getAttribute('aria-sort')"))


def press(browser: Browser, selector: str) -> None:
    browser.run("document.querySelector(arguments[0]).click()", selector)


def test_it_draws_and_loads_nothing_and_says_nothing(browser: Browser, folder: Path) -> None:
    show(browser, folder, report_data())
    assert 0.01 < browser.run(INK, "canvas") < 0.9
    assert browser.run(INK, "map-link") == browser.run(INK, "map-target") == 1
    assert browser.value("performance.getEntriesByType('resource').length") == 0
    assert browser.log() == []
    assert "41.2 %" in browser.value("document.body.innerText")


@pytest.mark.parametrize("modules", [48, 600])
def test_the_slider_draws_exactly_the_links_above_it(
    browser: Browser, folder: Path, modules: int
) -> None:
    data = show(browser, folder, report_data(modules=modules))
    assert browser.value("nacgraph.threshold") == 0.5
    pairs, outward = triangle(data.probability), np.asarray(data.readout_probability)
    for threshold in (0.5, 0.75, 0.3, 0.995, 1.0, 0.2):
        browser.run(SET_THRESHOLD, threshold)
        settle(browser)
        linked = data.probability > threshold
        np.fill_diagonal(linked, False)
        count = int((pairs > threshold).sum())
        assert browser.value("nacgraph.graph.edges") == count
        drawn = browser.value("nacgraph.drawn")
        assert drawn == {"links": count, "readoutLinks": int((outward > threshold).sum())}
        counts = browser.value("nacgraph.counts")
        assert counts["isolated"] == int((~linked.any(1)).sum())
        assert counts["meanDegree"] == pytest.approx(2 * count / modules)
        told = browser.value("document.getElementById('counts').textContent").replace("\u202f", "")
        assert told.startswith(f"{count} link{'' if count == 1 else 's'}  ·  mean degree ")
        assert f"{counts['isolated']} isolated" in told
    assert browser.value("nacgraph.probability(3, 40)") == pytest.approx(
        data.probability[3, 40], abs=0.003
    )


def test_links_leave_ink(browser: Browser, folder: Path) -> None:
    show(browser, folder, report_data())
    ink = []
    for threshold in (1.0, 0.5, 0.1):
        browser.run(SET_THRESHOLD, threshold)
        settle(browser)
        ink.append(browser.run(INK, "canvas"))
    assert ink[0] < ink[1] < ink[2]
    press(browser, "#show-readouts")
    settle(browser)
    assert browser.value("nacgraph.drawn.readoutLinks") == 0
    assert browser.run(INK, "canvas") < ink[2]


def test_the_pointer_names_the_module_under_it(browser: Browser, folder: Path) -> None:
    data = show(browser, folder, report_data(modules=12))
    for k in (3, 7):
        browser.point(*on_page(browser, k))
        assert browser.value("nacgraph.hovered") == k
        told = browser.value("document.getElementById('inspector').innerText")
        assert told.startswith(f"Module {k}\n") and f"role {k % 3}" in told
        others = {j for j in range(12) if j != k and data.probability[k, j] > 0.5}
        assert set(browser.run("return nacgraph.neighbours(arguments[0])", k)) == others
        hovered = "document.querySelector('#table-modules tr.hovered').dataset.k"
        assert browser.value(hovered) == str(k)
    browser.point(2, 2)
    assert browser.value("nacgraph.hovered") is None


def test_a_press_pins_and_the_table_and_the_circuit_agree(browser: Browser, folder: Path) -> None:
    show(browser, folder, report_data(modules=12))
    browser.point(*on_page(browser, 5), click=True)
    browser.point(2, 2)
    assert browser.value("nacgraph.pinned") == 5
    pinned = "document.querySelector('#table-modules tr.pinned')?.dataset.k"
    assert browser.value(pinned) == "5"
    press(browser, "#table-modules tr[data-k='9']")
    assert browser.value("nacgraph.pinned") == 9 and browser.value(pinned) == "9"
    press(browser, "#table-readouts tr[data-k='1']")
    assert browser.value("nacgraph.pinned") == 13
    assert "Read-out 1" in browser.value("document.getElementById('inspector').innerText")
    browser.run("document.getElementById('canvas').focus()")
    browser.press("Escape")
    assert browser.value("nacgraph.pinned") is None
    browser.press("Enter", "ArrowRight")
    reached = browser.value("nacgraph.pinned")
    assert reached != 0
    assert browser.run("return nacgraph.place(arguments[0]).x > nacgraph.place(0).x", reached)


def test_zoom_pan_and_reset(browser: Browser, folder: Path) -> None:
    show(browser, folder, report_data())
    browser.run("document.getElementById('canvas').scrollIntoView({block: 'center'})")
    x, y = on_page(browser, 4)
    browser.run("return new Promise((done) => setTimeout(done, 250))")  # the page's scroll is over
    browser.wheel(x, y, -200)
    settle(browser)
    assert browser.value("nacgraph.camera.zoom") > 1.2
    assert on_page(browser, 4) == pytest.approx((x, y), abs=1.5)  # stays under the pointer
    before = on_page(browser, 4)
    browser.drag((x + 30, y + 30), (x + 80, y + 50))
    settle(browser)
    after = on_page(browser, 4)
    assert (after[0] - before[0], after[1] - before[1]) == pytest.approx((50, 20), abs=2)
    assert browser.value("nacgraph.pinned") is None  # a drag is no press
    press(browser, "#reset")
    settle(browser)
    assert browser.value("[nacgraph.camera.zoom, nacgraph.camera.x]") == [1, 0]
    browser.run(
        "const f = document.getElementById('find'); f.value = '17';"
        "f.dispatchEvent(new Event('input'));"
    )
    assert browser.value("nacgraph.pinned") == 17


def test_colours_follow_the_choice(browser: Browser, folder: Path) -> None:
    data = show(browser, folder, report_data())
    seen = {}
    for key in ("degree", "community", "role", "contribution"):
        press(browser, f"#colour input[value={key}]")
        assert browser.value("nacgraph.colour") == key
        seen[key] = tuple(browser.value("nacgraph.colours"))
        assert key in browser.value("document.getElementById('legend').innerText")
    assert len(set(seen.values())) == 4
    group = data.statistics["communities"]["labels"]
    assert len(set(zip(group, seen["community"], strict=True))) == len(set(group))
    assert browser.log() == []


def test_tables_sort_and_filter(browser: Browser, folder: Path) -> None:
    show(browser, folder, report_data())
    assert sort_by(browser, "modules", "degree") == "descending"
    degrees = [float(v) for v in column(browser, "modules", 1)]
    assert degrees == sorted(degrees, reverse=True) and len(set(degrees)) > 30
    assert sort_by(browser, "modules", "degree") == "ascending"
    assert [float(v) for v in column(browser, "modules", 1)] == degrees[::-1]
    for _ in range(2):  # what is undefined stays last
        sort_by(browser, "modules", "clustering")
        assert column(browser, "modules", 0)[-1] == "3"
    sort_by(browser, "modules", "role")
    roles = column(browser, "modules", 4)
    assert roles == sorted(roles) and len(set(roles)) == 3
    sort_by(browser, "readouts", "readout")
    assert column(browser, "readouts", 0) == ["0", "1", "2", "3", "4"]
    for text, rows in (("role 1", 16), ("7", 1), ("no such thing", 0), ("", 48)):
        browser.run(
            "const f = document.querySelector('[data-filter]'); f.value = arguments[0];"
            "f.dispatchEvent(new Event('input'));",
            text,
        )
        visible = "[...document.querySelectorAll('#table-modules tbody tr')].filter(r => !r.hidden)"
        assert browser.value(f"{visible}.length") == rows


def test_dark_is_the_systems_or_the_readers_choice(browser: Browser, folder: Path) -> None:
    show(browser, folder, report_data())
    paper = "getComputedStyle(document.body).backgroundColor"
    light, colours = browser.value(paper), browser.value("nacgraph.colours")
    browser.prefer("dark")
    browser.wait(lambda: browser.value(paper) != light, "dark paper")
    dark = browser.value(paper)
    assert browser.value("nacgraph.colours") != colours
    assert sum(map(int, dark[4:-1].split(","))) < 120 < sum(map(int, light[4:-1].split(",")))
    press(browser, "#theme")
    assert browser.value(paper) == light
    browser.prefer("light")
    press(browser, "#theme")
    assert browser.value(paper) == dark
    assert browser.log() == []


def test_the_maps_read_the_matched_order(browser: Browser, folder: Path) -> None:
    data = show(browser, folder, report_data())
    browser.run("document.getElementById('map-link').scrollIntoView({block: 'center'})")
    left, top, side = browser.run(
        "const box = document.getElementById('map-link').getBoundingClientRect();"
        "return [box.left, box.top, box.width];"
    )
    row, col = 10, 30
    browser.point(left + (col + 0.5) * side / 48, top + (row + 0.5) * side / 48)
    told = browser.value("document.getElementById('map-readout').textContent")
    i, j = data.order[row], data.order[col]
    wanted = f"i {i}j {j}P {data.probability[i, j]:.3f}T {np.asarray(data.target)[row, col]:.3f}"
    assert told == wanted
    browser.point(left + (col + 0.5) * side / 48, top + (row + 0.5) * side / 48, click=True)
    assert browser.value("nacgraph.pinned") == i


def test_texts_do_not_run(browser: Browser, folder: Path) -> None:
    data = report_data(title=EVIL, facts=[(EVIL, EVIL)], notes=[EVIL])
    stats = dict(data.statistics)
    stats["modules"] = [{"module": k, "role": EVIL, "top_tokens": [[EVIL, 1]]} for k in range(48)]
    show(
        browser,
        folder,
        report_data(title=EVIL, facts=[(EVIL, EVIL)], statistics=stats, notes=[EVIL]),
    )
    press(browser, "#colour input[value=role]")
    press(browser, "#table-modules tr[data-k='2']")
    assert browser.value("[window.hacked === undefined, document.title]") == [True, EVIL]
    assert EVIL in browser.value("document.getElementById('inspector').textContent")
    # Were a text ever to slip through, the page's policy would still stop it.
    browser.run(
        "const s = document.createElement('script'); s.textContent = 'window.hacked = 3';"
        "document.body.append(s);"
    )
    assert browser.value("window.hacked === undefined")
    assert any("Content Security Policy" in line for line in browser.log())


@pytest.mark.parametrize("modules", [1, 2, 5])
def test_there_is_nothing_to_see(browser: Browser, folder: Path, modules: int) -> None:
    show(browser, folder, bare_data(modules))
    assert browser.value("nacgraph.graph.edges") == 0
    assert browser.run(INK, "canvas") > 0
    for key in ("degree", "contribution"):
        press(browser, f"#colour input[value={key}]")
    browser.run(SET_THRESHOLD, 0)
    settle(browser)
    browser.run("document.getElementById('canvas').focus()")
    browser.press("Enter", "ArrowRight", "+")
    settle(browser)
    assert browser.value("document.getElementById('map-target')") is None
    assert browser.log() == []


def test_a_thousand_modules_are_drawn_bit_by_bit(browser: Browser, folder: Path) -> None:
    link, group = links(1024, 32)
    turn = 2 * np.pi * np.array(group) / 32
    places = np.c_[np.cos(turn), np.sin(turn)]
    places += np.random.default_rng(1).normal(size=(1024, 2)) / 20
    show(browser, folder, bare_data(1024, probability=link, positions=places))
    browser.run("nacgraph.forgetFrames()")
    browser.run(SET_THRESHOLD, 0.25)
    settle(browser)
    count = int((triangle(link) > 0.25).sum())
    assert count > 20_000
    assert browser.value("nacgraph.drawn.links") == count
    assert browser.value("nacgraph.frames.length") > 3  # never all in one go
    # Moving shows what is drawn already, and all of it again when it rests.
    x, y = on_page(browser, 0)
    browser.drag((x, y), (x + 60, y), steps=5)
    settle(browser)
    assert browser.value("nacgraph.drawn.links") == count
    assert browser.log() == []


def test_a_figure_can_be_saved(browser: Browser, folder: Path) -> None:
    svg = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 2 2'><path d='M0 0L2 2'/></svg>"
    show(browser, folder, report_data(pictures=[Picture("ccdf", "A", "B", svg)]))
    browser.devtools("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    press(browser, "[data-save]")
    saved = folder / "ccdf.svg"
    browser.wait(lambda: saved.is_file() and saved.stat().st_size, "ccdf.svg")
    text = saved.read_text("utf-8")
    assert text.startswith("<svg") and 'd="M0 0L2 2"' in text and 'color="#' in text


def test_a_phone_needs_no_sideways_scroll(folder: Path) -> None:
    with Browser(390, 844) as phone:
        show(phone, folder, report_data())
        assert phone.value("document.documentElement.scrollWidth") == 390
        assert phone.value("document.getElementById('canvas').clientWidth") > 340
        assert phone.log() == []
