"""A task for tests of few-shot and of conditional circuits: tokens about a class's centre."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nacgraph.models.nac import NAC
from nacgraph.tasks import (
    Batch,
    Data,
    DataReport,
    Table,
    TableTask,
    register_task,
    register_tokenizer,
)
from nacgraph.training.build import build_model
from nacgraph.training.config import make_config

CLASSES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen")
WIDTH = 4
SIZES = {
    "modules": 6, "readouts": 2, "width": 16, "code_dim": 8, "signature_dim": 8, "heads": 2,
    "head_dim": 4, "read_heads": 2, "read_head_dim": 8, "rounds": 2, "batch_size": 16,
    "steps": 40, "validate_every": 40, "checkpoint_every": 40, "threads": 1, "warmup": 2,
    "learning_rate": 0.003, "prior": "none",
}  # fmt: skip


@register_tokenizer("ClusterTokenizer")
class ClusterTokenizer(nn.Module):
    """A linear layer over each token."""

    def __init__(self, dim: int, seed: int = 0) -> None:
        super().__init__()
        self.settings = {"dim": dim, "seed": seed}
        self.lift = nn.utils.skip_init(nn.Linear, WIDTH, dim)
        noise = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.lift.weight, std=WIDTH**-0.5, generator=noise)
        nn.init.zeros_(self.lift.bias)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.lift(batch.inputs) * batch.mask.unsqueeze(-1), batch.mask


class ClusterConditioner(nn.Module):
    """One conditioning token: the colour of the sample."""

    def __init__(self, dim: int, seed: int) -> None:
        super().__init__()
        self.table = nn.utils.skip_init(nn.Embedding, 3, dim)
        nn.init.normal_(self.table.weight, generator=torch.Generator().manual_seed(seed))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.condition is not None
        return self.table(batch.condition), batch.condition >= 0


@register_task("test_clusters")
class Clusters(TableTask):
    """Each class has a centre; a sample is a few noisy copies of it, one a token.

    ``data`` is an npz file with centres of its own. ``spread`` is the noise, ``scale`` multiplies
    all inputs.
    """

    def __init__(
        self, spread: float = 0.3, scale: float = 1.0, each: int = 30, **more: Any
    ) -> None:
        super().__init__(**more)
        self.spread, self.scale, self.each = spread, scale, each

    def read(self, path: Path | None, found: DataReport) -> Data:
        names, key = CLASSES, 0
        if path is not None:
            with np.load(found.read(path), allow_pickle=False) as arrays:
                names, key = tuple(arrays["classes"].tolist()), 1
        rng = np.random.default_rng((self.data_seed, key))
        centres = rng.normal(size=(len(names), WIDTH))
        labels = np.repeat(np.arange(len(names)), self.each)
        lengths = rng.integers(2, 5, len(labels))
        tokens = [
            (centres[k] + self.spread * rng.normal(size=(n, WIDTH))).astype(np.float32)
            for k, n in zip(labels, lengths, strict=True)
        ]
        colours = rng.integers(0, 3, len(labels))
        words = np.array(["red", "green", "blue"])[colours].tolist()
        table = Table(labels, {"tokens": tokens, "colour": colours}, {"colour": words})
        return Data({"train": table}, names, "generated clusters")

    def collate(self, table: Table, index: np.ndarray, rng: np.random.Generator | None) -> Batch:
        rows = [table.columns["tokens"][k] for k in index]
        inputs = torch.zeros(len(rows), max(map(len, rows)), WIDTH)
        for k, row in enumerate(rows):
            inputs[k, : len(row)] = self.scale * torch.from_numpy(row)
        mask = torch.arange(inputs.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
        colours = torch.from_numpy(np.asarray(table.columns["colour"])[index])[:, None]
        return Batch(
            inputs,
            mask,
            torch.from_numpy(table.labels[index]),
            torch.from_numpy(index),
            colours,
            colours >= 0,
        )

    def lengths(self, table: Table) -> np.ndarray:
        return np.array([len(row) for row in table.columns["tokens"]])

    def tokenizer(self, dim: int, seed: int = 0) -> nn.Module:
        return ClusterTokenizer(dim, seed)

    def conditioner(self, dim: int, seed: int = 0) -> nn.Module:
        return ClusterConditioner(dim, seed)


def flags(out: Path, *more: str, **changed: object) -> list[str]:
    """Flags of ``nacgraph train`` for a run of a second on this task."""
    values = {**SIZES, "task": "test_clusters", "out": out, **changed}
    return [f"--{name}={value}" for name, value in values.items()] + list(more)


def small(**changed: Any) -> NAC:
    fields = dict(
        task="test_clusters",
        modules=6,
        readouts=2,
        width=16,
        code_dim=8,
        signature_dim=8,
        heads=2,
        head_dim=4,
        read_heads=2,
        read_head_dim=8,
        rounds=2,
        prior="none",
    )
    return build_model(make_config(**{**fields, **changed}), Clusters(), None).eval()
