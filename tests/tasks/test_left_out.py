"""No file is left out in silence: every reader through the one report."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import images_on_disk as disk
import numpy as np
import pytest
from PIL import Image

from nacgraph.tasks import get_task
from nacgraph.tasks.data_report import DataError, DataReport
from nacgraph.tasks.images import Images
from nacgraph.tasks.inspection import inspect_task, inspection_text
from nacgraph.tasks.table import TableTask

CUBE = """OFF
4 4 0
0 0 0
1 0 0
0 1 0
0 0 1
3 0 1 2
3 0 1 3
3 0 2 3
3 1 2 3
"""


def picture(path: Path, kind: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = sum(map(ord, path.stem)) % 200
    Image.fromarray(np.full((8, 8, 3), shade, np.uint8)).save(path, kind)


def classes(folder: Path, names: tuple[str, ...] = ("cat", "dog"), count: int = 10) -> Path:
    for name in names:
        for k in range(count):
            picture(folder / name / f"{k}.png")
    return folder


def text(path: Path, content: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def checked(name: str, data: Path, **settings: Any) -> tuple[dict[str, Any], str]:
    """What `data check` says."""
    result = inspect_task(name, get_task(name)(data=data, **settings))
    return result, inspection_text(result)


def left_out(result: dict[str, Any]) -> dict[str, list[str]]:
    return {group["folder"]: group["names"] for group in result["left_out"]}


def test_images_of_other_suffixes_are_read_or_named(tmp_path: Path) -> None:
    data = classes(tmp_path)
    picture(data / "cat" / "j.jfif", "JPEG")
    picture(data / "cat" / "k.AVIF", "AVIF")
    text(data / "dog" / "l.heic")
    text(data / "dog" / "more" / "m.png")
    text(data / "top.png")
    text(data / "README.md")
    result, shown = checked("images", data)
    assert result["splits"]["train"]["samples"] == 22
    assert left_out(result) == {
        "dog": ["l.heic"],
        "dog/more": ["m.png"],
        ".": ["top.png", "README.md"],
    } or left_out(result)["dog"] == ["l.heic"]
    for name in ("l.heic", "m.png", "top.png", "README.md"):
        assert name in shown
    assert "verdict    no damage found; 4 left out: see above" in shown


def test_what_desktops_leave_behind_is_nothing(tmp_path: Path) -> None:
    data = classes(tmp_path)
    for name in (".DS_Store", "cat/._0.png", "cat/Thumbs.db", "__MACOSX/cat/0.png", ".git/config"):
        text(data / name)
    result, shown = checked("images", data)
    assert result["left_out"] == [] and "verdict    no damage found" in shown.splitlines()[-1]


def test_further_splits_are_told_in_training_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "dev", "eval"):
        classes(tmp_path / split, count=4 if split == "train" else 2)
    result, shown = checked("images", tmp_path)
    assert {k: len(v) for k, v in left_out(result).items()} == {"dev": 4, "eval": 4}
    assert "left out   4 in dev, not of this layout: cat/0.png, cat/1.png, dog/0.png, …" in shown
    task = Images(data=tmp_path, cache_dir=tmp_path.parent / "c")
    task.prepare()
    said = capsys.readouterr().err
    assert f"data: {tmp_path}: 8 left out (4 in dev" in said and "4 in eval" in said
    assert "8 left out (4 in dev" in task.describe()


def test_two_folders_of_one_split_are_not_guessed_between(tmp_path: Path) -> None:
    for split in ("train", "val", "valid"):
        classes(tmp_path / split)
    result, _ = checked("images", tmp_path)
    assert result["damage"] == [f"{tmp_path}: expected one val split, got val and valid"]
    assert len(left_out(result)["valid"]) == 20
    with pytest.raises(DataError, match="expected one val split, got val and valid"):
        Images(data=tmp_path).prepare()


def test_class_names_are_one_in_every_form_of_unicode(tmp_path: Path) -> None:
    one, two = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    classes(tmp_path / "a" / "train", (two, "dog"))
    classes(tmp_path / "a" / "test", (one, "dog"))
    task = Images(data=tmp_path / "a", cache_dir=tmp_path / "c", only_classes=(two, "dog"))
    assert task.classes == (one, "dog") and len(task.table("test")) == 20
    task.remap_classes(["ant", two, "dog"])  # the names of a run made before
    assert np.unique(task.table("test").labels).tolist() == [1, 2]


def test_frames_after_the_first_are_told(tmp_path: Path) -> None:
    data = classes(tmp_path)
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 90, 200)]
    frames[0].save(data / "cat" / "moves.gif", save_all=True, append_images=frames[1:])
    _, shown = checked("images", data)
    assert "left out   1 in cat, frames after the first: moves.gif" in shown


def test_meshes_in_capitals_are_read_and_others_told(tmp_path: Path) -> None:
    for category in ("box", "bar"):
        for k in range(4):
            text(tmp_path / category / "train" / f"{category}_{k}.OFF", CUBE)
            text(tmp_path / category / "valid" / f"{category}_{k + 4}.off", CUBE)
    text(tmp_path / "box" / "dev" / "box_9.off", CUBE)
    text(tmp_path / "box" / "train" / "box_8.ply", "ply")
    text(tmp_path / "box" / "train" / "deeper" / "box_7.off", CUBE)
    result, _ = checked("points", tmp_path, count=16)
    assert {k: s["samples"] for k, s in result["splits"].items()} == {"train": 8, "val": 8}
    assert left_out(result) == {
        "box/dev": ["box_9.off"],
        "box/train": ["box_8.ply"],
        "box/train/deeper": ["box_7.off"],
    }


def test_texts_that_are_no_split_are_told(tmp_path: Path) -> None:
    rows = "\n".join(f"{k % 2}\ttext {k}" for k in range(20))
    for name in ("train.tsv", "valid.TSV", "dev.tsv", "train.csv"):
        text(tmp_path / name, f"label\ttext\n{rows}\n")
    result, _ = checked("text", tmp_path)
    assert set(result["splits"]) == {"train", "val"}
    assert left_out(result) == {".": ["dev.tsv", "train.csv"]}


def test_known_parts_of_imdb_are_told_by_data_check_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "test"):
        for label, stars in (("pos", 8), ("neg", 2)):
            for k in range(10):
                text(tmp_path / split / label / f"{k}_{stars}.txt", f"film {k}")
    text(tmp_path / "train" / "unsup" / "0_0.txt")
    text(tmp_path / "imdb.vocab")
    result, shown = checked("text", tmp_path)
    assert {group["why"] for group in result["left_out"]} == {"without labels", "vocabulary"}
    assert "left out   1 in train/unsup, without labels: 0_0.txt" in shown
    get_task("text")(data=tmp_path).prepare()
    assert capsys.readouterr().err == ""


def test_examples_and_images_of_nlvr2_that_nothing_names_are_told(tmp_path: Path) -> None:
    for split in ("test1", "test2"):
        fields = {"identifier": f"{split}-1-0-0", "sentence": "a \u2028 dog", "label": "True"}
        content = json.dumps(fields, ensure_ascii=False)
        (tmp_path / f"{split}.json").write_text(f"\ufeff{content}\n", "utf-8")
        for side in (0, 1):
            picture(tmp_path / f"{split}-1-0-img{side}.png")
    picture(tmp_path / "test1-2-0-img0.png")
    text(tmp_path / "balanced_test1.json")
    result, shown = checked("nlvr2", tmp_path)
    assert result["damage"] == [] and result["splits"]["test"]["samples"] == 1
    assert "test2.json (1 examples)" in shown and "test1 is the test split" in shown
    assert "test1-2-0-img0.png" in shown and "balanced_test1.json" in shown


def test_arrays_and_columns_that_are_not_read_are_told(tmp_path: Path) -> None:
    points = np.random.default_rng(0).random((20, 8, 3))
    np.savez(tmp_path / "a.npz", points=points, labels=np.arange(20) % 2, normals=points)
    _, shown = checked("points", tmp_path / "a.npz", count=8)
    assert "left out   1, arrays of a.npz that are not read: normals" in shown
    rows = "\n".join(f"x\ttext {k}\t{k % 2}" for k in range(20))
    text(tmp_path / "t.tsv", f"ID\tText\tLabel\n{rows}\n")
    result, shown = checked("text", tmp_path / "t.tsv")
    assert result["classes"] == ["0", "1"]
    assert "left out   1, columns of t.tsv that are not read: ID" in shown


def test_names_cannot_move_the_cursor(tmp_path: Path) -> None:
    data = classes(tmp_path, ("cat\x1b[2J", "dog"))
    _, shown = checked("images", data)
    assert "\x1b" not in shown and "cat\\x1b[2J" in shown


def test_every_file_below_is_read_or_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = set()
    for k in range(60):
        parts = [f"d{rng.integers(3)}" for _ in range(rng.integers(4))]
        made.add(Path(*parts, f"f{k}"))
    for path in made:
        text(tmp_path / path)
    found = DataReport()
    taken = sorted(made)[::4]
    for path in taken:
        found.read(tmp_path / path)
    found.account(tmp_path)
    told = {Path(g.folder, name) for g in found.left_out for name in g.names}
    assert told == made - set(taken)


def test_tiny_imagenet_accounts_for_all_of_it(tmp_path: Path) -> None:
    task = Images(data=disk.tiny_imagenet(tmp_path), cache_dir=tmp_path.parent / "c")
    assert isinstance(task, TableTask)
    _, found = task.check()
    assert all(group.known for group in found.left_out), [str(g) for g in found.left_out]
