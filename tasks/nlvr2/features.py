"""``features.npz``: frozen features of images, and of sentences, so that no backbone is needed.

::

    features      (M, T, D) float16   T tokens of each of M images
    images        (M,) text           their names: "dev-850-0-img0"
    identifiers   (N,) text           "dev-850-0-1", one for each example
    sentences     (N,) text
    labels        (N,) text           "True" or "False"
    directories   (N,) int            optional: train's buckets, -1 for none
    skills        (N,) text           optional: phenomena, separated by commas
    words         (S, L, E) float16   optional: L tokens of each of S sentences …
    word_counts   (S,) int            … number of real tokens of each
    word_rows     (N,) int            … and which of the S an example has

Plain arrays, read without pickle. Splits are those of the identifiers, as for JSON lines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nacgraph.tasks.data_report import DataError, DataReport, what_came
from nacgraph.tasks.nlvr2.examples import FILES, Example, checked

NAME = "features.npz"
NEEDED = ("features", "images", "identifiers", "sentences", "labels")
OPTIONAL = ("directories", "skills", "words", "word_counts", "word_rows")


@dataclass(frozen=True)
class Features:
    """What a file of features holds.

    Attributes:
        images: Image name → (T, D) float16 or float32.
        examples: Split of the identifiers → examples.
        words: Identifier → (words, E), or empty where sentences are text.
    """

    images: dict[str, np.ndarray]
    examples: dict[str, list[Example]]
    words: dict[str, np.ndarray]


def read_features(path: Path, found: DataReport) -> Features:
    """Read the file; damaged images and examples are reported and left out.

    Raises:
        DataError: If it is no npz, or an array is missing or has another shape.
    """
    arrays = _load(found.read(path), found)
    features, names = arrays["features"], arrays["images"].astype(str)
    whole = np.isfinite(features).all((1, 2)) if len(features) else np.ones(0, bool)
    for row in np.flatnonzero(~whole):
        found.damaged(
            f"{path}, row {row}",
            f"features: expected finite numbers, got NaN or infinity ({names[row]})",
        )
    images = {name: features[row] for row, name in enumerate(names.tolist()) if whole[row]}
    examples: dict[str, list[Example]] = {}
    words: dict[str, np.ndarray] = {}
    known = set(names.tolist())
    for row, identifier in enumerate(arrays["identifiers"].tolist()):
        where = f"{path}, row {row}"
        bucket = int(arrays["directories"][row]) if "directories" in arrays else -1
        try:
            example = checked(
                identifier,
                arrays["sentences"][row].item(),
                arrays["labels"][row].item(),
                bucket if bucket >= 0 else None,
                where,
            )
            split = example.identifier.partition("-")[0]
            if split not in FILES:
                raise ValueError(
                    f"identifier: expected one of {', '.join(FILES)} first, got {split}"
                )
            if lost := [name for name in example.images if name not in known]:
                raise ValueError(f"expected features of its image {lost[0]}, got none")
            if "words" in arrays:
                words[example.identifier] = _words(arrays, int(arrays["word_rows"][row]))
        except ValueError as error:
            found.damaged(where, str(error))
            continue
        if "skills" in arrays:
            said = str(arrays["skills"][row])
            skills = tuple(part.strip() for part in said.split(",") if part.strip())
            example = replace(example, skills=skills or None)
        examples.setdefault(split, []).append(example)
    return Features(images, examples, words)


def _words(arrays: dict[str, np.ndarray], row: int) -> np.ndarray:
    if not 0 <= row < len(arrays["words"]):
        raise ValueError(f"word_rows: expected 0 to {len(arrays['words']) - 1}, got {row}")
    count = int(arrays["word_counts"][row])
    if not 1 <= count <= arrays["words"].shape[1]:
        raise ValueError(f"word_counts: expected 1 to {arrays['words'].shape[1]}, got {count}")
    found = arrays["words"][row, :count]
    if not np.isfinite(found).all():
        raise ValueError("words: expected finite numbers, got NaN or infinity")
    return found


def _load(path: Path, found: DataReport) -> dict[str, np.ndarray]:
    """The arrays, of the right shapes."""
    try:
        opened = np.load(path, allow_pickle=False)
        if isinstance(opened, np.ndarray):
            raise DataError(f"{path}: expected an npz of several arrays, got a single array")
        with opened as file:
            arrays = {name: file[name] for name in file.files if name in (*NEEDED, *OPTIONAL)}
            for name in file.files:
                if name not in (*NEEDED, *OPTIONAL, "sha256"):
                    found.skip(name, f"arrays of {path.name} that are not read")
    except DataError:
        raise
    except Exception as error:  # a broken archive may raise anything
        got = what_came(path, error)
        raise DataError(f"{path}: expected an npz of plain arrays, got {got}") from error

    def wanted(held: bool, text: str, got: object) -> None:
        if not held:
            raise DataError(f"{path}: expected {text}, got {got}")

    for name in NEEDED:
        wanted(name in arrays, f"an array {name}", f"{', '.join(arrays) or 'none'}")
    features = arrays["features"]
    wanted(
        features.ndim == 3 and features.dtype.kind == "f",
        "features of shape (images, tokens, width) in floats",
        f"{features.shape} {features.dtype}",
    )
    wanted(
        arrays["images"].shape == features.shape[:1],
        f"{len(features)} images, one for each row of features",
        arrays["images"].shape,
    )
    count = len(arrays["identifiers"]) if arrays["identifiers"].ndim else 0
    per_example = ("identifiers", "sentences", "labels", "directories", "skills", "word_rows")
    for name in per_example:
        if name in arrays:
            wanted(
                arrays[name].shape == (count,), f"{name} of shape ({count},)", arrays[name].shape
            )
    if "words" in arrays:
        for name in ("word_counts", "word_rows"):
            wanted(name in arrays, f"an array {name} beside words", ", ".join(arrays))
        wanted(
            arrays["words"].ndim == 3,
            "words of shape (sentences, tokens, width)",
            arrays["words"].shape,
        )
        wanted(
            arrays["word_counts"].shape == arrays["words"].shape[:1],
            "a word_counts for each row of words",
            arrays["word_counts"].shape,
        )
    return arrays
