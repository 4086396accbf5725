"""Which layout of images is on disk, and its reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nacgraph.tasks.data_report import DataReport
from nacgraph.tasks.images import folders
from nacgraph.tasks.images.cifar import cifar_folder, read_cifar
from nacgraph.tasks.images.idx import DIGITS, idx_folder, read_idx
from nacgraph.tasks.images.listing import Wanted, decoded, fitted
from nacgraph.tasks.splits import Data, Table

LAYOUTS = (
    "(Fashion-)MNIST: {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]",
    "CIFAR: cifar-10-batches-py or cifar-100-python",
    "Tiny-ImageNet: wnids.txt, train/<wnid>/images, val/images, val/val_annotations.txt",
    "CUB-200-2011: images.txt, image_class_labels.txt, train_test_split.txt, classes.txt, images/",
    "ImageNet-R, Tiny-ImageNet-R: <wnid>/IMAGE, a test split as a whole",
    "class folders: CLASS/IMAGE, or train/CLASS/IMAGE with or without val and test",
)


def read_images(path: Path | None, wanted: Wanted, found: DataReport, hint: str = "") -> Data:
    """Read the images at ``path``, whatever their layout; scikit-learn's digits where it is None.

    Raises:
        FileNotFoundError: If a file of the layout is not there.
        ValueError: If it is no layout that is known.
    """
    if path is None:
        return digits(wanted)
    if idx_folder(path):
        return _some(read_idx(path, wanted, found, hint), path)
    if cifar_folder(path):
        return _some(read_cifar(path, wanted, found), path)
    if folders.tiny_imagenet_folder(path):
        return _some(decoded(folders.tiny_imagenet(path, found), wanted, found), path)
    if folders.cub_folder(path):
        return _some(decoded(folders.cub(path, found), wanted, found), path)
    top = _unwrapped(path)
    if folders.has_class_folders(top):
        return _some(decoded(folders.class_folders(top, found), wanted, found), path)
    known = "".join(f"\n  {layout}" for layout in LAYOUTS)
    raise ValueError(f"data: {path}: expected images in one of these layouts, {_seen(path)}{known}")


def digits(wanted: Wanted) -> Data:
    """The 1,797 handwritten digits of 8 × 8 pixels and 17 greys that come with scikit-learn."""
    from sklearn.datasets import load_digits

    content = load_digits()
    images = np.round(content.images * (255 / 16)).astype(np.uint8)[..., None]
    table = Table(content.target.astype(np.int64), {"images": fitted(images, wanted)})
    return Data({"train": table}, DIGITS, "handwritten digits 8 × 8, real, from scikit-learn")


def _unwrapped(path: Path) -> Path:
    """The folder with something in it, where an archive holds one folder around all."""
    for _ in range(2):
        inside = folders.subfolders(path)
        lonely = len(inside) == 1 and not any(map(folders.is_image, inside[0].iterdir()))
        if not lonely or inside[0].name.lower() in folders.SPLIT_NAMES:
            break
        path = inside[0]
    return path


def _some(data: Data, path: Path) -> Data:
    """The same, unless there is nothing in it."""
    splits = {name: table for name, table in data.splits.items() if len(table)}
    if not splits:
        raise ValueError(f"data: {path}: expected images, got none that can be read")
    return Data(splits, data.classes, data.source)


def _seen(path: Path) -> str:
    if path.is_file():
        return f"got a file of {path.stat().st_size:,} bytes. Known are"
    names = sorted(p.name + "/" * p.is_dir() for p in path.iterdir())
    more = ", …" if len(names) > 8 else ""
    return f"got a folder with {', '.join(names[:8]) or 'nothing'}{more}. Known are"
