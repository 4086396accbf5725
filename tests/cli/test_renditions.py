"""Renditions of images, and the command that scores runs on them."""

from __future__ import annotations

import json
from pathlib import Path

import images_on_disk as disk
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nacgraph.analysis.renditions import paired
from nacgraph.cli.renditions import main
from nacgraph.tasks.images import RENDITIONS, STRENGTHS, Images, render


@pytest.fixture(scope="module")
def digits() -> Images:
    return Images(batch_size=16)


def things(count: int, side: int, channels: int) -> np.ndarray:
    """Smooth blobs on a dark ground: images with shapes in them, unlike noise."""
    y, x = np.mgrid[:side, :side] / side
    rng = np.random.default_rng(0)
    images = np.zeros((count, side, side, channels))
    for image in images:
        for _ in range(3):
            (cy, cx), wide = rng.uniform(0.2, 0.8, 2), rng.uniform(0.1, 0.25)
            shape = ((y - cy) ** 2 + (x - cx) ** 2 < wide**2)[..., None]
            image[:] = np.where(shape, rng.uniform(0.3, 1, channels), image)
    return (255 * images).astype(np.uint8)


@pytest.mark.parametrize("name", RENDITIONS)
@pytest.mark.parametrize(("side", "channels"), [(28, 1), (24, 3)])
def test_stronger_is_further_from_the_original(name: str, side: int, channels: int) -> None:
    images = things(40, side, channels)
    rows = np.arange(40)
    apart = [np.abs(render(images, name, k, rows).astype(int) - images).mean() for k in STRENGTHS]
    assert all(np.diff(apart) > 0), apart
    assert apart[0] > 0 and apart[-1] > 2


@pytest.mark.parametrize("name", RENDITIONS)
def test_stronger_is_further_on_digits(name: str, digits: Images) -> None:
    images = digits.table("test").columns["images"]
    rows = np.arange(len(images))
    apart = [np.abs(render(images, name, k, rows).astype(int) - images).mean() for k in STRENGTHS]
    assert all(np.diff(apart) >= 0) and apart[0] < apart[-1], apart


@settings(max_examples=30)
@given(st.sampled_from(list(RENDITIONS)), st.integers(1, 5), st.integers(0, 99), st.data())
def test_a_row_looks_the_same_in_every_batch(
    name: str, strength: int, seed: int, data: st.DataObject
) -> None:
    images = disk.noise(seed, 6, 9, 11, data.draw(st.sampled_from([1, 3])))
    rows = np.array(data.draw(st.permutations(range(40)))[:6])
    before = images.copy()
    whole = render(images, name, strength, rows, seed)
    assert whole.shape == images.shape and whole.dtype == np.uint8
    assert np.array_equal(images, before)
    k = data.draw(st.integers(0, 5))
    assert np.array_equal(
        render(images[k : k + 1], name, strength, rows[k : k + 1], seed)[0], whole[k]
    )


def test_chance_follows_from_name_seed_and_row() -> None:
    grey = np.full((2, 8, 8, 1), 128, np.uint8)
    found = render(grey, "noise", 3, np.array([0, 1]))
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(found, render(grey, "noise", 3, np.array([0, 1]), seed=1))


def test_what_some_of_them_do() -> None:
    images = things(3, 20, 3)
    rows = np.arange(3)
    assert np.array_equal(render(images, "invert", 5, rows), 255 - images)
    assert len(np.unique(render(images, "posterise", 5, rows))) == 2
    coarse = render(images, "pixelate", 5, rows)
    assert all(len(np.unique(image[..., 0])) <= 16 for image in coarse)
    np.testing.assert_allclose(coarse.mean((1, 2)), images.mean((1, 2)), atol=0.5)
    hidden = render(images, "patch", 5, rows) != images
    assert 0.15 < hidden.any(-1).mean() < 0.45
    flat = np.full((1, 9, 9, 1), 77, np.uint8)
    for name in ("blur", "pixelate", "contrast", "rotate", "zoom", "elastic"):
        assert (render(flat, name, 5, rows[:1]) == 77).all(), name
    assert (render(flat, "sketch", 5, rows[:1]) == 255).all()


def test_errors() -> None:
    images = things(1, 8, 1)
    with pytest.raises(ValueError, match="rendition: expected one of sketch, .* got 'crayon'"):
        render(images, "crayon", 1, np.arange(1))
    with pytest.raises(ValueError, match="strength: expected 1 to 5, got 6"):
        render(images, "blur", 6, np.arange(1))
    with pytest.raises(ValueError, match="images: expected uint8"):
        render(images / 255, "blur", 1, np.arange(1))
    with pytest.raises(ValueError, match="rows: expected 1"):
        render(images, "blur", 1, np.arange(2))


def test_a_rendered_task_changes_what_is_evaluated_only(digits: Images) -> None:
    shown = digits.rendered("invert", 5)
    plain, negative = (next(t.eval_batches("test", limit=8)) for t in (digits, shown))
    torch.testing.assert_close(negative.inputs, 1 - plain.inputs)
    assert torch.equal(negative.labels, plain.labels)
    assert torch.equal(shown.train_batch(3).inputs, digits.train_batch(3).inputs)
    # Another size of batches, and other ranks, show the same.
    halves = [
        b for rank in (0, 1) for b in digits.rendered("elastic", 3).eval_batches("test", rank, 2)
    ]
    one = {i: x for b in halves for i, x in zip(b.index.tolist(), b.inputs, strict=True)}
    for b in digits.rendered("elastic", 3).eval_batches("test"):
        assert all(torch.equal(one[i], x) for i, x in zip(b.index.tolist(), b.inputs, strict=True))
    with pytest.raises(ValueError, match="strength"):
        digits.rendered("blur", 0)


def test_differences_are_taken_sample_by_sample() -> None:
    first = np.array([1, 1, 0, 1], bool)
    found = paired(first, np.array([1, 0, 0, 0], bool))
    assert found["value"] == 0.5
    half = 3.182446 * (1 / 3) ** 0.5 / 2  # Student's t of 3 degrees of freedom
    assert found["ci95"] == pytest.approx([0.5 - half, 0.5 + half])
    assert paired(first, first) == {"value": 0.0, "ci95": [0.0, 0.0]}
    assert paired(first[:1], first[:1])["ci95"] is None


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    base = tmp_path_factory.mktemp("runs")
    return [
        disk.untrained(base / "a", task="images"),
        disk.untrained(base / "b", task="images", model="perceiver_io"),
        disk.untrained(base / "c", task="listops"),
        disk.untrained(base / "d", task="images", task_set={"size": 12}),
    ]


def test_the_command_on_one_run(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [
        str(runs[0]),
        "--only",
        "blur,invert",
        "--strengths",
        "1,5",
        "--limit",
        "30",
        "--threads",
        "1",
    ]
    assert main([*argv, "--out", str(tmp_path / "x"), "--sheet"]) == 0
    said = capsys.readouterr()
    assert "renditions: clean" in said.err
    result = json.loads((tmp_path / "x" / "renditions.json").read_text())
    assert (tmp_path / "x" / "renditions.md").read_text().strip() == said.out.strip()
    assert (tmp_path / "x" / "renditions.png").read_bytes()[:4] == b"\x89PNG"
    run = result["runs"][0]
    assert result["n"] == 30 and list(run["renditions"]) == ["blur", "invert"]
    assert list(run["renditions"]["blur"]) == ["1", "5"] and "difference" not in result
    cells = [cell for each in run["renditions"].values() for cell in each.values()]
    assert all(c["ci95"][0] <= c["accuracy"] <= c["ci95"][1] for c in cells)
    assert run["mean"] == pytest.approx(np.mean([c["accuracy"] for c in cells]))
    assert "| blur |" in said.out and "majority" in said.out and "strength 5" in said.out
    assert main([*argv, "--out", str(tmp_path / "y")]) == 0
    assert (tmp_path / "y" / "renditions.json").read_text() == (
        tmp_path / "x" / "renditions.json"
    ).read_text()


def test_the_command_on_two_runs(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--only", "noise", "--limit", "25", "--threads", "1", "--out", str(tmp_path)]
    assert main([str(runs[0]), str(runs[1]), *argv]) == 0
    result = json.loads((tmp_path / "renditions.json").read_text())
    first, second = result["runs"]
    for key, of in (
        ("mean", lambda run: run["mean"]),
        ("clean", lambda run: run["clean"]["accuracy"]),
    ):
        apart = of(first) - of(second)
        assert result["difference"][key]["value"] == pytest.approx(apart)
    assert "| difference |" in capsys.readouterr().out


def test_other_images_are_brought_to_the_size_of_the_run(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("3", "7"):
        for k in range(4):
            disk.picture(tmp_path / "data" / name / f"{k}.png", k, (20, 30))
    argv = [
        "--data",
        str(tmp_path / "data"),
        "--only",
        "blur",
        "--strengths",
        "2",
        "--threads",
        "1",
    ]
    assert main([str(runs[0]), *argv, "--out", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "renditions.json").read_text())
    assert result["n"] == 8 and result["majority_accuracy"] == 0.5
    assert "class folders" in capsys.readouterr().out


def test_clear_errors(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*argv: str) -> str:
        assert main(list(argv)) == 2
        return capsys.readouterr().err

    assert "expected a run of the images task, got listops" in said(str(runs[2]))
    assert "expected the test images of" in said(str(runs[0]), str(runs[3]))
    assert "got 'crayon'" in said(str(runs[0]), "--only", "crayon")
    assert "strength: expected 1 to 5, got 9" in said(str(runs[0]), "--strengths", "9")
    assert "strengths: expected numbers from 1 to 5" in said(str(runs[0]), "--strengths", "1,x")
    assert "limit" in said(str(runs[0]), "--limit", "-1")
    assert "expected a run folder" in said(str(tmp_path))
