"""Image files of any format and size: listed, looked at, decoded to one array, kept."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nacgraph.tasks.cache import cached, default_cache_dir
from nacgraph.tasks.data_report import DataReport
from nacgraph.tasks.splits import Data, Table
from nacgraph.utils.progress_line import telling

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
SIDE = 64  # of images that differ in size, unless ``size`` says otherwise
GREY = ("1", "L", "LA", "I", "F", "I;16", "I;16B")  # Pillow's modes without colour
FORMAT = 1  # of what is kept; one more when decoding changes
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
    ``channels`` (0: as they are, colour where any has it), and where decoded ones are kept."""

    size: int = 0
    channels: int = 0
    cache_dir: Path | None = None


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
                    fine[split][k] = _into(images[k], paths[k], found)
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
                image = _opened(path, found)
                if image is not None:
                    with image:
                        sizes.add((image.height, image.width))
                        colour |= image.mode not in GREY
                    fine[split][k] = True
                one_more()
    if wanted.size:
        size = (wanted.size, wanted.size)
    else:
        size = sizes.pop() if len(sizes) == 1 else (SIDE, SIDE)
    return size, wanted.channels or (3 if colour else 1), fine


def _opened(path: Path, found: DataReport) -> Image | None:
    """The file as a picture whose header is read, or None after the damage was reported."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(path)
    except UnidentifiedImageError:
        found.damaged(path, f"expected an image, got {_what(path)}")
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        found.damaged(path, "expected an image of at most 90 million pixels, got more")
    except (OSError, ValueError, SyntaxError) as error:
        found.damaged(path, f"expected an image, got one that cannot be read ({error})")
    return None


def _what(path: Path) -> str:
    """What a file that is no image looks like."""
    head = path.read_bytes()[:512].lstrip()
    if not head:
        return "an empty file"
    if head[:1] == b"<":
        return "a web page (HTML or XML)"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer"
    return "bytes of no format that Pillow knows"


def _into(place: np.ndarray, path: Path, found: DataReport) -> bool:
    """Decode a file into ``place`` (H, W, C); False after its damage was reported."""
    high, wide, channels = place.shape
    image = _opened(path, found)
    if image is None:
        return False
    try:
        with image:
            # JPEG can be decoded at an eighth, a quarter or half of its size: much faster.
            image.draft(None, (2 * wide, 2 * high))
            place[...] = pixels(image, (high, wide), channels)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        found.damaged(
            path, f"expected a whole image, got one that ends early or is broken ({error})"
        )
        return False
    return True


def pixels(image: Image, size: tuple[int, int], channels: int) -> np.ndarray:
    """A picture as uint8 (H, W, C): its shorter side scaled, its middle cut out."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits of grey; Pillow would cut them off at 255
        deep = np.asarray(image).astype(np.int64)
        image = Image.fromarray((deep.clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        clear = image.convert("RGBA")
        ground = Image.new("RGBA", clear.size, (255, 255, 255, 255))
        image = Image.alpha_composite(ground, clear)
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
