"""Image files of any format and size: listed, looked at, decoded to one array, kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nacgraph.tasks.cache import cached, default_cache_dir
from nacgraph.tasks.data_report import DataReport
from nacgraph.tasks.pictures import GREY, open_picture, plain, read_picture, upright_size
from nacgraph.tasks.splits import Data, Table
from nacgraph.utils.progress_line import telling

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".avif", ".ppm", ".pgm",
    ".pbm", ".pnm", ".tif", ".tiff",
)  # fmt: skip
SIDE = 64  # of images that differ in size, unless ``size`` says otherwise
FRAMES = "frames after the first"
FORMAT = 2  # of what is kept; one more when decoding changes
_telling = partial(telling, unit="files", least=2000, every=500)


@dataclass
class Listing:
    """Which files there are: by split, (file, label) pairs; tags likewise, one word a file."""

    classes: tuple[str, ...]
    source: str
    splits: dict[str, list[tuple[Path, int]]]
    tags: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What images are brought to: ``size`` (0: their own if all have the same, else 64) and
    ``channels`` (0: as they are, colour where any has it); where decoded ones are kept; and how
    many ``bits`` of 16 they use (0: all, if that is clear)."""

    size: int = 0
    channels: int = 0
    cache_dir: Path | None = None
    bits: int = 0


def is_image(path: Path) -> bool:
    """Whether a file's name says that it is an image."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def decoded(listing: Listing, wanted: Wanted, found: DataReport) -> Data:
    """All files as uint8 (N, H, W, C) arrays, one a split.

    The result is kept in the cache folder, under the names, sizes and times of the files.
    """
    files = {k: [found.read(path) for path, _ in pairs] for k, pairs in listing.splits.items()}

    def decode() -> dict[str, np.ndarray]:
        size, channels, fine = _looked_at(files, wanted, found)
        arrays = {}
        with _telling("reading images", sum(int(rows.sum()) for rows in fine.values())) as one_more:
            for split, paths in files.items():
                images = np.zeros((len(paths), *size, channels), np.uint8)
                for k in np.flatnonzero(fine[split]):
                    fine[split][k] = _into(images[k], paths[k], wanted, found)
                    one_more()
                arrays[f"images_{split}"] = images[fine[split]]
                arrays[f"rows_{split}"] = np.flatnonzero(fine[split])
        return arrays

    if found.collect:  # all damage is wanted, and damaged data is not worth keeping
        arrays = decode()
    else:
        settings = {
            "format": FORMAT,
            "size": wanted.size,
            "channels": wanted.channels,
            "bits": wanted.bits,
            "files": _fingerprint(files),
        }
        name = hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()[:16]
        folder = wanted.cache_dir or default_cache_dir()
        arrays = cached(folder / f"images-{name}.npz", settings, decode)
    tables = {}
    for split, pairs in listing.splits.items():
        rows = arrays[f"rows_{split}"]
        labels = np.array([label for _, label in pairs], np.int64)[rows]
        tags = {k: [v[r] for r in rows] for k, v in listing.tags.get(split, {}).items()}
        tables[split] = Table(labels, {"images": arrays[f"images_{split}"]}, tags)
    return Data(tables, listing.classes, listing.source)


def _fingerprint(files: Mapping[str, Sequence[Path]]) -> str:
    total = hashlib.sha256()
    for split, paths in files.items():
        for path in paths:
            state = path.stat()
            line = f"{split}\0{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\n"
            total.update(line.encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def _looked_at(
    files: Mapping[str, Sequence[Path]], wanted: Wanted, found: DataReport
) -> tuple[tuple[int, int], int, dict[str, np.ndarray]]:
    """(height, width) and channels that all get, and which files are images by their header."""
    sizes: set[tuple[int, int]] = set()
    colour = False
    fine = {}
    with _telling("looking at images", sum(map(len, files.values()))) as one_more:
        for split, paths in files.items():
            fine[split] = np.zeros(len(paths), bool)
            for k, path in enumerate(paths):
                try:
                    with open_picture(path) as image:
                        if not wanted.size and len(sizes) < 2:
                            sizes.add(upright_size(image))
                        colour |= image.mode not in GREY
                        if found.collect and getattr(image, "is_animated", False):
                            found.skip(path.name, FRAMES, path.parent.name)
                    fine[split][k] = True
                except (OSError, ValueError) as error:
                    found.damaged(path, str(error))
                one_more()
    if wanted.size:
        size = (wanted.size, wanted.size)
    else:
        size = sizes.pop() if len(sizes) == 1 else (SIDE, SIDE)
    return size, wanted.channels or (3 if colour else 1), fine


def _into(place: np.ndarray, path: Path, wanted: Wanted, found: DataReport) -> bool:
    """Decode a file into ``place`` (H, W, C); False after its damage was reported."""
    high, wide, channels = place.shape
    side = 2 * max(high, wide)  # whichever way it has to be turned
    try:
        image = read_picture(path, (None, (side, side)), wanted.bits)
        place[...] = pixels(image, (high, wide), channels, wanted.bits)
    except (OSError, ValueError) as error:
        found.damaged(path, str(error))
        return False
    return True


def pixels(image: Image, size: tuple[int, int], channels: int, bits: int = 0) -> np.ndarray:
    """A picture as uint8 (H, W, C): its shorter side scaled, its middle cut out."""
    from PIL import Image

    image = plain(image, bits)
    image = image.convert("L" if channels == 1 else "RGB")
    high, wide = size
    if image.size != (wide, high):
        scale = max(high / image.height, wide / image.width)
        part_h, part_w = high / scale, wide / scale
        left, top = (image.width - part_w) / 2, (image.height - part_h) / 2
        image = image.resize(
            (wide, high),
            Image.Resampling.BILINEAR,
            (left, top, left + part_w, top + part_h),
            reducing_gap=3.0,
        )
    return np.asarray(image).reshape(high, wide, channels)


def fitted(images: np.ndarray, wanted: Wanted) -> np.ndarray:
    """An array of images (N, H, W, C) at the size and with the channels that the task has."""
    from PIL import Image

    size = (wanted.size, wanted.size) if wanted.size else images.shape[1:3]
    channels = wanted.channels or images.shape[3]
    if images.shape[1:] == (*size, channels):
        return images
    result = np.empty((len(images), *size, channels), np.uint8)
    for place, image in zip(result, images, strict=True):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        place[...] = pixels(picture, (size[0], size[1]), channels)
    return result
