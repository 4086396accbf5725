"""Readers of images: the exact layouts of the real data sets."""

from __future__ import annotations

from pathlib import Path

import images_on_disk as disk
import numpy as np
import pytest
from PIL import Image

from nacgraph.tasks.images import Images
from nacgraph.tasks.images.idx import FASHION
from nacgraph.tasks.splits import Table


def images(table: Table) -> np.ndarray:
    return table.columns["images"]


@pytest.mark.parametrize("ending", [".gz", ""])
def test_mnist(tmp_path: Path, ending: str) -> None:
    task = Images(data=disk.mnist(tmp_path / "digits", ending=ending))
    assert task.classes == tuple("0123456789") and task.shape == (28, 28, 1)
    assert [len(task.table(s)) for s in ("train", "val", "test")] == [30, 10, 20]
    test = task.table("test")
    assert np.array_equal(images(test)[..., 0], disk.noise(1, 20, 28, 28))
    assert test.labels.tolist() == [k % 10 for k in range(20)]
    assert "not fashion" not in task.describe() and "20 test" in task.describe()


def test_fashion_is_known_by_its_folder_and_a_file_stands_for_its_split(tmp_path: Path) -> None:
    folder = disk.mnist(tmp_path / "Fashion-MNIST" / "raw")
    assert Images(data=folder).classes == FASHION
    assert Images(data=folder.parent).shape == (28, 28, 1)
    alone = Images(data=folder / "t10k-images-idx3-ubyte.gz")
    assert len(alone.table("test")) == 20
    with pytest.raises(ValueError, match="no train split"):
        alone.table("train")


def test_sizes_and_channels_as_asked(tmp_path: Path) -> None:
    folder = disk.mnist(tmp_path)
    task = Images(data=folder, size=14, channels=3)
    assert task.shape == (14, 14, 3)
    part = images(task.table("test"))
    assert (part[..., 0] == part[..., 1]).all()
    own = Images(data=folder)
    own.match_sizes(task.data_signature())
    assert np.array_equal(images(own.table("test")), part)


def test_cifar10(tmp_path: Path) -> None:
    task = Images(data=disk.cifar10(tmp_path))
    assert task.classes == tuple(f"thing{k}" for k in range(10))
    assert task.shape == (32, 32, 3)
    test = task.table("test")
    flat = disk.noise(5, 20, 3072)
    assert np.array_equal(images(test)[3, :, :, 1].ravel(), flat[3, 1024:2048])
    assert test.labels[0] == 5 and len(task.table("train")) + len(task.table("val")) == 100
    same = Images(data=tmp_path / "cifar-10-batches-py")
    assert np.array_equal(images(same.table("test")), images(test))


def test_cifar100_by_fine_labels(tmp_path: Path) -> None:
    task = Images(data=disk.cifar100(tmp_path))
    assert task.num_classes == 100 and task.classes[7] == "fine7"
    assert task.table("test").labels.max() == 99


def test_tiny_imagenet(tmp_path: Path) -> None:
    task = Images(data=disk.tiny_imagenet(tmp_path), cache_dir=tmp_path / "cache")
    assert task.classes == tuple(sorted(disk.WNIDS))  # their words are all the same
    assert task.shape == (64, 64, 3)  # grey ones too
    assert [len(task.table(s)) for s in ("train", "val", "test")] == [6, 3, 6]
    test = task.table("test")
    assert [task.classes[k] for k in test.labels] == [disk.WNIDS[k % 3] for k in range(6)]
    assert task.tags("test")["name"][0] == "crane"
    file = tmp_path / "tiny-imagenet-200" / "val" / "images" / "val_4.JPEG"
    assert np.array_equal(images(test)[4], np.asarray(Image.open(file)))
    # A folder reader would find one class here, called "images".
    val = Images(data=tmp_path / "tiny-imagenet-200" / "val", cache_dir=tmp_path / "cache")
    assert val.classes == task.classes and np.array_equal(images(val.table("test")), images(test))


def sorted_val(base: Path, inner: str) -> Path:
    """Tiny-ImageNet as many programs have it: val in folders of its classes."""
    val = disk.tiny_imagenet(base) / "tiny-imagenet-200" / "val"
    for k in range(6):
        folder = val / disk.WNIDS[k % 3] / inner
        folder.mkdir(parents=True, exist_ok=True)
        (val / "images" / f"val_{k}.JPEG").rename(folder / f"val_{k}.JPEG")
    return val


@pytest.mark.parametrize("inner", ["images", "."])
@pytest.mark.parametrize("gone", [(), ("val/val_annotations.txt",), ("wnids.txt", "words.txt")])
def test_tiny_imagenet_with_val_sorted_by_class(
    tmp_path: Path, inner: str, gone: tuple[str, ...]
) -> None:
    want = Images(data=disk.tiny_imagenet(tmp_path / "a"), cache_dir=tmp_path).table("test")
    val = sorted_val(tmp_path / "b", inner)
    for name in gone:
        (val.parent / name).unlink()
    task = Images(data=val.parent, cache_dir=tmp_path)
    assert task.classes == tuple(sorted(disk.WNIDS))
    assert [len(task.table(s)) for s in ("train", "val", "test")] == [6, 3, 6]
    order = np.argsort(want.labels, kind="stable")
    assert np.array_equal(task.table("test").labels, want.labels[order])
    assert np.array_equal(images(task.table("test")), images(want)[order])


def test_val_sorted_into_wrong_classes_is_told(tmp_path: Path) -> None:
    val = sorted_val(tmp_path, "images")
    first, second = sorted(disk.WNIDS)[:2]
    file = next((val / first / "images").iterdir())
    moved = file.rename(val / second / "images" / file.name)
    (val / "n09999999").mkdir()
    _, found = Images(data=tmp_path).check()
    line = next(
        k
        for k, text in enumerate((val / "val_annotations.txt").read_text().splitlines(), 1)
        if text.startswith(file.name)
    )
    assert found.damage == [
        f"{moved}: expected it in {first}, as in line {line} of val_annotations.txt",
        f"{val / 'n09999999'}: expected a class of wnids.txt, got 'n09999999'",
    ]


def test_renditions_by_wordnet_id_are_a_test_split(tmp_path: Path) -> None:
    folder = disk.class_folders(tmp_path / "imagenet-r", disk.WNIDS[:2], 3)
    (folder / "README.txt").write_text("hello")
    task = Images(data=folder, cache_dir=tmp_path)
    assert task.classes == tuple(sorted(disk.WNIDS[:2])) and len(task.table("test")) == 6
    task.remap_classes(sorted(disk.WNIDS))
    assert task.num_classes == 3 and task.present("test") == [0, 1]
    with pytest.raises(ValueError, match="expected classes among"):
        Images(data=folder, cache_dir=tmp_path).remap_classes(["cat", "dog"])


def test_class_folders(tmp_path: Path) -> None:
    task = Images(data=disk.class_folders(tmp_path / "a"), cache_dir=tmp_path)
    assert task.classes == ("cat", "dog") and task.shape == (12, 12, 3)
    assert [len(task.table(s)) for s in ("train", "val", "test")] == [16, 2, 2]
    whole = Images(data=tmp_path / "a", cache_dir=tmp_path, whole_is_test=True)
    assert len(whole.table("test")) == 20
    for split in ("train", "valid", "test"):
        disk.class_folders(tmp_path / "b" / "inside" / split, count=4)
    task = Images(data=tmp_path / "b", cache_dir=tmp_path)  # one folder around all
    assert [len(task.table(s)) for s in ("train", "val", "test")] == [8, 8, 8]


def test_images_of_any_size_and_kind_come_to_one(tmp_path: Path) -> None:
    folder = tmp_path / "c" / "x"
    disk.picture(folder / "0.png", 0, (10, 30))
    disk.picture(folder / "1.png", 1, (90, 70), grey=True)
    Image.fromarray(disk.noise(2, 9, 9, 4), "RGBA").save(folder / "2.png")
    Image.fromarray(np.full((9, 9), 0x8000, np.uint16)).save(folder / "3.png")
    Image.fromarray(disk.noise(3, 9, 9)).convert("P").save(folder / "4.gif")
    disk.picture(tmp_path / "c" / "y" / "0.png")
    task = Images(data=folder.parent, cache_dir=tmp_path, whole_is_test=True)
    assert task.shape == (64, 64, 3)
    assert (images(task.table("test"))[3] == 0x80).all()
    small = Images(data=folder.parent, cache_dir=tmp_path, whole_is_test=True, size=16, channels=1)
    assert small.shape == (16, 16, 1)


def test_middle_is_cut_out(tmp_path: Path) -> None:
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 200
    for name in ("a", "b"):
        (tmp_path / "d" / name).mkdir(parents=True)
        Image.fromarray(wide).save(tmp_path / "d" / name / "0.png")
    task = Images(data=tmp_path / "d", cache_dir=tmp_path, whole_is_test=True, size=8)
    assert (images(task.table("test")) == 200).all()


def test_grey_folders_stay_grey(tmp_path: Path) -> None:
    for name in ("a", "b"):
        disk.picture(tmp_path / "e" / name / "0.png", grey=True)
    task = Images(data=tmp_path / "e", cache_dir=tmp_path, whole_is_test=True)
    assert task.shape == (8, 8, 1)


def test_cub(tmp_path: Path) -> None:
    task = Images(data=disk.cub(tmp_path), cache_dir=tmp_path, size=16)
    assert task.classes == ("001.Black_footed_Albatross", "002.Laysan_Albatross")
    assert task.table("test").labels.tolist() == [0, 1] and task.shape == (16, 16, 3)
    assert len(task.table("train")) + len(task.table("val")) == 6


def test_embedded_digits() -> None:
    task = Images()
    assert "scikit-learn" in task.describe() and task.shape == (8, 8, 1)
    assert sum(len(task.table(s)) for s in ("train", "val", "test")) == 1797
    assert images(task.table("train")).max() == 255


def test_decoded_files_are_kept_until_one_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nacgraph.tasks.images import listing

    folder, cache = disk.class_folders(tmp_path / "f", count=2), tmp_path / "cache"
    first = images(Images(data=folder, cache_dir=cache, whole_is_test=True).table("test"))
    assert len(list(cache.glob("images-*.npz"))) == 1
    with monkeypatch.context() as patch:
        patch.setattr(listing, "_into", lambda *_: pytest.fail("decoded again"))
        again = images(Images(data=folder, cache_dir=cache, whole_is_test=True).table("test"))
    assert np.array_equal(first, again)
    disk.picture(folder / "cat" / "001.png", 77, (12, 12))
    changed = images(Images(data=folder, cache_dir=cache, whole_is_test=True).table("test"))
    assert not np.array_equal(first, changed)


def test_unknown_layouts_list_what_is_known_and_found(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"(?s)got a folder with notes\.txt.*CIFAR.*class folders"):
        Images(data=tmp_path).load()
    with pytest.raises(ValueError, match="got a file of 5 bytes"):
        Images(data=tmp_path / "notes.txt").load()
    with pytest.raises(FileNotFoundError, match="gone"):
        Images(data=tmp_path / "gone")
