"""ModelNet as HDF5: the folder as it comes, one file alone, and damage.

h5py is optional, so these tests bring a stand-in for it: a file is HDF5's signature, then npz.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nacgraph.tasks.data_report import DataError
from nacgraph.tasks.points import Points, hdf5
from nacgraph.tasks.points.clouds import normalised

PAGE = b"<!DOCTYPE html>\n<html><body>404 not found</body></html>\n"


def some(count: int, size: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, size, 3))


def task(path: Path, **arguments: Any) -> Points:
    return Points(data=path, count=8, batch_size=4, **arguments)


class FakeFile:
    """What h5py.File does, as far as the reader uses it."""

    def __init__(self, path: Path, mode: str) -> None:
        assert mode == "r"
        content = Path(path).read_bytes()
        try:
            with np.load(io.BytesIO(content[8:])) as file:
                self.arrays: dict[str, Any] = {name: file[name] for name in file.files}
        except Exception as error:
            raise OSError("Unable to open file (truncated file: eof = 96)") from error
        self.arrays["folder"] = object()  # a group

    def __enter__(self) -> FakeFile:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def keys(self) -> list[str]:
        return list(self.arrays)

    def __getitem__(self, name: str) -> Any:
        return self.arrays[name]


@pytest.fixture
def fake_h5py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", SimpleNamespace(File=FakeFile))  # type: ignore[arg-type]


def write_h5(path: Path, **arrays: np.ndarray) -> None:
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    path.write_bytes(hdf5.MAGIC + content.getvalue())


def write_modelnet(folder: Path) -> Path:
    """``modelnet40_ply_hdf5_2048/`` as it comes, with 12 points for 2,048."""
    folder.mkdir()
    (folder / "shape_names.txt").write_text("airplane\nbathtub\nbed\n")
    sizes = {"train0": 7, "train1": 6, "test0": 4}
    for seed, (name, count) in enumerate(sizes.items()):
        labels = (np.arange(count, dtype=np.uint8) % 3)[:, None]
        write_h5(
            folder / f"ply_data_{name}.h5",
            data=some(count, seed=seed).astype(np.float32),
            label=labels,
            normal=some(count),
            faceId=np.zeros((count, 12), np.int32),
        )
    for split in ("train", "test"):
        names = [n for n in sizes if n.startswith(split)]
        # The lists as published name a folder that is not there.
        lines = [f"data/modelnet40_ply_hdf5_2048/ply_data_{n}.h5\n" for n in names]
        (folder / f"{split}_files.txt").write_text("".join(lines))
    return folder


@pytest.mark.usefixtures("fake_h5py")
def test_modelnet_as_hdf5_is_read(tmp_path: Path) -> None:
    folder = write_modelnet(tmp_path / "modelnet40_ply_hdf5_2048")
    read = task(folder)
    assert read.classes == ("airplane", "bathtub", "bed")
    assert [len(read.table(s)) for s in ("train", "val", "test")] == [10, 3, 4]
    test = Points(data=folder, count=12).table("test")
    expected = normalised(some(4, seed=2).astype(np.float32))
    np.testing.assert_array_equal(test.columns["points"], expected)
    assert test.labels.tolist() == [0, 1, 2, 0]
    data, found = read.check()
    assert not found.damage and data is not None and len(data.splits["train"]) == 13
    assert [p.name for p in found.files] == [
        "shape_names.txt",
        "train_files.txt",
        "ply_data_train0.h5",
        "ply_data_train1.h5",
        "test_files.txt",
        "ply_data_test0.h5",
    ]


@pytest.mark.usefixtures("fake_h5py")
def test_one_hdf5_file_is_read_with_the_names_beside_it(tmp_path: Path) -> None:
    folder = write_modelnet(tmp_path / "modelnet")
    read = Points(data=folder / "ply_data_test0.h5", count=8, whole_is_test=True)
    assert read.classes == ("airplane", "bathtub", "bed") and len(read.table("test")) == 4
    (folder / "shape_names.txt").unlink()
    read = Points(data=folder / "ply_data_test0.h5", count=8, whole_is_test=True)
    assert read.classes == ("0", "1", "2")


@pytest.mark.usefixtures("fake_h5py")
@pytest.mark.parametrize(
    "name", ["shape_names.txt", "train_files.txt", "test_files.txt", "ply_data_train1.h5"]
)
def test_a_missing_hdf5_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_modelnet(tmp_path / "modelnet")
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        task(folder).prepare()


@pytest.mark.usefixtures("fake_h5py")
def test_damage_of_hdf5_files_is_all_listed(tmp_path: Path) -> None:
    folder = write_modelnet(tmp_path / "modelnet")
    points = some(6).astype(np.float32)
    points[2, 3, 0] = np.nan
    labels = np.array([[0], [1], [2], [3], [0], [1]], np.uint8)
    write_h5(folder / "ply_data_train1.h5", data=points, label=labels)
    cases = {
        "train2": (PAGE, "expected an HDF5 file, got a web page"),
        "train3": (hdf5.MAGIC + b"cut", "expected a whole HDF5 file, got damage .*truncated"),
    }
    for name, (content, _) in cases.items():
        (folder / f"ply_data_{name}.h5").write_bytes(content)
    write_h5(folder / "ply_data_train4.h5", data=points)
    write_h5(folder / "ply_data_train5.h5", data=some(2, 11), label=np.zeros((2, 1), np.uint8))
    with open(folder / "train_files.txt", "a") as file:
        file.write("".join(f"\nply_data_train{k}.h5" for k in (2, 3, 4, 5)))
    with pytest.raises(DataError, match=r"train1\.h5, row 2: expected finite .* got nan as x"):
        task(folder).prepare()
    data, found = task(folder).check()
    assert data is not None and len(data.splits["train"]) == 11
    expected = [
        r"train1.h5, row 2: expected finite coordinates, got nan as x of point 3",
        r"train1.h5, row 3: expected a label from 0 to 2, got 3",
        r"train2.h5: expected an HDF5 file, got a web page",
        r"train3.h5: expected a whole HDF5 file, got damage",
        r"train4.h5: expected an array label, got data",
        r"train5.h5: expected clouds of 12 points as in the files before, got 11",
    ]
    assert len(found.damage) == len(expected)
    for line, part in zip(found.damage, expected, strict=True):
        assert part in line


@pytest.mark.usefixtures("fake_h5py")
def test_wrong_lists_are_named(tmp_path: Path) -> None:
    folder = write_modelnet(tmp_path / "modelnet")
    (folder / "train_files.txt").write_text("\n")
    with pytest.raises(DataError, match=r"train_files\.txt: expected names of files"):
        task(folder).prepare()
    (folder / "shape_names.txt").write_text("bed\nbed\n")
    with pytest.raises(DataError, match=r"shape_names\.txt: expected every class once"):
        task(folder).prepare()
    (folder / "shape_names.txt").write_bytes(PAGE)
    with pytest.raises(DataError, match=r"shape_names\.txt: expected a list of names, got a web"):
        task(folder).prepare()
    (folder / "shape_names.txt").write_text("a\nb\nc\n")
    for path in (*folder.glob("*.h5"), *folder.glob("*_files.txt")):
        path.unlink()
    with pytest.raises(
        DataError, match=r"expected train_files\.txt or test_files\.txt, got neither"
    ):
        task(folder).prepare()


def test_without_h5py_there_is_a_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    folder = write_modelnet(tmp_path / "modelnet")
    with pytest.raises(ValueError, match=r"train0\.h5 needs the package h5py.*pip install h5py"):
        task(folder).prepare()
    data, found = task(folder).check()
    assert data is None and found.damage and "pip install h5py" in found.damage[-1]
