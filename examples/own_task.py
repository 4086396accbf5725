"""A task of one's own: which of three angles does a noisy point on a circle lie near?

python examples/own_task.py          (seconds; every command takes --plugin examples/own_task.py)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

import nacgraph
from nacgraph.tasks import Batch, Data, Table, TableTask, register_task


class Lift(nn.Module):
    """Every coordinate is a token (B, 2, dim): its value times a direction of its own."""

    def __init__(self, dim: int, seed: int) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(seed)
        self.direction = nn.Parameter(torch.randn(2, dim, generator=source))

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        return batch.inputs.unsqueeze(-1) * self.direction, batch.inputs > -torch.inf


@register_task("angles")
class Angles(TableTask):
    """2,000 points (x, y) around three places of the unit circle."""

    def read(self, path: Any, found: Any) -> Data:
        rng, labels = np.random.default_rng(self.data_seed), np.arange(2000) % 3
        angle = 2 * np.pi / 3 * labels + rng.normal(0, 0.4, 2000)
        point = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
        classes = ("east", "north-west", "south-west")
        return Data({"train": Table(labels, {"point": point})}, classes, "points")

    def collate(self, table: Table, index: np.ndarray, rng: Any) -> Batch:
        point, real = table.columns["point"][index], torch.ones(len(index), 1, dtype=torch.bool)
        label = torch.from_numpy(table.labels[index])
        return Batch(torch.from_numpy(point), real, label, torch.from_numpy(index))

    def tokenizer(self, dim: int, seed: int = 0) -> nn.Module:
        return Lift(dim, seed)

    def encode(self, samples: Any, first: int = 0) -> Batch:
        return self.as_batch({"point": np.asarray(samples, np.float32)}, len(samples), first)


def main(out: str = "runs/own-task", **options: Any) -> nacgraph.Run:
    run = nacgraph.fit("angles", "erdos_renyi", out=out, **{"steps": 150, **options})
    print(run, run.predict([(1.0, 0.0), (-0.5, 0.9), (-0.5, -0.9)]))
    return run


if __name__ == "__main__":
    main()
