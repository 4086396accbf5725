"""``renditions`` from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from images_on_disk import untrained
from matplotlib.figure import Figure

from nacgraph.analysis import renditions
from nacgraph.training.run import Run, load_run
from nacgraph.training.scoring import score
from nacgraph.viz import renditions_figure

QUICK = {"only": ("blur", "invert"), "strengths": (5, 1), "limit": 30}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    base = tmp_path_factory.mktemp("runs")
    return [
        load_run(untrained(base / "a", task="images")),
        load_run(untrained(base / "b", task="images", model="perceiver_io")),
        load_run(untrained(base / "c", task="listops")),
    ]


def test_a_rendition_is_scored_as_evaluation_would(
    runs: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    found = renditions(runs[0], **QUICK)
    said = capsys.readouterr()
    assert said.out == said.err == ""
    mine = found["runs"][0]
    assert list(mine["renditions"]["invert"]) == ["1", "5"] and "difference" not in found
    shown = runs[0].task.rendered("invert", 5)
    wanted = score(runs[0].model, shown, "test", limit=30)
    assert mine["renditions"]["invert"]["5"]["accuracy"] == wanted.accuracy
    assert mine["renditions"]["invert"]["5"]["ci95"] == pytest.approx(wanted.ci95)
    figure = found.figure()
    assert isinstance(figure, Figure) and len(figure.axes) == 2 * 3


def test_a_run_equals_itself(runs: list[Run], tmp_path: Path) -> None:
    found = renditions([runs[0], runs[0]], **QUICK)
    assert found["difference"]["mean"] == {"value": 0.0, "ci95": [0.0, 0.0]}
    assert found["runs"][0] == found["runs"][1]
    found.save(tmp_path)
    assert (tmp_path / "renditions.md").read_text() == repr(found) + "\n"
    other = renditions(runs[:2], **QUICK)
    apart = other["runs"][0]["means"]["blur"] - other["runs"][1]["means"]["blur"]
    assert other["difference"]["blur"]["value"] == pytest.approx(apart)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"only": ("crayon",)}, "rendition: expected one of sketch, .* got 'crayon'"),
        ({"only": ()}, "only, strengths: expected at least one of each"),
        ({"strengths": (9,)}, "strength: expected 1 to 5, got 9"),
        ({"limit": 0}, "limit: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
    ],
)
def test_wrong_arguments_are_refused(runs: list[Run], changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        renditions(runs[0], **{**QUICK, **changed})


def test_wrong_runs_are_refused(runs: list[Run]) -> None:
    with pytest.raises(ValueError, match="expected a run of the images task, got listops"):
        renditions(runs[2], **QUICK)
    with pytest.raises(ValueError, match="runs: expected at least one, got none"):
        renditions([], **QUICK)


def test_a_sheet_of_images() -> None:
    image = np.zeros((4, 5, 1), np.uint8)
    figure = renditions_figure({"blur": [image, image], "noise": [image]}, ["original", "1"])
    assert [axes.get_title() for axes in figure.axes[:2]] == ["original", "1"]
    with pytest.raises(ValueError, match="rows: expected at most 1 images, got more for blur"):
        renditions_figure({"blur": [image, image]}, ["original"])
    with pytest.raises(ValueError, match="rows: expected at least one, got none"):
        renditions_figure({}, [])
