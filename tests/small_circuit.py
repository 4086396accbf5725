"""A circuit small enough for exact comparisons, in float64, and batches for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nacgraph import NAC, NACConfig

SMALL = NACConfig(
    modules=6,
    readouts=3,
    width=8,
    code_dim=5,
    signature_dim=4,
    heads=2,
    head_dim=3,
    read_heads=2,
    read_head_dim=4,
    rounds=4,
    unique_layers=2,
    read_every=2,
    bandwidth=1.0,
)


@dataclass
class Tokens:
    """A batch that already is tokens."""

    tokens: Tensor
    mask: Tensor


class Through(nn.Module):
    def forward(self, batch: Tokens) -> tuple[Tensor, Tensor]:
        return batch.tokens, batch.mask


def make(config: NACConfig = SMALL, seed: int = 0, **changes: object) -> NAC:
    return NAC(replace(config, **changes), Through(), 4, seed=seed).double()


def batch_of(lengths: list[int], seed: int = 0, width: int = 8) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(len(lengths), max(lengths), width, generator=generator).double()
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return Tokens(tokens, mask)
