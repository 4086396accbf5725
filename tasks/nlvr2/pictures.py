"""NLVR2's image files as arrays of one size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nacgraph.tasks.cache import cached, default_cache_dir
from nacgraph.tasks.data_report import DataReport
from nacgraph.tasks.nlvr2.examples import Example
from nacgraph.tasks.pictures import read_picture
from nacgraph.utils.progress_line import telling

KEPT_FROM = 2000  # images from which decoding takes longer than reading a file of the result


def find_images(
    examples: Sequence[Example], bases: Sequence[Path], found: DataReport
) -> dict[str, Path]:
    """Image name → its file. Those that are missing are reported once each.

    A file may lie in ``images/SPLIT/DIRECTORY/``, ``images/SPLIT/``, ``images/``,
    ``SPLIT/DIRECTORY/``, ``SPLIT/`` or beside the JSON file.
    """
    paths: dict[str, Path] = {}
    missing: set[str] = set()
    for example in examples:
        for name in example.images:
            if name in paths or name in missing:
                continue
            path = next((p for p in _places(example, name, bases) if p.is_file()), None)
            if path is None:
                missing.add(name)
                found.damaged(
                    example.where,
                    f"expected its image {name}.png in {bases[0]} or images/, "
                    f"{example.identifier.partition('-')[0]}/ there, got none",
                )
            else:
                paths[name] = found.read(path)
    return paths


def _places(example: Example, name: str, bases: Sequence[Path]) -> Iterator[Path]:
    split = example.identifier.partition("-")[0]
    for base in bases:
        for root in (base / "images", base):
            if example.directory is not None:
                yield root / split / str(example.directory) / f"{name}.png"
            yield root / split / f"{name}.png"
            yield root / f"{name}.png"


def open_image(path: Path, size: int | None = None, bits: int = 0) -> Any:
    """The picture as RGB by Pillow, whatever its suffix says; squeezed to ``size`` a side.

    Raises:
        ValueError: If it is none, or cut short.
    """
    from PIL.Image import Resampling

    side = (size, size) if size is not None else (1 << 16, 1 << 16)  # no smaller than it is
    rgb = read_picture(path, ("RGB", side), bits).convert("RGB")
    return rgb if size is None else rgb.resize((size, size), Resampling.BILINEAR)


def read_images(
    paths: Mapping[str, Path], size: int, found: DataReport, cache_dir: Path | None, bits: int = 0
) -> dict[str, np.ndarray]:
    """Image name → (3, size, size) uint8. Those that are damaged are reported and left out."""
    names = sorted(paths)

    def make() -> dict[str, np.ndarray]:
        images = np.zeros((len(names), 3, size, size), np.uint8)
        whole = np.ones(len(names), bool)
        with telling("reading images", len(names), "files", KEPT_FROM, 500) as one_more:
            for k, name in enumerate(names):
                try:
                    images[k] = np.asarray(open_image(paths[name], size, bits)).transpose(2, 0, 1)
                except (OSError, ValueError) as error:
                    found.damaged(paths[name], str(error))
                    whole[k] = False
                one_more()
        return {"images": images, "whole": whole}

    # A search for damage has to open every file.
    if len(names) < KEPT_FROM or found.collect:
        arrays = make()
    else:
        settings = {
            "kind": "nlvr2",
            "format": 2,
            "size": size,
            "bits": bits,
            "files": _fingerprint(paths),
        }
        code = hashlib.sha256(repr(settings).encode()).hexdigest()[:16]
        folder = default_cache_dir() if cache_dir is None else cache_dir
        arrays = cached(folder / f"nlvr2-{size}-{code}.npz", settings, make)
    return {
        name: image
        for name, image, whole in zip(names, arrays["images"], arrays["whole"], strict=True)
        if whole
    }


def _fingerprint(paths: Mapping[str, Path]) -> str:
    """Changes when a file is replaced, without reading any of them."""
    total = hashlib.sha256()
    for name in sorted(paths):
        state = paths[name].stat()
        total.update(f"{name} {state.st_size} {state.st_mtime_ns}\n".encode())
    return total.hexdigest()
