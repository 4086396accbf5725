"""Examples of NLVR2's own files: JSON lines, annotated skills, splits that share no image set."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nacgraph.tasks.data_report import DataError, DataReport, text_lines

FILES = ("train", "dev", "test1", "test2")
FOLDERS = ("", "data", "annotations")
SKILL_FILE = "annotated_dev_examples.txt"
LABELS = ("False", "True")
SHARE = 0.1  # share of the groups that are held back where there is no file for it
_IDENTIFIER = re.compile(r"[a-z0-9]+-\d+-\d+-\d+")


@dataclass(frozen=True)
class Example:
    """A sentence and the names of its two images.

    Attributes:
        identifier: "split-set-pair-sentence", as ``dev-850-0-1``.
        sentence: English.
        label: 1 where it is true.
        directory: The bucket of a training example; None elsewhere.
        where: File and line, for messages.
        skills: Phenomena that it was annotated with; None where it was not.
    """

    identifier: str
    sentence: str
    label: int
    directory: int | None = None
    where: str = ""
    skills: tuple[str, ...] | None = None

    @property
    def images(self) -> tuple[str, str]:
        """Names of the left and the right image, without a suffix."""
        pair = self.identifier.rpartition("-")[0]
        return f"{pair}-img0", f"{pair}-img1"

    @property
    def image_set(self) -> str:
        """The set of eight images that its pair is of: ``dev-850``."""
        return "-".join(self.identifier.split("-")[:2])


def example_files(folder: Path) -> dict[str, Path]:
    """ "train" … "test2" → its JSON file, as far as they are there."""
    found = {}
    for name in FILES:
        for place in FOLDERS:
            for suffix in (".json", ".jsonl"):
                path = folder / place / (name + suffix)
                if name not in found and path.is_file():
                    found[name] = path
    return found


def read_examples(path: Path, found: DataReport) -> list[Example]:
    """The examples of one file; damaged lines are reported.

    Raises:
        DataError: If the file is none of text.
    """
    found.read(path)
    try:
        # Only line breaks end a line: sentences may hold U+2028 and others.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected JSON lines in UTF-8, got other bytes ({error})"
        ) from error
    if lines and lines[0].lstrip().startswith("<"):
        raise DataError(f"{path}: expected JSON lines, got a page of HTML or XML")
    examples, seen = [], set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            example = _example(json.loads(line), where)
            if example.identifier in seen:
                raise ValueError(f"expected every identifier once, got {example.identifier} again")
        except ValueError as error:  # JSONDecodeError is one
            kind = "expected a JSON object a line, got " if type(error) is not ValueError else ""
            found.damaged(where, f"{kind}{error}")
            continue
        seen.add(example.identifier)
        examples.append(example)
    return examples


def _example(fields: object, where: str) -> Example:
    if not isinstance(fields, dict):
        raise ValueError(f"expected a JSON object, got {type(fields).__name__}")
    if missing := [key for key in ("identifier", "label", "sentence") if key not in fields]:
        raise ValueError(f"expected the key {missing[0]}, got {', '.join(fields) or 'none'}")
    return checked(
        fields["identifier"], fields["sentence"], fields["label"], fields.get("directory"), where
    )


def checked(
    identifier: object, sentence: object, label: object, directory: object, where: str
) -> Example:
    """An example of these values.

    Raises:
        ValueError: If a value is malformed.
    """
    if not isinstance(identifier, str) or not _IDENTIFIER.fullmatch(identifier):
        raise ValueError(f"identifier: expected split-set-pair-sentence, got {identifier!r}")
    if not isinstance(sentence, str) or not sentence.strip():
        raise ValueError(f"sentence: expected words, got {sentence!r}")
    if label not in LABELS or not isinstance(label, str):
        raise ValueError(f'label: expected the text "True" or "False", got {label!r}')
    if directory is not None and (isinstance(directory, bool) or not isinstance(directory, int)):
        raise ValueError(f"directory: expected a whole number, got {directory!r}")
    return Example(identifier, sentence.strip(), LABELS.index(label), directory, where)


def read_skills(folder: Path, found: DataReport) -> dict[str, tuple[str, ...]]:
    """Sentence → its phenomena, from NLVR2's ``annotated_dev_examples.txt`` if it is there.

    A line with a sentence is followed by lines of the form ``* hard cardinality``.
    """
    path = next(
        (p for part in ("util", *FOLDERS) if (p := folder / part / SKILL_FILE).is_file()), None
    )
    if path is None:
        return {}
    skills: dict[str, tuple[str, ...]] = {}
    sentence = None
    for number, line in enumerate(text_lines(found.read(path).read_bytes()), 1):
        text = line.strip()
        if text.startswith("*"):
            if sentence is None:
                found.damaged(f"{path}, line {number}", f"expected a sentence first, got {text!r}")
                continue
            skills[sentence] = (*skills[sentence], text.lstrip("* ").lower())
        elif text:
            sentence = text
            skills.setdefault(sentence, ())
    return skills


@dataclass
class Splits:
    """Examples by split, and a description of how they were made."""

    parts: dict[str, list[Example]] = field(default_factory=dict)
    how: str = ""


def divide(files: Mapping[str, Sequence[Example]], seed: int, carve: bool = True) -> Splits:
    """Splits of what each file holds.

    ========================  =======  ==========  =========
    files                     train    val         test
    ========================  =======  ==========  =========
    train, dev, test1         train    dev         test1
    train, dev                nine tenths, a tenth of train's directories, dev
    train, test1              nine tenths, a tenth of train's directories, test1
    train                     eight tenths, a tenth, a tenth of train's directories
    ========================  =======  ==========  =========

    test2 stands in for test1. Without train, dev is val. A directory holds whole sets of images,
    so that no image is on both sides; without directories the sets are what is divided.

    Args:
        files: "train", "dev", "test1", "test2" → examples.
        seed: Decides which directories are held back.
        carve: False leaves the training file whole.

    Raises:
        ValueError: If there are too few sets of images to hold one back.
    """
    parts = {name: list(examples) for name, examples in files.items() if examples}
    test: str | None = next((name for name in ("test1", "test2") if name in parts), None)
    if test is None and "train" in parts and "dev" in parts:
        test = "dev"
    result = Splits()
    if "train" in parts:
        result.parts["train"] = parts["train"]
    if "dev" in parts and test != "dev":
        result.parts["val"] = parts["dev"]
    if test is not None:
        result.parts["test"] = parts[test]
    said = [
        f"{ours} is {name}"
        for ours, name in (("val", "dev"), ("test", test))
        if name in parts and ours in result.parts and name != ours
    ]
    for key, name in enumerate(("test", "val")):
        if carve and "train" in parts and name not in result.parts:
            rest, part, unit = _held_back(result.parts["train"], (seed, key))
            result.parts["train"], result.parts[name] = rest, part
            said.append(f"{name} is a tenth of train's {unit}")
    result.how = ", ".join(said)
    return result


def _held_back(
    examples: list[Example], seed: tuple[int, ...]
) -> tuple[list[Example], list[Example], str]:
    unit = "directories"
    groups = [str(e.directory) for e in examples]
    if any(e.directory is None for e in examples) or len(set(groups)) < 3:
        unit, groups = "image sets", [e.image_set for e in examples]
    names = sorted(set(groups))
    if len(names) < 2:
        raise ValueError(f"data: expected at least 2 {unit} to hold one back, got {len(names)}")
    count = max(1, round(SHARE * len(names)))
    chosen = {names[k] for k in np.random.default_rng(seed).permutation(len(names))[:count]}
    rest = [e for e, group in zip(examples, groups, strict=True) if group not in chosen]
    part = [e for e, group in zip(examples, groups, strict=True) if group in chosen]
    return rest, part, unit
