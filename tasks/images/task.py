"""The images task: any labelled images, tokens by a small convolutional stem."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from nacgraph.tasks.base import Batch, register_task
from nacgraph.tasks.data_report import DataReport
from nacgraph.tasks.images.augment import Augmentation, augmented, mixed
from nacgraph.tasks.images.listing import Wanted, pixels
from nacgraph.tasks.images.reading import LAYOUTS, read_images
from nacgraph.tasks.images.renditions import check, render
from nacgraph.tasks.images.stem import ImageTokenizer
from nacgraph.tasks.pictures import check_bits
from nacgraph.tasks.samples import picture
from nacgraph.tasks.splits import Data, Table
from nacgraph.tasks.table import TableTask
from nacgraph.utils.check import check_at_least


@register_task("images")
class Images(TableTask):
    """Labelled images of one size, read from the usual layouts; without data, 8 × 8 digits.

    Args:
        stem_layers: Blocks of each stage of the stem.
        stem_width: Channels of its first stage.
        size: Side to which images are brought: shorter side scaled, middle cut out; 0 keeps
            their own size if all have the same, else brings them to 64.
        channels: 1 or 3; 0 keeps what is there, RGB where any image has colour.
        flip: Mirror half of the training images; None: unless they are digits.
        crop: Pixels by which training images are shifted at most; None: a fourteenth of the side.
        mixup: Parameter of the Beta distribution by which training images are mixed; 0: none.
        cutmix: The same for pasted boxes; 0: none.
        erase: Probability that a rectangle of a training image is overwritten.
        randaugment: Random operations on each training image; 0: none.
        magnitude: Strength of these, up to 10.
        smoothing: Share of training targets that is spread over all classes.
        bits: How many of 16 bits of grey are used, 8 to 16; 0: all, and images of which that is
            not clear, since none is brighter than a quarter, are refused.
        shared: What every `TableTask` takes.

    Raises:
        FileNotFoundError: If ``data``, or a file that belongs to it, is not there.
        DataError: If something in it is damaged.
        ValueError: If an argument is out of range, or no layout fits.
    """

    layouts: ClassVar[Sequence[str]] = LAYOUTS
    embedded: ClassVar[str | None] = "scikit-learn's handwritten digits, 8 x 8 (real)"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Such a short run sees each image once or twice: augmentation would only slow it down.
        "tiny": {
            "steps": 500,
            "learning_rate": 2e-3,
            "read_every": 0,
            "validate_every": 100,
            "task_set": {"crop": 0, "flip": False},
        },
        "small": {
            "steps": 2200,
            "learning_rate": 3e-3,
            "rounds": 2,
            "read_every": 0,
            "ffn_factor": 2,
            "stem_layers": 1,
            "validate_every": 550,
            "validate_samples": 500,
            "checkpoint_every": 550,
            "threads": 1,
            "task_set": {"crop": 0, "flip": False},
        },
        "lra": {"stem_layers": 2},
    }

    def __init__(
        self,
        stem_layers: int = 1,
        stem_width: int = 32,
        size: int = 0,
        channels: int = 0,
        flip: bool | None = None,
        crop: int | None = None,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        erase: float = 0.0,
        randaugment: int = 0,
        magnitude: float = 6.0,
        smoothing: float = 0.0,
        bits: int = 0,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        check_at_least(0, stem_layers=stem_layers)
        check_at_least(1, stem_width=stem_width)
        if size < 0 or 0 < size < 4:
            raise ValueError(f"size: expected 0 or at least 4 pixels, got {size}")
        if channels not in (0, 1, 3):
            raise ValueError(f"channels: expected 0, 1 or 3, got {channels}")
        check_bits(bits)
        self.size, self.channels, self.bits = size, channels, bits
        self.stem_layers, self.stem_width = stem_layers, stem_width
        self._flip, self._crop = flip, crop
        self._how = Augmentation(
            randaugment, magnitude, crop or 0, bool(flip), erase, mixup, cutmix, smoothing
        )
        self._style: tuple[str, int, int] | None = None

    def read(self, path: Path | None, found: DataReport) -> Data:
        wanted = Wanted(self.size, self.channels, self.cache_dir, self.bits)
        return read_images(path, wanted, found, str(self.data or ""))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        table = next(iter(self.load().splits.values()))
        high, wide, channels = table.columns["images"].shape[1:]
        return high, wide, channels

    @property
    def augmentation(self) -> Augmentation:
        """What is done to training images; what was left open follows from the data."""
        flip, crop = self._flip, self._crop
        if flip is None:  # a mirrored 2 is no digit
            flip = not set(self.classes) <= set("0123456789")
        if crop is None:
            crop = round(min(self.shape[:2]) / 14)
        return Augmentation(**{**vars(self._how), "flip": flip, "crop": crop})

    def collate(self, table: Table, index: np.ndarray, rng: np.random.Generator | None) -> Batch:
        images, labels = table.columns["images"][index], table.labels[index]
        targets = None
        if rng is not None:
            how = self.augmentation
            images = augmented(images, how, rng)
            floats, targets = mixed(_unit(images), labels, self.num_classes, how, rng)
        else:
            if self._style is not None:
                name, strength, seed = self._style
                images = render(images, name, strength, index, seed)
            floats = _unit(images)
        return Batch(
            torch.from_numpy(floats).permute(0, 3, 1, 2),
            torch.ones(len(index), 1, dtype=torch.bool),
            torch.from_numpy(labels),
            torch.from_numpy(np.asarray(index, np.int64)),
            targets=None if targets is None else torch.from_numpy(targets),
        )

    def encode(self, samples: Sequence[Any], first: int = 0) -> Batch:
        """Files, Pillow images, or arrays (H, W) or (H, W, C) of uint8 or of floats in [0, 1].

        They are brought to the size and channels of the run as image files are.
        """
        high, wide, channels = self.shape
        side = 2 * max(high, wide)
        images = np.zeros((len(samples), high, wide, channels), np.uint8)
        for row, sample in enumerate(samples):
            image = picture(sample, first + row, (None, (side, side)), self.bits)
            images[row] = pixels(image, (high, wide), channels)
        return self.as_batch({"images": images}, len(samples), first)

    def rendered(self, name: str, strength: int, seed: int = 0) -> Images:
        """This task with the same data, whose batches to evaluate on are a rendition of it.

        Raises:
            ValueError: If there is no such rendition or strength.
        """
        check(name, strength)
        self.load()  # once for all copies
        task = copy.copy(self)
        task._style = (name, strength, seed)
        return task

    def data_signature(self) -> dict[str, Any]:
        """What fixes the sizes of a trained tokenizer, as JSON values, for :meth:`match_sizes`."""
        high, wide, channels = self.shape
        return {"height": high, "width": wide, "channels": channels}

    def match_sizes(self, signature: Mapping[str, Any]) -> None:
        """Bring images, of other data too, to the size and channels that a run was trained on.

        Raises:
            ValueError: If these are not square and the data has others.
        """
        if not signature:
            return
        high, wide, channels = (int(signature[name]) for name in ("height", "width", "channels"))
        if (high, wide, channels) == self.shape:
            return
        if high != wide:
            raise ValueError(
                f"data: expected images of {high} × {wide} pixels, as in the run, got "
                f"{self.shape[0]} × {self.shape[1]}"
            )
        self.size, self.channels, self._data = high, channels, None

    def tokenizer(self, dim: int, seed: int = 0) -> nn.Module:
        high, wide, channels = self.shape
        return ImageTokenizer(
            high, wide, channels, dim, self.stem_layers, self.stem_width, seed=seed
        )

    def max_tokens(self, tokenizer: nn.Module) -> int | None:
        """One token per place of the last map."""
        return getattr(tokenizer, "places", None)

    def dummy_batch(self, count: int, length: int, generator: torch.Generator) -> Batch:
        """Noise of the data's size; ``length`` does not matter."""
        if self._data is None and self.data is not None and self.size:
            high = wide = self.size
            channels = self.channels or 3
        else:
            high, wide, channels = self.shape
        images = torch.rand(count, high, wide, channels, generator=generator)
        real = torch.ones(count, 1, dtype=torch.bool)
        labels = torch.zeros(count, dtype=torch.long)
        return Batch(images.permute(0, 3, 1, 2), real, labels, torch.arange(count))

    def data_bytes(self) -> int:
        """A byte for each pixel and channel."""
        return sum(t.columns["images"].nbytes for t in self.load().splits.values())


def _unit(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / np.float32(255)
