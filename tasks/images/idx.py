"""MNIST's IDX files, Fashion-MNIST's among them, gzipped or not."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from nacgraph.tasks.data_report import DataReport
from nacgraph.tasks.images.listing import Wanted, fitted
from nacgraph.tasks.splits import Data, Table

DIGITS = tuple("0123456789")
FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
PREFIXES = {"train": "train", "test": "t10k"}
MOST = 1 << 31  # bytes of an unpacked file; real ones have 47 million


def idx_folder(path: Path) -> Path | None:
    """The folder with IDX images at ``path``, also one deeper as torchvision lays them."""
    if path.is_file():
        return path.parent if _part(path) else None
    for folder in (path, path / "raw", path / "MNIST" / "raw", path / "FashionMNIST" / "raw"):
        if any(_part(file) for file in folder.glob("*-ubyte*")):
            return folder
    return None


def _part(file: Path) -> str | None:
    """The split that a file's name says it belongs to."""
    for split, prefix in PREFIXES.items():
        for kind in ("images-idx3", "images.idx3", "labels-idx1", "labels.idx1"):
            if file.name in (f"{prefix}-{kind}-ubyte", f"{prefix}-{kind}-ubyte.gz"):
                return split
    return None


def read_idx(path: Path, wanted: Wanted, found: DataReport, hint: str = "") -> Data:
    """Both files of each split that is there; a single file stands for its own split.

    Args:
        path: Folder, or one of the files.
        wanted: Size and channels.
        found: Takes files and damage.
        hint: The path as the user gave it: "fashion" in it names the classes.

    Raises:
        FileNotFoundError: If a split has images or labels only.
    """
    folder = idx_folder(path) or path
    splits = [_part(path)] if path.is_file() else list(PREFIXES)
    tables = {}
    for split in splits:
        if split is None or not any(_part(file) == split for file in folder.glob("*-ubyte*")):
            continue
        image_file = found.read(_named(folder, PREFIXES[split], "images", 3))
        label_file = found.read(_named(folder, PREFIXES[split], "labels", 1))
        images = _array(image_file, 3, "images", found)
        labels = _array(label_file, 1, "labels", found)
        if images is None or labels is None:
            continue
        if len(images) != len(labels):
            found.damaged(
                label_file, f"expected {len(images)} labels, as many as images, got {len(labels)}"
            )
        count = min(len(images), len(labels))
        images, labels = images[:count], labels[:count].astype(np.int64)
        for row in np.flatnonzero(labels > 9):
            found.damaged(f"{label_file}, row {row}", f"expected a label 0 to 9, got {labels[row]}")
        kept = labels <= 9
        columns = {"images": fitted(images[kept][..., None], wanted)}
        tables[split] = Table(labels[kept], columns)
    fashion = "fashion" in f"{hint} {path.resolve()}".lower()
    name = "Fashion-MNIST" if fashion else "MNIST's layout"
    return Data(tables, FASHION if fashion else DIGITS, f"{name}: IDX files in {folder}")


def _named(folder: Path, prefix: str, what: str, axes: int) -> Path:
    """The file of that kind which is there; the usual name if none is."""
    for dot in ("-", "."):
        for ending in (".gz", ""):
            path = folder / f"{prefix}-{what}{dot}idx{axes}-ubyte{ending}"
            if path.is_file():
                return path
    return folder / f"{prefix}-{what}-idx{axes}-ubyte.gz"


def _array(path: Path, axes: int, what: str, found: DataReport) -> np.ndarray | None:
    """The content of an IDX file of bytes, or None after its damage was reported."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                data = file.read(MOST)
        else:
            data = path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        found.damaged(path, f"expected a whole gzip file, got a broken one ({error})")
        return None
    magic, head = 0x800 + axes, 4 * (1 + axes)
    got = int.from_bytes(data[:4], "big")
    if len(data) < head or got != magic:
        found.damaged(path, f"expected IDX {what} (magic number {magic}), got {got}")
        return None
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", axes, 4))
    size = int(np.prod(shape, dtype=object))
    if len(data) - head != size:
        sides = " × ".join(map(str, shape))
        found.damaged(path, f"expected {sides} = {size} bytes of {what}, got {len(data) - head}")
        return None
    if size == 0:
        found.damaged(path, f"expected {what}, got none")
        return None
    return np.frombuffer(data, np.uint8, size, head).reshape(shape)
