"""NLVR2's JSON lines, images and annotations: the exact layout, and what can be wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from nlvr2_on_disk import SENTENCES, SKILLS, example, picture, write_folder, write_lines

from nacgraph.tasks.data_report import DataError
from nacgraph.tasks.nlvr2 import NLVR2, pictures
from nacgraph.tasks.splits import Table


def task(folder: Path, **more: object) -> NLVR2:
    return NLVR2(data=folder, image_size=8, patch=4, batch_size=4, **more)


def sets_of(table: Table) -> set[str]:
    return {name.rsplit("-", 2)[0] for name in table.tags["identifier"]}


@pytest.mark.parametrize("flat", [False, True])
def test_the_real_layout(tmp_path: Path, flat: bool) -> None:
    written = write_folder(tmp_path, {"train": 4, "dev": 3, "test1": 2}, flat)
    found = task(tmp_path)
    for split, name in (("train", "train"), ("val", "dev"), ("test", "test1")):
        table = found.table(split)
        assert table.tags["identifier"] == [line["identifier"] for line in written[name]]
        assert table.columns["sentence"] == [line["sentence"] for line in written[name]]
        labels = [found.classes[k] for k in table.labels]
        assert labels == [line["label"] for line in written[name]]
    batch = found.train_batch(0)
    assert batch.inputs.shape == (4, 2, 3, 8, 8) and batch.condition is not None
    assert 0 <= batch.inputs.min() < batch.inputs.max() <= 1
    assert "val is dev, test is test1" in found.describe()


def test_the_right_images_are_left_and_right(tmp_path: Path) -> None:
    write_lines(tmp_path / "dev.json", [example("dev", 3, 1, 0)])
    folder = tmp_path / "dev"
    folder.mkdir()
    for side, grey in ((0, 10), (1, 200)):
        from PIL import Image

        Image.new("L", (30, 20), grey).save(folder / f"dev-3-1-img{side}.png")
    table = task(tmp_path).load().splits["val"]
    assert (table.columns["left"][0] == 10).all() and (table.columns["right"][0] == 200).all()


def test_validation_is_carved_by_directory(tmp_path: Path) -> None:
    write_folder(tmp_path, {"train": 20})
    splits = {name: sets_of(task(tmp_path).table(name)) for name in ("train", "val", "test")}
    assert [len(splits[name]) for name in ("train", "val", "test")] == [16, 2, 2]
    assert len(set().union(*splits.values())) == 20
    assert "a tenth of train's directories" in task(tmp_path).describe()
    # Without directories the sets of images take their part.
    lines = [json.loads(line) for line in (tmp_path / "train.json").read_text().splitlines()]
    write_lines(
        tmp_path / "train.json",
        [{k: v for k, v in line.items() if k != "directory"} for line in lines],
    )
    for k in range(20):
        for image in (tmp_path / "images" / "train" / str(k)).iterdir():
            image.rename(tmp_path / "images" / image.name)
    without = {name: sets_of(task(tmp_path).table(name)) for name in ("train", "val", "test")}
    assert len(set().union(*without.values())) == sum(map(len, without.values())) == 20
    assert "a tenth of train's image sets" in task(tmp_path).describe()


def test_dev_is_the_test_split_where_test1_is_missing(tmp_path: Path) -> None:
    write_folder(tmp_path, {"train": 20, "dev": 2})
    found = task(tmp_path)
    assert sets_of(found.table("test")) == {"dev-0", "dev-1"}
    assert not sets_of(found.table("val")) & sets_of(found.table("train"))
    assert sets_of(found.table("val")) | sets_of(found.table("train")) == {
        f"train-{k}" for k in range(20)
    }


def test_a_single_set_cannot_be_divided(tmp_path: Path) -> None:
    write_folder(tmp_path, {"train": 1})
    with pytest.raises(ValueError, match="expected at least 2 image sets to hold one back, got 1"):
        task(tmp_path).load()


@pytest.mark.parametrize("name", ["dev", "train", "mine"])
def test_one_file_is_a_test_split(tmp_path: Path, name: str) -> None:
    split = "dev" if name == "mine" else name
    write_folder(tmp_path, {split: 2})
    (tmp_path / f"{split}.json").rename(tmp_path / f"{name}.json")
    found = task(tmp_path / f"{name}.json", whole_is_test=True)
    assert sets_of(found.table("test")) == {f"{split}-0", f"{split}-1"}


def test_skills_of_the_annotated_examples(tmp_path: Path) -> None:
    write_folder(tmp_path, {"dev": 2})
    (tmp_path / "util").mkdir()
    (tmp_path / "util" / "annotated_dev_examples.txt").write_text(SKILLS, encoding="utf-8")
    tags = task(tmp_path).load().splits["val"].tags
    for row, text in enumerate(tags["sentence"]):
        both = text == SENTENCES[0]
        wanted = "existential quantifiers, hard cardinality" if both else "hard cardinality"
        assert tags["skill"][row] == wanted
        assert tags["hard cardinality"][row] == "yes"
        assert tags["existential quantifiers"][row] == ("yes" if both else "no")
    (tmp_path / "util" / "annotated_dev_examples.txt").write_text(SKILLS.split("\n\n")[0])
    tags = task(tmp_path).load().splits["val"].tags
    assert set(tags["skill"]) == {"existential quantifiers, hard cardinality", "not annotated"}


def broken(folder: Path) -> list[tuple[str, str]]:
    """A folder with much that is wrong; what must be said of it."""
    write_folder(folder, {"dev": 6, "test1": 1})
    path = folder / "dev.json"
    images = folder / "images" / "dev"
    lines = path.read_text(encoding="utf-8").splitlines()
    good = [json.loads(line) for line in lines]

    def changed(row: int, **values: object) -> str:
        return json.dumps({**good[row], **values})

    lines[0] = changed(0, label=True)
    lines[1] = changed(1, label="true")
    lines[2] = lines[2][:40]
    lines[3] = json.dumps({k: v for k, v in good[3].items() if k != "sentence"})
    lines[4] = changed(4, sentence="  ")
    lines[5] = changed(5, identifier="dev_1_0_1")
    lines[6] = "[1, 2]"
    lines[7] = lines[8]
    lines.insert(8, "")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (images / "dev-3-0-img1.png").unlink()
    whole = picture(5, size=(64, 64))
    (images / "dev-3-1-img0.png").write_bytes(whole[: len(whole) // 2])
    (images / "dev-4-0-img0.png").write_bytes(b"<!DOCTYPE html><html>Not found</html>")
    (images / "dev-4-1-img0.png").write_bytes(b"")
    return [
        (f"{path}, line 1", 'label: expected the text "True" or "False", got True'),
        (f"{path}, line 2", 'label: expected the text "True" or "False", got \'true\''),
        (f"{path}, line 3", "expected a JSON object a line, got "),
        (f"{path}, line 4", "expected the key sentence, got validation, "),
        (f"{path}, line 5", "sentence: expected words, got '  '"),
        (f"{path}, line 6", "identifier: expected split-set-pair-sentence, got 'dev_1_0_1'"),
        (f"{path}, line 7", "expected a JSON object, got list"),
        (f"{path}, line 10", "expected every identifier once, got dev-2-0-0 again"),
        (f"{path}, line 14", "expected its image dev-3-0-img1.png in "),
        (str(images / "dev-3-1-img0.png"), "expected a whole image, got "),
        (str(images / "dev-4-0-img0.png"), "expected an image, got a web page"),
        (str(images / "dev-4-1-img0.png"), "expected an image, got an empty file"),
    ]


def test_a_check_lists_all_damage_and_goes_on(tmp_path: Path) -> None:
    wanted = broken(tmp_path)
    data, found = task(tmp_path).check()
    assert data is not None
    assert len(found.damage) == len(wanted)
    for where, what in wanted:
        assert sum(text.startswith(f"{where}: {what}") for text in found.damage) == 1, what
    left = data.splits["val"].tags["identifier"]
    # Of the 24: 7 damaged lines, one replaced by a double, and two of each damaged pair.
    assert len(left) == 24 - 8 - 8
    assert len(data.splits["test"]) == 4
    assert {tmp_path / "dev.json", tmp_path / "test1.json"} < set(found.files)


def test_training_stops_at_the_first_damage(tmp_path: Path) -> None:
    (where, what), *_ = broken(tmp_path)
    with pytest.raises(DataError) as caught:
        task(tmp_path).load()
    assert str(caught.value).startswith(f"{where}: {what}")


def test_files_that_are_no_json_lines(tmp_path: Path) -> None:
    write_folder(tmp_path, {"dev": 1})
    path = tmp_path / "dev.json"
    path.write_text("<html><body>moved</body></html>\n", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"dev\.json: expected JSON lines, got a page of HTML or XML"
    ):
        task(tmp_path).load()
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"dev\.json: expected JSON lines in UTF-8"):
        task(tmp_path).load()


def test_an_unknown_layout_lists_those_that_are_known(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("hello", encoding="utf-8")
    with pytest.raises(ValueError, match=r"expected a folder with train\.json.*got readme\.txt"):
        task(tmp_path).load()
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        task(tmp_path / "nowhere")


def test_many_images_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "KEPT_FROM", 1)
    write_folder(tmp_path / "data", {"dev": 2})
    cache = tmp_path / "cache"
    first = task(tmp_path / "data", cache_dir=cache).load().splits["val"]
    (kept,) = cache.iterdir()
    opened = []
    monkeypatch.setattr(pictures, "open_image", lambda *a: opened.append(a))
    again = task(tmp_path / "data", cache_dir=cache).load().splits["val"]
    assert not opened
    assert np.array_equal(np.stack(first.columns["left"]), np.stack(again.columns["left"]))
    monkeypatch.undo()
    monkeypatch.setattr(pictures, "KEPT_FROM", 1)
    image = tmp_path / "data" / "images" / "dev" / "dev-0-0-img0.png"
    image.write_bytes(picture(77, size=(5, 5)))
    other = task(tmp_path / "data", cache_dir=cache).load().splits["val"]
    assert not np.array_equal(other.columns["left"][0], first.columns["left"][0])
    assert len(list(cache.iterdir())) == 2 and kept.exists()
