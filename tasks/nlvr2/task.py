"""The NLVR2 task: which tokens go to the generator and which to the executor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from nacgraph.tasks.base import Batch, register_task
from nacgraph.tasks.data_report import DataReport
from nacgraph.tasks.nlvr2.generated import generated
from nacgraph.tasks.nlvr2.layouts import read_layout
from nacgraph.tasks.nlvr2.scenes import SIZE, World
from nacgraph.tasks.nlvr2.sentences import SKILLS
from nacgraph.tasks.nlvr2.tokenizers import MOST_WORDS, ImagePairTokenizer, SentenceTokenizer
from nacgraph.tasks.nlvr2.words import HASHES, encode, split_words
from nacgraph.tasks.pictures import check_bits
from nacgraph.tasks.samples import picture, wrong_sample
from nacgraph.tasks.splits import Data, Table, words
from nacgraph.tasks.table import TableTask
from nacgraph.utils.check import check_choice, check_whole

CONDITIONS = ("task", "none", "inputs")


_SIZES: dict[str, Any] = {
    "modules": 16, "width": 64, "code_dim": 64, "signature_dim": 32, "readouts": 4, "head_dim": 16,
    "read_head_dim": 32, "rounds": 2, "ffn_factor": 2, "stem_layers": 1, "window": 5,
    "batch_size": 64, "learning_rate": 4e-4, "warmup": 50, "prior": "none",
    "threads": 1,
    "task_set": {"colours": 2, "shapes": 2, "objects": 4},
}  # fmt: skip


@register_task("nlvr2")
class NLVR2(TableTask):
    """Is a sentence true of a pair of images?

    With ``condition="task"`` the generator is given the words and makes a circuit of them, which
    reads the two images. With "none" or "inputs" words and images are one set of tokens, so that
    a circuit which all samples share can be compared.

    Reads NLVR2's JSON lines with image files, or ``features.npz`` with frozen features. Without
    data it generates scenes and sentences of four skills, in sets of two pairs of images and two
    sentences: each sentence is true of one pair and false of the other, each pair has one true
    and one false sentence, so that neither modality alone says anything. A tenth of the
    sentences never train; they are tagged ``known: new``.

    Args:
        condition: The run's: task, none or inputs.
        train_size, val_size, test_size: Generated samples, rounded up to whole sets of four.
        colours, shapes, objects: Generated scenes: how many colours (2 to 4) and shapes (2 to 4)
            there are, and most objects in an image (4 to 9).
        skills: Generated sentences: some of hard cardinality, soft cardinality, existential,
            spatial.
        image_size: Pixels a side to which image files are brought.
        patch: Pixels a side of an image's token, an even divisor of that.
        buckets: Rows of the table of words.
        stem_layers, window: Local blocks over the words, and how many words each sees (odd).
        bits: How many of 16 bits of grey are used in image files, as for the images task.
        shared: What every `TableTask` takes.

    Raises:
        ValueError: If an argument is out of range.
        FileNotFoundError: If ``data``, or a file that belongs to it, is not there.
        DataError: If something in it is damaged.

    Source: A Corpus for Reasoning about Natural Language Grounded in Photographs (ACL 2019);
    Neural Attentive Circuits (NeurIPS 2022), conditional circuits.
    """

    layouts: ClassVar[Sequence[str]] = (
        "NLVR2: {train,dev,test1}.json (JSON lines) and images, in folders as released or in one",
        "features.npz, frozen features of the images: see `nacgraph data clip-features`",
    )
    embedded: ClassVar[str | None] = "generated scenes and sentences of four skills"
    conditional: ClassVar[bool] = True
    # Neither modality alone says anything, so that training begins on a plateau. At this rate most
    # runs leave it after some hundred steps; at 1e-3 few had by 1,500. Larger circuits were not
    # tried long enough to tell.
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {**_SIZES, "steps": 700, "train_size": 20_000, "val_size": 1_000},
        "small": {**_SIZES, "steps": 1_500, "train_size": 40_000, "validate_every": 250},
        "lra": {"train_size": 96_000, "stem_layers": 2, "window": 9},
    }

    def __init__(
        self,
        condition: str = "task",
        train_size: int = 20_000,
        val_size: int = 2_000,
        test_size: int = 2_000,
        colours: int = 3,
        shapes: int = 3,
        objects: int = 5,
        skills: str | Sequence[str] = SKILLS,
        image_size: int = 64,
        patch: int = 8,
        buckets: int = 1024,
        stem_layers: int = 1,
        window: int = 5,
        bits: int = 0,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        check_choice(CONDITIONS, condition=condition)
        check_whole(0, stem_layers=stem_layers)
        check_whole(1, train_size=train_size, val_size=val_size, test_size=test_size, window=window)
        check_whole(2, image_size=image_size, patch=patch, buckets=buckets)
        if window % 2 == 0:
            raise ValueError(f"window: expected an odd number, got {window}")
        self.condition, self.sizes = condition, (train_size, val_size, test_size)
        check_bits(bits)
        self.bits = bits
        self.world = World(colours, shapes, objects, words(skills))
        self.patch, self.buckets = patch, buckets
        self.stem_layers, self.window = stem_layers, window
        self.image_size = SIZE if self.data is None else image_size
        if patch % 2:
            raise ValueError(f"patch: expected an even number, got {patch}")
        if self.image_size % patch:
            raise ValueError(
                f"image_size: expected a multiple of patch = {patch}, got {self.image_size}"
            )

    # Data

    def read(self, path: Path | None, found: DataReport) -> Data:
        if path is None:
            data = generated(self.world, self.sizes, self.data_seed)
        else:
            data = read_layout(
                path,
                self.image_size,
                self.data_seed,
                not self.whole_is_test,
                self.cache_dir,
                found,
                self.bits,
            )
        return replace(data, splits={k: self._worded(table) for k, table in data.splits.items()})

    def _worded(self, table: Table) -> Table:
        """The table with ids (words, 2) of its sentences, unless it has features of them."""
        if "words" in table.columns:
            return table
        ids = encode(table.columns["sentence"], self.buckets)
        return replace(table, columns={**table.columns, "words": ids})

    def collate(self, table: Table, index: np.ndarray, rng: np.random.Generator | None) -> Batch:
        left, right, said = (table.columns[name] for name in ("left", "right", "words"))
        images = torch.from_numpy(np.stack([(left[k], right[k]) for k in index]))
        inputs = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        counts = np.array([len(said[k]) for k in index])
        condition = np.zeros(
            (len(index), counts.max(), *said[index[0]].shape[1:]), said[index[0]].dtype
        )
        for row, k in enumerate(index):
            condition[row, : counts[row]] = said[k]
        sentences = torch.from_numpy(condition)
        return Batch(
            inputs=inputs,
            mask=torch.ones(len(index), 1, dtype=torch.bool),
            labels=torch.from_numpy(table.labels[index]),
            index=torch.from_numpy(np.asarray(index, np.int64)),
            condition=sentences.float() if sentences.is_floating_point() else sentences,
            condition_mask=torch.from_numpy(np.arange(counts.max()) < counts[:, None]),
        )

    def encode(self, samples: Sequence[Any], first: int = 0) -> Batch:
        """Triples (image, image, sentence); images as for the images task, squeezed to size.

        Raises:
            ValueError: Naming the sample that is none; or if the run was trained on frozen
                features, which a raw image does not have.
        """
        from PIL.Image import Resampling

        features, width = self._shapes()
        if features or width:
            raise ValueError("samples: expected a run on images, got one on frozen features")
        size = self.image_size
        columns: dict[str, list[Any]] = {"left": [], "right": [], "words": []}
        for number, sample in enumerate(samples, first):
            if not isinstance(sample, (tuple, list)) or len(sample) != 3:
                raise wrong_sample(number, "(image, image, sentence)", type(sample).__name__)
            *images, sentence = sample
            if not isinstance(sentence, str) or not split_words(sentence):
                raise wrong_sample(number, "a sentence of at least one word", repr(sentence)[:40])
            for side, image in zip(("left", "right"), images, strict=True):
                rgb = picture(image, number, ("RGB", (size, size)), self.bits).convert("RGB")
                rgb = rgb.resize((size, size), Resampling.BILINEAR)
                columns[side].append(np.asarray(rgb).transpose(2, 0, 1))
            columns["words"] += encode([sentence], self.buckets)
        return self.as_batch(columns, len(columns["words"]), first)

    def baselines(self, split: str) -> dict[str, float]:
        """Also what a table of sentences knows: the commoner answer of each in training."""
        result = super().baselines(split)
        if "train" in self.load().splits:
            train, asked = self.table("train"), self.table(split)
            votes: dict[str, int] = {}
            for text, label in zip(train.columns["sentence"], train.labels, strict=True):
                votes[text] = votes.get(text, 0) + (1 if label else -1)
            guess = np.array([votes.get(t, 0) > 0 for t in asked.columns["sentence"]])
            result["sentence_only_accuracy"] = float((guess == (asked.labels == 1)).mean())
        return result

    # Sizes

    def data_signature(self) -> dict[str, Any]:
        """Shapes of images and words, which the tokenizers follow."""
        features, width = self._shapes()
        return {"image_size": self.image_size, "features": features, "word_features": width}

    def match_sizes(self, signature: Mapping[str, Any]) -> None:
        """Bring images to the run's size; frozen features have to have the run's shape."""
        if not signature:
            return
        if signature.get("features") is None and self.data is not None:
            self.image_size, self._data = signature["image_size"], None
        features, width = self._shapes()
        for name, got, plain in (
            ("features", features, "images"),
            ("word_features", width, "text"),
        ):
            if got != (wanted := signature.get(name)):
                raise ValueError(
                    f"data: expected {name} {wanted or plain} as in the run, got {got or plain}"
                )

    def _shapes(self) -> tuple[list[int] | None, int]:
        """(tokens, width) of an image's features, or None; width of a word's features, or 0."""
        if self.data is None:
            return None, 0
        table = next(iter(self.load().splits.values()))
        image, said = table.columns["left"][0], table.columns["words"][0]
        features = list(image.shape) if image.ndim == 2 else None
        return features, said.shape[1] if said.dtype.kind == "f" else 0

    # Tokens

    def tokenizer(self, dim: int, seed: int = 0) -> ImagePairTokenizer:
        """Tokens of both images, and of the sentence unless the generator gets that."""
        features, width = self._shapes()
        return ImagePairTokenizer(
            dim,
            0 if features else self.image_size,
            self.patch,
            features,
            self.condition != "task",
            self.buckets,
            width,
            self.stem_layers,
            self.window,
            seed,
        )

    def max_tokens(self, tokenizer: nn.Module) -> int | None:
        """Tokens of both images, and as many words as have positions of their own."""
        if not isinstance(tokenizer, ImagePairTokenizer):
            return None
        return 2 * len(tokenizer.positions) + (MOST_WORDS if tokenizer.sentence else 0)

    def conditioner(self, dim: int, seed: int = 0) -> SentenceTokenizer:
        """Tokens of the sentence."""
        width = self._shapes()[1]
        return SentenceTokenizer(dim, self.buckets, width, self.stem_layers, self.window, seed + 1)

    def token_kinds(self, batch: Batch) -> Tensor | None:
        """None: patches of an image are of no kind."""
        return None

    def dummy_batch(self, count: int, length: int, generator: torch.Generator) -> Batch:
        """Noise of the images' shape, and as many words as the longest sentence has."""
        features, width = self._shapes()
        shape = tuple(features) if features else (3, self.image_size, self.image_size)
        longest = 14 if self.data is None else max(map(len, self.table("train").columns["words"]))
        said = (
            torch.randn(count, longest, width, generator=generator)
            if width
            else torch.randint(1, self.buckets + 1, (count, longest, HASHES), generator=generator)
        )
        return Batch(
            torch.rand(count, 2, *shape, generator=generator),
            torch.ones(count, 1, dtype=torch.bool),
            torch.zeros(count, dtype=torch.long),
            torch.arange(count),
            said,
            torch.ones(count, longest, dtype=torch.bool),
        )

    def data_bytes(self) -> int:
        """Pictures, each held once; generated ones are half as many as the samples."""
        if self.data is None:
            return sum(self.sizes) * 3 * SIZE**2
        held = {
            id(image): image.nbytes
            for table in self.load().splits.values()
            for side in ("left", "right")
            for image in table.columns[side]
        }
        return sum(held.values())
