"""Point clouds as npz files, whole and damaged, and the choice of a layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nacgraph.tasks.data_report import DataError, DataReport
from nacgraph.tasks.points import Points
from nacgraph.tasks.points.clouds import normalised

PAGE = b"<!DOCTYPE html>\n<html><body>404 not found</body></html>\n"


def some(count: int, size: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, size, 3))


def task(path: Path, **arguments: Any) -> Points:
    return Points(data=path, count=8, batch_size=4, **arguments)


# npz


def write_npz(path: Path, **changed: Any) -> Path:
    arrays = {
        "points": some(20).astype(np.float16),
        "labels": np.arange(20) % 2,
        "classes": np.array(["chair", "table"]),
    } | changed
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def test_an_npz_file_is_read_and_divided(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "clouds.npz")
    read = task(path)
    assert read.classes == ("chair", "table") and read.describe().count("clouds.npz") == 1
    assert [len(read.table(s)) for s in ("train", "val", "test")] == [16, 2, 2]
    whole = Points(data=path, count=12, whole_is_test=True)
    table = whole.table("test")
    expected = normalised(some(20).astype(np.float16))
    np.testing.assert_array_equal(table.columns["points"], expected)
    assert table.labels.tolist() == [0, 1] * 10


def test_fewer_points_are_a_fixed_choice_of_the_clouds_points(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "clouds.npz")
    few = task(path, whole_is_test=True).table("test").columns["points"]
    again = task(path, whole_is_test=True).table("test").columns["points"]
    other = task(path, whole_is_test=True, data_seed=1).table("test").columns["points"]
    whole = Points(data=path, count=12, whole_is_test=True).table("test").columns["points"]
    assert np.array_equal(few, again) and not np.array_equal(few, other)
    for chosen, cloud in zip(few, whole, strict=True):
        assert len({p.tobytes() for p in chosen} & {p.tobytes() for p in cloud}) == 8
    first = [np.flatnonzero((c == f).all(-1))[0] for c, f in zip(whole, few[:, 0], strict=True)]
    assert len(set(first)) > 1  # every row has a choice of its own


def test_class_names_may_be_missing_and_a_folder_may_hold_one_file(tmp_path: Path) -> None:
    folder = tmp_path / "unpacked" / "inner"
    folder.mkdir(parents=True)
    (tmp_path / "unpacked" / "__MACOSX").mkdir()
    write_npz(folder / "clouds.npz", classes=None, labels=np.arange(20, dtype=np.uint8) % 3)
    assert task(tmp_path / "unpacked").classes == ("0", "1", "2")


def test_names_as_bytes_are_names(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", classes=np.array([b"chair", b"table"]))
    assert task(path).classes == ("chair", "table")


FILE_DAMAGE = {
    "no points": ({"points": None}, "expected an array points, got classes, labels"),
    "no labels": ({"labels": None}, "expected an array labels, got classes, points"),
    "pickled": (
        {"points": np.array([[1, 2, 3], None], dtype=object)},
        "points: expected a plain array, got pickled objects",
    ),
    "pickled names": (
        {"classes": np.array(["chair", 7], dtype=object)},
        "classes: expected a plain array, got pickled objects",
    ),
    "words": ({"points": np.full((20, 12, 3), "x")}, "points: expected numbers, got <U1"),
    "flat": (
        {"points": some(20)[0]},
        r"points: expected shape \(clouds, points, 3\), got \(12, 3\)",
    ),
    "plane": ({"points": some(20)[..., :2]}, r"expected shape .* got \(20, 12, 2\)"),
    "none": (
        {"points": some(0), "labels": np.arange(0)},
        r"expected at least one cloud and one point in it, got \(0, 12, 3\)",
    ),
    "empty": ({"points": some(20, 0)}, r"expected at least one cloud .* got \(20, 0, 3\)"),
    "shares": ({"labels": np.linspace(0, 1, 20)}, "labels: expected whole numbers, got float64"),
    "few labels": (
        {"labels": np.arange(19) % 2},
        r"labels: expected 20, one a cloud, got .*\(19,\)",
    ),
    "twice": (
        {"classes": np.array(["a", "a"])},
        "expected every class once, got 'a' for 0 and for 1",
    ),
    "unnamed": ({"classes": np.array(["a", " "])}, "expected a name for class 1, got an empty one"),
    "no names": ({"classes": np.array([], dtype="U1")}, "expected class names, got none"),
    "numbers": ({"classes": np.arange(2)}, "classes: expected a list of names, got int64"),
}


@pytest.mark.parametrize("kind", FILE_DAMAGE)
def test_a_damaged_npz_file_is_named(tmp_path: Path, kind: str) -> None:
    changed, message = FILE_DAMAGE[kind]
    path = write_npz(tmp_path / "clouds.npz", **changed)
    with pytest.raises(DataError, match=rf"clouds\.npz: .*{message}"):
        task(path).prepare()
    data, found = task(path).check()
    assert data is None and len(found.damage) == 1 and str(path) in found.damage[0]


ROW_DAMAGE = {
    "nan": (lambda p, y: p.__setitem__((3, 5, 1), np.nan), "got nan as y of point 5"),
    "inf": (lambda p, y: p.__setitem__((3, 0, 2), -np.inf), "got -inf as z of point 0"),
    "one place": (lambda p, y: p.__setitem__(3, 0.25), "got all 12 at one place"),
    "zeros": (lambda p, y: p.__setitem__(3, 0), "got all 12 at one place"),
    "label": (lambda p, y: y.__setitem__(3, 2), "expected a label from 0 to 1, got 2"),
    "negative": (lambda p, y: y.__setitem__(3, -1), "expected a label from 0 to 1, got -1"),
}


@pytest.mark.parametrize("kind", ROW_DAMAGE)
def test_a_damaged_row_is_named_and_left_out_of_a_check(tmp_path: Path, kind: str) -> None:
    points, labels = some(20).astype(np.float32), np.arange(20) % 2
    change, message = ROW_DAMAGE[kind]
    change(points, labels)
    path = write_npz(tmp_path / "clouds.npz", points=points, labels=labels)
    with pytest.raises(DataError, match=rf"clouds\.npz, row 3: .*{message}"):
        task(path).prepare()
    data, found = task(path).check()
    assert len(found.damage) == 1 and data is not None and len(data.splits["train"]) == 19


def test_a_check_lists_all_damaged_rows(tmp_path: Path) -> None:
    points, labels = some(20), np.arange(20) % 2
    points[2, 0, 0], points[11, 4, 2], labels[7] = np.nan, np.inf, 9
    path = write_npz(tmp_path / "clouds.npz", points=points, labels=labels)
    data, found = task(path).check()
    assert [line.split(":")[0].rpartition("row ")[2] for line in found.damage] == ["2", "11", "7"]
    assert found.files == [path] and data is not None and len(data.splits["train"]) == 17


def test_negative_labels_are_damage_without_class_names_too(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", classes=None, labels=np.arange(20) - 1)
    with pytest.raises(DataError, match=r"row 0: expected a label of at least 0, got -1"):
        task(path).prepare()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PAGE, "expected an npz file, got a web page"),
        (b"", "expected an npz file, got an empty file"),
        (b"\x93NUMPY\x01\x00", "expected an npz file, got a file that begins with"),
        (b"PK\x03\x04 no archive", "expected a readable array, got damage"),
    ],
)
def test_what_is_no_npz_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "clouds.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"clouds\.npz: .*{message}"):
        task(path).prepare()


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_a_cut_npz_file_is_named(tmp_path: Path, share: float) -> None:
    path = write_npz(tmp_path / "clouds.npz")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"clouds\.npz: the file: expected a readable array"):
        task(path).prepare()


def test_a_changed_byte_of_an_npz_file_is_found(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "clouds.npz")
    content = bytearray(path.read_bytes())
    content[300] ^= 255  # within the points
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"clouds\.npz: points: expected a readable array"):
        task(path).prepare()


@pytest.mark.parametrize("name", ["clouds.ply", "notes.txt"])
def test_an_unknown_file_is_told_of_the_layouts(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"ply\n")
    with pytest.raises(
        ValueError, match=r"expected point clouds as .*\.off.*HDF5.*npz.*got .*" + name
    ):
        task(tmp_path / name).prepare()


def test_an_unknown_folder_is_told_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "b.txt").touch()
    (tmp_path / "sub").mkdir()
    with pytest.raises(ValueError, match=r"expected point clouds as .*\(b\.txt, sub/\)"):
        task(tmp_path).prepare()
    (tmp_path / "b.txt").unlink()
    with pytest.raises(ValueError, match=r"sub \(none\)"):
        task(tmp_path).prepare()


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"data: no file or folder .*nowhere\.npz"):
        task(tmp_path / "nowhere.npz")


def test_findings_stop_at_the_first_damage(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", points=np.full((20, 12, 3), np.nan))
    found = DataReport()
    with pytest.raises(DataError, match="row 0"):
        Points(data=path).read(path, found)
    assert found.damage == []
