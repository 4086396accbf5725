"""Style and output: one ink, steady colours, SVG that stands in any page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import nacgraph.viz as viz
from nacgraph.viz import COMMUNITY_COLOURS, INK, circuit_drawing, community_colours, save, to_svg
from nacgraph.viz.style import NEUTRAL, STYLE, column, label_array

ROOT = Path(__file__).resolve().parents[2]
LINK = np.array([[1, 0.9, 0.1], [0.9, 1, 0.6], [0.1, 0.6, 1]])


def drawing() -> Figure:
    return circuit_drawing(LINK, colour_by="community", labels=[0, 0, 1])


def luminance(colour: str) -> float:
    """Relative luminance of WCAG."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def oklab(rgb: np.ndarray) -> np.ndarray:
    """OKLab of linear RGB (Ottosson 2020)."""
    to_lms = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.cbrt((rgb @ to_lms.T).clip(0)) @ to_lab.T


@pytest.mark.parametrize("colour", [*COMMUNITY_COLOURS, NEUTRAL])
def test_colours_stand_on_white_and_on_a_dark_ground(colour: str) -> None:
    own, dark = luminance(colour), luminance("#121212")
    assert 1.05 / (own + 0.05) >= 2 and (own + 0.05) / (dark + 0.05) >= 2


# Linear RGB as seen with severe colour deficiency (Machado, Oliveira & Fernandes 2009).
@pytest.mark.parametrize(
    "seen",
    [
        np.eye(3),
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    ],
    ids=["usual", "deuteranopia", "protanopia", "tritanopia"],
)
def test_colours_are_told_apart(seen: list[list[float]]) -> None:
    rgb = np.array([to_rgb(colour) for colour in COMMUNITY_COLOURS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lab = oklab((linear @ np.array(seen).T).clip(0, 1))
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    assert apart[~np.eye(len(lab), dtype=bool)].min() > 0.08


def test_a_community_has_one_colour() -> None:
    assert community_colours([2, 0, -1]) == [COMMUNITY_COLOURS[2], COMMUNITY_COLOURS[0], NEUTRAL]
    assert community_colours([len(COMMUNITY_COLOURS)]) == [COMMUNITY_COLOURS[0]]
    assert len(set(COMMUNITY_COLOURS)) == len(COMMUNITY_COLOURS) >= 8


def test_svg_is_one_element_without_ground_date_or_rules_for_the_page() -> None:
    text = to_svg(drawing())
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert text.startswith("<svg") and "<metadata" not in text and "<style" not in text
    assert INK not in text and "currentColor" in text
    assert not re.search(r"#fff(fff)?\b|white", text, re.IGNORECASE)
    assert COMMUNITY_COLOURS[0] in text and COMMUNITY_COLOURS[1] in text


def test_svg_is_the_same_for_the_same_figure() -> None:
    figure = drawing()
    assert to_svg(figure) == to_svg(figure) == to_svg(drawing())


def test_ids_are_unique_in_a_page_and_every_reference_is_met() -> None:
    pictures = [to_svg(drawing()), to_svg(circuit_drawing(LINK)), to_svg(drawing(), prefix="other")]
    page = "".join(pictures)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids)) > 10
    wanted = {*re.findall(r'href="#([^"]+)"', page), *re.findall(r"url\(#([^)]+)\)", page)}
    assert wanted and wanted <= set(ids)
    assert 'id="other-' in pictures[2]


def test_svg_says_what_it_is() -> None:
    text = to_svg(drawing(), label='P > "half" & more')
    assert ElementTree.fromstring(text).attrib["aria-label"] == 'P > "half" & more'
    with pytest.raises(ValueError, match="prefix: expected a letter, .* got '2nd'"):
        to_svg(drawing(), prefix="2nd")


def test_a_page_of_many_links_stays_small() -> None:
    rng = np.random.default_rng(0)
    link = np.ones((120, 120))
    text = to_svg(circuit_drawing(link, positions=rng.normal(size=(120, 2))))
    assert len(text) < 600_000 and "data:image/png" in text  # 7,140 links as one picture


@pytest.mark.parametrize(
    ("suffix", "start"), [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")]
)
def test_save_writes_by_suffix_and_repeats_itself(
    tmp_path: Path, suffix: str, start: bytes
) -> None:
    path = tmp_path / f"picture{suffix}"
    save(drawing(), path)
    first = path.read_bytes()
    save(drawing(), path)
    assert first.startswith(start) and path.read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_save_refuses_other_suffixes(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"path: expected one of \.svg, \.png, \.pdf, got 'a\.bmp'"
    ):
        save(drawing(), tmp_path / "a.bmp")
    assert not list(tmp_path.iterdir())


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    before = {key: matplotlib.rcParams[key] for key in STYLE}
    with pytest.raises(ValueError, match="colour_by"):
        circuit_drawing(LINK, colour_by="weight")
    to_svg(drawing())
    assert {key: matplotlib.rcParams[key] for key in STYLE} == before


def test_the_package_is_light_and_forwards_its_names() -> None:
    code = (
        "import sys, nacgraph.viz as v; "
        "heavy = {'matplotlib', 'torch', 'networkx', 'sklearn', 'scipy'} & set(sys.modules); "
        "print(sorted(heavy)); v.force_layout; print('matplotlib' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split("\n")[:2] == ["[]", "False"]
    for name in viz._HOME:
        assert getattr(viz, name) is not None and name in dir(viz)
    typed = re.findall(
        r"from nacgraph\.viz\.(\w+) import (\w+) as \2",
        (ROOT / "viz/__init__.py").read_text("utf-8"),
    )
    assert {name: file for file, name in typed} == viz._HOME
    with pytest.raises(AttributeError, match="'circuit_drawings'"):
        viz.circuit_drawings  # noqa: B018


def test_helpers_of_tables() -> None:
    np.testing.assert_array_equal(column([{"a": 1}, {"a": None}, {}], "a"), [1, np.nan, np.nan])
    with pytest.raises(ValueError, match="labels: expected 2 whole numbers"):
        label_array("labels", [0, 0.5], 2)
