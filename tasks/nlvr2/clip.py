"""``features.npz`` from NLVR2's images by a frozen CLIP that lies on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from nacgraph.tasks.cache import save
from nacgraph.tasks.data_report import DataReport
from nacgraph.tasks.nlvr2.examples import Example, example_files, read_examples, read_skills
from nacgraph.tasks.nlvr2.features import NAME
from nacgraph.tasks.nlvr2.pictures import find_images, open_image
from nacgraph.utils.check import check_at_least


class Backbone(Protocol):
    """What gives features: a CLIP, or a test's stand-in."""

    def images(self, pictures: Sequence[Any]) -> Tensor:
        """Pillow images → (B, T, D)."""

    def sentences(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts → (B, L, E) and how many tokens of each are real (B)."""


class Clip:
    """A CLIP of the package transformers, from a folder with its weights.

    Args:
        model_path: Folder with ``config.json``, ``model.safetensors`` and the processor's files.

    Raises:
        ImportError: If transformers is not installed.
        FileNotFoundError: If there is no such folder. Nothing is downloaded.
    """

    def __init__(self, model_path: str | Path) -> None:
        try:
            from transformers import (  # type: ignore[import-not-found,unused-ignore]
                CLIPModel,
                CLIPProcessor,
            )
        except ImportError as error:
            raise ImportError(
                "clip-features needs the package transformers: pip install transformers"
            ) from error
        folder = Path(model_path)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"model: expected a folder with the weights of a CLIP, got {folder}; nothing is "
                "downloaded"
            )
        # Safetensors only: a pickle could run code.
        self.model = CLIPModel.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True
        ).eval()
        self.processor = CLIPProcessor.from_pretrained(str(folder), local_files_only=True)

    def images(self, pictures: Sequence[Any]) -> Tensor:
        given = self.processor(images=list(pictures), return_tensors="pt")
        return self.model.vision_model(pixel_values=given["pixel_values"]).last_hidden_state

    def sentences(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        given = self.processor(text=list(texts), return_tensors="pt", padding=True, truncation=True)
        mask = given["attention_mask"]
        states = self.model.text_model(input_ids=given["input_ids"], attention_mask=mask)
        return states.last_hidden_state, mask.sum(1)


def clip_features(
    folder: str | Path,
    out: str | Path,
    model_path: str | Path,
    text: bool = False,
    batch_size: int = 32,
    report: Callable[[str], None] = lambda line: None,
    backbone: Backbone | None = None,
) -> Path:
    """Write ``features.npz`` of all examples in ``folder``, at once or not at all.

    Args:
        folder: NLVR2's JSON lines and images.
        out: File to write, or a folder that gets a ``features.npz``.
        model_path: Folder with the weights of a CLIP.
        text: Whether sentences become features too; they stay text in any case.
        batch_size: Images or sentences at once.
        report: Called with a line of text now and then.
        backbone: Used instead of the CLIP in ``model_path``.

    Returns:
        The file.

    Raises:
        ImportError: If transformers is needed and missing.
        FileNotFoundError: If the folder of data or weights is not there.
        DataError: If something in the data is damaged.
        ValueError: If ``folder`` holds no examples, or ``batch_size`` is below 1.
    """
    source, target = Path(folder), Path(out)
    check_at_least(1, batch_size=batch_size)
    if not source.is_dir():
        raise FileNotFoundError(f"data: no folder {source}")
    if target.is_dir() or target.suffix != ".npz":
        target = target / NAME
    made = Clip(model_path) if backbone is None else backbone
    found = DataReport()
    examples: list[Example] = []
    for path in example_files(source).values():
        examples += read_examples(path, found)
    if not examples:
        raise ValueError(f"data: expected train.json, dev.json or test1.json in {source}, got none")
    skills = read_skills(source, found)
    paths = find_images(examples, [source], found)
    names = sorted(paths)

    def load(part: Sequence[str]) -> np.ndarray:
        pictures = []
        for name in part:
            try:
                pictures.append(open_image(paths[name]))
            except (OSError, ValueError) as error:
                found.damaged(paths[name], str(error))
        with torch.inference_mode():
            return _half(made.images(pictures))

    arrays: dict[str, np.ndarray] = {
        "features": np.concatenate(
            [load(part) for part in _parts(names, batch_size, "images", report)]
        ),
        "images": np.array(names),
        "identifiers": np.array([e.identifier for e in examples]),
        "sentences": np.array([e.sentence for e in examples]),
        "labels": np.array([str(bool(e.label)) for e in examples]),
        "directories": np.array([-1 if e.directory is None else e.directory for e in examples]),
        "skills": np.array([", ".join(skills.get(e.sentence, ())) for e in examples]),
    }
    if text:
        arrays |= _sentence_arrays([e.sentence for e in examples], made, batch_size, report)
    save(target, {"format": "nlvr2-features", "version": 1}, arrays)
    return target


def _sentence_arrays(
    sentences: list[str], made: Backbone, batch_size: int, report: Callable[[str], None]
) -> dict[str, np.ndarray]:
    different = sorted(set(sentences))
    parts, counts = [], []
    for texts in _parts(different, batch_size, "sentences", report):
        with torch.inference_mode():
            states, real = made.sentences(texts)
        parts.append(_half(states))
        counts += real.tolist()
    words = np.zeros((len(different), max(counts), parts[0].shape[2]), np.float16)
    start = 0
    for part in parts:
        longest = min(words.shape[1], part.shape[1])
        words[start : start + len(part), :longest] = part[:, :longest]
        start += len(part)
    row = {sentence: k for k, sentence in enumerate(different)}
    return {
        "words": words,
        "word_counts": np.array(counts, np.int64),
        "word_rows": np.array([row[sentence] for sentence in sentences], np.int64),
    }


def _half(features: Tensor) -> np.ndarray:
    return features.float().cpu().numpy().astype(np.float16)


def _parts(
    items: Sequence[str], size: int, what: str, report: Callable[[str], None]
) -> Iterator[Sequence[str]]:
    """Pieces of ``size``, each reported when it is begun."""
    for start in range(0, len(items), size):
        report(f"{what}: {start:,} of {len(items):,}")
        yield items[start : start + size]
