"""Damaged images and lists: each is named by file, and by line or row, and all can be listed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import images_on_disk as disk
import numpy as np
import pytest

from nacgraph.tasks.data_report import DataError
from nacgraph.tasks.images import Images
from nacgraph.tasks.images.cifar import ArrayUnpickler

HTML = b"<!DOCTYPE html><html><body>404</body></html>"
Damage = Callable[[Path], None]


def fails(folder: Path, match: str, error: type[Exception] = DataError) -> None:
    """Training stops with it, and ``check`` lists it, or ends with it if a file is missing."""
    with pytest.raises(error, match=match):
        Images(data=folder, cache_dir=folder.parent / "cache").load()
    import re

    _, found = Images(data=folder, cache_dir=folder.parent / "cache").check()
    assert any(re.search(match, line) for line in found.damage), found.damage


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


MNIST: list[tuple[Damage, str]] = [
    (lambda f: halve(f / "train-images-idx3-ubyte.gz"), "train-images.*whole gzip"),
    (lambda f: (f / "train-labels-idx1-ubyte.gz").write_bytes(HTML) and None, "labels.*gzip"),
    (lambda f: disk.idx(f / "t10k-images-idx3-ubyte.gz", np.zeros(9)) and None, "magic.*2049"),
    (lambda f: disk.idx(f / "t10k-labels-idx1-ubyte.gz", np.zeros(19)) and None,
     "t10k-labels.*expected 20 labels.*got 19"),
    (lambda f: disk.idx(f / "t10k-labels-idx1-ubyte.gz", np.arange(20)) and None,
     "t10k-labels.*, row 10: expected a label 0 to 9, got 10"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "match"), MNIST)
def test_idx(tmp_path: Path, damage: Damage, match: str) -> None:
    folder = disk.mnist(tmp_path / "m")
    damage(folder)
    fails(folder, match)


def test_idx_cut_short_and_missing(tmp_path: Path) -> None:
    folder = disk.mnist(tmp_path / "m", ending="")
    halve(folder / "t10k-images-idx3-ubyte")
    fails(folder, r"t10k-images.*20 × 28 × 28 = 15680 bytes.*got 78")
    (folder / "train-labels-idx1-ubyte").unlink()
    fails(folder, "no file .*train-labels-idx1-ubyte", FileNotFoundError)


class Harm:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("harm",))


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_cannot_call_anything(
    tmp_path: Path, protocol: int, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = disk.cifar10(tmp_path / "c")
    bad = folder / "cifar-10-batches-py" / "data_batch_3"
    bad.write_bytes(pickle.dumps({b"data": Harm()}, protocol))
    fails(folder, "data_batch_3.*(builtins|__builtin__).print")
    assert "harm" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "code",
    [b"cos\nsystem\n(S'echo harm'\ntR.", b"cnumpy\nload\n(S'x'\ntR.", b"c__builtin__\neval\n.",
     b"cnumpy\ndtype\n(S'O8'\ntR.", b"c_codecs\nencode\n(Vx\nVzip_codec\ntR.",
     b"cnumpy.core.numeric\n_frombuffer\n(Vx\nVu1\n(I1\ntVC\ntR.",
     b"cnumpy.core.multiarray\nscalar\n(Vx\nVu1\ntR."],
)  # fmt: skip
def test_only_what_arrays_need_can_be_unpickled(code: bytes) -> None:
    import io

    with pytest.raises(pickle.UnpicklingError, match="expected"):
        ArrayUnpickler(io.BytesIO(code)).load()


CIFAR: list[tuple[dict[bytes, object], str]] = [
    ({b"labels": [0] * 19}, "expected 20 labels, as many as images, got 19"),
    ({b"labels": [0] * 7 + [10] + [0] * 12}, "test_batch, row 7: expected a label 0 to 9, got 10"),
    (
        {b"data": disk.noise(0, 20, 3071)},
        r"expected data as uint8 \(N, 3072\), got uint8 \(20, 3071",
    ),
    ({b"data": np.zeros((20, 3072), np.int32)}, "got int32"),
    ({b"data": [1, 2]}, "got none"),
]


@pytest.mark.parametrize(("change", "match"), CIFAR)
def test_cifar(tmp_path: Path, change: dict[bytes, object], match: str) -> None:
    base = disk.cifar10(tmp_path / "c")
    good = {b"labels": [k % 10 for k in range(20)], b"data": disk.noise(0, 20, 3072)}
    disk.dump(base / "cifar-10-batches-py" / "test_batch", {**good, **change})
    fails(base, match)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", [list, tuple, np.array, lambda x: [np.int64(k) for k in x]])
def test_cifar_pickled_anew_is_read(
    tmp_path: Path, protocol: int, form: Callable[[list[int]], object]
) -> None:
    base = disk.cifar10(tmp_path / "c")
    want = Images(data=base).table("test")
    # In columns, as np.stack and others give it: another order of bytes.
    data = np.asfortranarray(disk.noise(5, 20, 3072))
    content = {"data": data, "labels": form(want.labels.tolist())}
    path = base / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(pickle.dumps(content, protocol))
    again = Images(data=base).table("test")
    assert np.array_equal(again.columns["images"], want.columns["images"])
    assert np.array_equal(again.labels, want.labels)


def test_cifar_cut_short_html_and_missing(tmp_path: Path) -> None:
    base = disk.cifar10(tmp_path / "c")
    folder = base / "cifar-10-batches-py"
    halve(folder / "data_batch_2")
    fails(base, "data_batch_2: expected a pickled dict")
    (folder / "data_batch_2").write_bytes(HTML)
    fails(base, "data_batch_2: expected a pickled dict")
    (folder / "data_batch_2").unlink()
    fails(base, "no file .*data_batch_2", FileNotFoundError)
    (folder / "batches.meta").unlink()
    fails(folder, "no file .*batches.meta", FileNotFoundError)


def test_all_damaged_images_are_listed_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = disk.class_folders(tmp_path / "f", ("cat", "dog", "eel"))
    jpeg = folder / "cat" / "002.jpg"
    jpeg.write_bytes(jpeg.read_bytes()[:-40])
    halve(folder / "dog" / "003.png")
    (folder / "cat" / "004.jpg").write_bytes(HTML)
    (folder / "dog" / "000.jpg").write_bytes(b"")
    for file in (folder / "eel").iterdir():
        file.unlink()
    fails(folder, "eel: expected image files in it, got none")
    data, found = Images(data=folder, cache_dir=tmp_path / "cache").check()
    said = "\n".join(found.damage)
    assert len(found.damage) == 5
    assert "002.jpg: expected a whole image" in said and "003.png: expected a whole image" in said
    assert "004.jpg: expected an image, got a web page" in said and "an empty file" in said
    assert data is not None and len(data.splits["train"]) == 16
    assert not (tmp_path / "cache").exists()  # damaged data is not kept
    (folder / "eel").rmdir()
    fails(folder, "002.jpg: expected a whole image|004.jpg: expected an image, got a web page")


def test_a_class_that_does_not_train(tmp_path: Path) -> None:
    disk.class_folders(tmp_path / "g" / "train")
    disk.class_folders(tmp_path / "g" / "test", ("cat", "emu"))
    fails(tmp_path / "g", "emu: expected a class of the train split")


def edited(path: Path, line: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")


TINY = [
    ("val/val_annotations.txt", "val_1.JPEG n02000001 0 0 1 1", "line 2: expected file, wnid"),
    ("val/val_annotations.txt", "val_1.JPEG\tn02000001\t0\tx\t1\t1", "line 2: expected file, wnid"),
    ("val/val_annotations.txt", "val_1.JPEG\tn09999999\t0\t0\t1\t1", "line 2: .*n09999999"),
    ("val/val_annotations.txt", "val_99.JPEG\tn02000001\t0\t0\t1\t1", "line 2: .*val_99"),
    (
        "val/val_annotations.txt",
        "../x.JPEG\tn02000001\t0\t0\t1\t1",
        "line 2: expected a file's name",
    ),
    ("wnids.txt", "crane", "wnids.txt, line 2: expected a new WordNet id, got 'crane'"),
    ("wnids.txt", "n02000001", "wnids.txt, line 2: expected a new WordNet id"),
    ("words.txt", "n01000002 crane", "words.txt, line 2: expected WNID<TAB>words"),
]


@pytest.mark.parametrize(("file", "text", "match"), TINY)
def test_tiny_imagenet(tmp_path: Path, file: str, text: str, match: str) -> None:
    base = disk.tiny_imagenet(tmp_path / "t", size=8)
    edited(base / "tiny-imagenet-200" / file, 2, text)
    fails(base, match)


@pytest.mark.parametrize("file", ["wnids.txt", "val/val_annotations.txt"])
def test_tiny_imagenet_without_a_list(tmp_path: Path, file: str) -> None:
    base = disk.tiny_imagenet(tmp_path / "t", images=1, size=8)
    (base / "tiny-imagenet-200" / file).unlink()
    fails(base, f"no file .*{file}", FileNotFoundError)


BIRDS = [
    ("images.txt", "2", "images.txt, line 2: expected a new id and a value"),
    ("images.txt", "2 ../../x.jpg", "images.txt, line 2: expected a path inside"),
    ("images.txt", "2 001.Black_footed_Albatross/none.jpg", "images.txt, line 2: .*no such file"),
    (
        "images.txt",
        "99 001.Black_footed_Albatross/Bird_0000.jpg",
        "expected image 99 in image_class",
    ),
    ("image_class_labels.txt", "2 7", "image_class_labels.txt, line 2: .*got '7'"),
    ("train_test_split.txt", "2 yes", "train_test_split.txt, line 2: expected 0 or 1, got 'yes'"),
]


@pytest.mark.parametrize(("file", "text", "match"), BIRDS)
def test_cub(tmp_path: Path, file: str, text: str, match: str) -> None:
    base = disk.cub(tmp_path / "b")
    edited(base / "CUB_200_2011" / file, 2, text)
    fails(base, match)


def test_cub_without_a_list(tmp_path: Path) -> None:
    base = disk.cub(tmp_path / "b")
    (base / "CUB_200_2011" / "classes.txt").unlink()
    fails(base, "no file .*classes.txt", FileNotFoundError)
