"""NLVR2's own layout in a folder, small: JSON lines and images of several kinds."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SENTENCES = ("There is a dog in one of the images.", "The left image shows exactly two cats.")
SKILLS = """There is a dog in one of the images.
* existential quantifiers
* hard cardinality

The left image shows exactly two cats.
* hard cardinality
"""


def example(split: str, image_set: int, pair: int, sentence: int, **changed: Any) -> dict[str, Any]:
    """One line, with the keys that the real files have."""
    fields = {
        "validation": {"77": "True"},
        "sentence": SENTENCES[sentence],
        "left_url": "https://x.example/a.jpg",
        "writer": "103",
        "label": str((image_set + pair + sentence) % 2 == 0),
        "right_url": "https://x.example/b",
        "synset": "dog",
        "query": "two dogs2",
        "identifier": f"{split}-{image_set}-{pair}-{sentence}",
    }
    if split == "train":
        fields["directory"] = image_set % 100
    else:
        fields["extra_validations"] = {"56": "True"}
    return {**fields, **changed}


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def picture(
    seed: int, kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (9, 7)
) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(data, kind)
    return data.getvalue()


def write_folder(
    folder: Path, sets: dict[str, int], flat: bool = False, top: str = "images"
) -> dict[str, list[dict[str, Any]]]:
    """Files and images of so many sets for each of "train", "dev", "test1"; what the lines are."""
    written = {}
    for split, count in sets.items():
        lines = [
            example(split, k, pair, sentence)
            for k in range(count)
            for pair in range(2)
            for sentence in range(2)
        ]
        write_lines(folder / f"{split}.json", lines)
        written[split] = lines
        for line in lines:
            name = line["identifier"].rpartition("-")[0]
            for side in range(2):
                place = folder if flat else folder / top / split
                if split == "train" and not flat:
                    place = place / str(line["directory"])
                place.mkdir(parents=True, exist_ok=True)
                # Not all files that are called png are.
                seed = sum(map(ord, name)) + side
                kind, mode = [
                    ("PNG", "RGB"),
                    ("JPEG", "RGB"),
                    ("PNG", "L"),
                    ("PNG", "RGBA"),
                    ("GIF", "P"),
                ][seed % 5]
                (place / f"{name}-img{side}.png").write_bytes(picture(seed, kind, mode))
    return written
