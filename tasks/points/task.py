"""The point cloud task: which shape is this set of points?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from nacgraph.tasks.base import Batch, register_task
from nacgraph.tasks.data_report import DataError, DataReport
from nacgraph.tasks.points import clouds
from nacgraph.tasks.points.layouts import read_layout
from nacgraph.tasks.points.solids import generated
from nacgraph.tasks.points.tokenizer import PointTokenizer
from nacgraph.tasks.samples import wrong_sample
from nacgraph.tasks.splits import Data, Table
from nacgraph.tasks.table import TableTask
from nacgraph.utils.check import check_at_least, check_choice, check_whole

TURNS = ("none", *clouds.AXES)


@register_task("points")
class Points(TableTask):
    """Classify clouds of points, each normalised to the unit sphere; a token for every point.

    As in the paper there is neither augmentation nor any geometric bias unless asked for. Reads
    ModelNet10/40 as OFF meshes or as HDF5, and npz files; without data it generates solids.

    Args:
        count: Points of a cloud that are used: a choice of them, drawn by ``data_seed`` and row.
        resample: Draw another ``count`` of a cloud's points at every training step. This is no
            geometric bias, but it is more data: with False always the same ones are used.
        rotate: While training, turn each cloud at random about this axis: none, x, y or z. In
            ModelNet's meshes z mostly points up, in its HDF5 files y.
        jitter: While training, standard deviation of normal noise on every coordinate.
        scale: While training, factors from 1 / (1 + scale) to 1 + scale.
        num_bands, max_frequency, spacing, hidden: See `PointTokenizer`.
        solids: Generated clouds of each class, where ``data`` is None.
        shared: What every `TableTask` takes.

    Raises:
        ValueError: If an argument is out of range, or clouds have fewer than ``count`` points.
        FileNotFoundError: If ``data``, or a file that belongs to it, is not there.
        DataError: If something in it is damaged.

    Source: Neural Attentive Circuits (NeurIPS 2022), point cloud classification.
    """

    layouts: ClassVar[Sequence[str]] = (
        "ModelNet meshes: CATEGORY/{train,test}/NAME.off, or CATEGORY/NAME.off",
        "ModelNet as HDF5: ply_data_*.h5, {train,test}_files.txt, shape_names.txt; or one .h5",
        "one .npz: points (N, P, 3), labels (N), and classes if there are names",
    )
    embedded: ClassVar[str | None] = "generated solids of ten kinds"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # A quarter of the usual points or less, so that a run takes minutes on one core; which
        # ones changes at every step, so that in the end most of a cloud has been seen.
        "tiny": {
            "threads": 1,
            "steps": 500,
            "warmup": 50,
            "task_set": {"count": 128, "resample": True, "solids": 200},
        },
        "small": {
            "threads": 1,
            "steps": 1200,
            "warmup": 100,
            "read_every": 2,
            "validate_every": 200,
            "checkpoint_every": 200,
            "task_set": {"count": 256, "resample": True},
        },
    }

    def __init__(
        self,
        count: int = 1024,
        resample: bool = False,
        rotate: str = "none",
        jitter: float = 0.0,
        scale: float = 0.0,
        num_bands: int = 16,
        max_frequency: float = 16.0,
        spacing: str = "log",
        hidden: int = 0,
        solids: int = 400,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        check_whole(1, count=count)
        check_whole(3, solids=solids)
        check_at_least(0, jitter=jitter, scale=scale)
        check_choice(TURNS, rotate=rotate)
        if not isinstance(resample, bool):
            raise ValueError(f"resample: expected true or false, got {resample!r}")
        self.count, self.resample, self.solids = count, resample, solids
        self.rotate, self.jitter, self.scale = rotate, jitter, scale
        self.features: dict[str, Any] = {
            "num_bands": num_bands,
            "max_frequency": max_frequency,
            "spacing": spacing,
            "hidden": hidden,
        }
        PointTokenizer(1, **self.features)  # says now which of these is wrong

    def read(self, path: Path | None, found: DataReport) -> Data:
        if path is None:
            data = generated(self.solids, self.count, self.data_seed)
        else:
            data = read_layout(path, self.count, self.data_seed, self.cache_dir, found)
        splits = {}
        for key, (name, table) in enumerate(data.splits.items()):
            points = table.columns["points"]
            if points.shape[1] < self.count:
                raise DataError(
                    f"count: expected at most the {points.shape[1]} points that clouds have in "
                    f"{data.source}, got {self.count}"
                )
            if points.shape[1] > self.count:
                keep = points.shape[1] if self.resample else self.count
                points = clouds.shuffled(points, (self.data_seed, key), keep)
            splits[name] = Table(table.labels, {"points": points})
        used = f"{self.count} points each" + " (others at every step)" * self.resample
        return replace(data, splits=splits, source=f"{data.source}, {used}")

    def collate(self, table: Table, index: np.ndarray, rng: np.random.Generator | None) -> Batch:
        points = table.columns["points"][index]
        if rng is not None and self.resample:
            points = clouds.resampled(points, self.count, rng)
        points = points[:, : self.count]
        if rng is not None and self.scale:
            points = clouds.scaled(points, self.scale, rng)
        if rng is not None and self.rotate != "none":
            points = clouds.rotated(points, self.rotate, rng)
        if rng is not None and self.jitter:
            points = clouds.jittered(points, self.jitter, rng)
        return Batch(
            torch.from_numpy(np.ascontiguousarray(points, np.float32)),
            torch.ones(points.shape[:2], dtype=torch.bool),
            torch.from_numpy(table.labels[index]),
            torch.from_numpy(np.asarray(index, np.int64)),
        )

    def encode(self, samples: Sequence[Any], first: int = 0) -> Batch:
        """Clouds, arrays (P, 3) of at least ``count`` points; they need not be normalised."""
        points = np.zeros((len(samples), self.count, 3), np.float32)
        for row, sample in enumerate(samples):
            number, wanted = first + row, f"an array (P, 3) of at least {self.count} points"
            try:
                cloud = np.asarray(sample, np.float64)
            except (TypeError, ValueError, RuntimeError):
                raise wrong_sample(number, wanted, type(sample).__name__) from None
            if cloud.ndim != 2 or cloud.shape[1] != 3 or len(cloud) < self.count:
                raise wrong_sample(number, wanted, f"shape {cloud.shape}")
            if problem := clouds.cloud_problem(cloud):
                raise ValueError(f"sample {number}: {problem}")
            cloud = clouds.normalised(cloud[None])
            if cloud.shape[1] > self.count:
                # The same choice whatever the place among the samples.
                cloud = clouds.shuffled(cloud, (self.data_seed,), self.count)
            points[row] = cloud[0]
        return self.as_batch({"points": points}, len(samples), first)

    def max_tokens(self, tokenizer: nn.Module) -> int:
        """One a point."""
        return self.count

    def dummy_batch(self, count: int, length: int, generator: torch.Generator) -> Batch:
        """Clouds of noise. They always have ``self.count`` points, whatever ``length`` says."""
        return Batch(
            torch.rand(count, self.count, 3, generator=generator) * 2 - 1,
            torch.ones(count, self.count, dtype=torch.bool),
            torch.zeros(count, dtype=torch.long),
            torch.arange(count),
        )

    def data_bytes(self) -> int:
        """Three single-precision numbers a point that is kept."""
        return sum(t.columns["points"].nbytes for t in self.load().splits.values())

    def tokenizer(self, dim: int, seed: int = 0) -> nn.Module:
        """Fourier features and a layer on each point alone, started from ``seed``."""
        return PointTokenizer(dim, **self.features, seed=seed)
