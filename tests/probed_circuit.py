"""A small task and circuit whose modules are probed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from nacgraph.analysis.probing import Probe, probe
from nacgraph.models.ladder import model_fields
from nacgraph.models.nac import NAC, NACConfig
from nacgraph.nn.read_in import ReadIn
from nacgraph.tasks import Batch, Task
from nacgraph.tasks.tokenizers import SequenceTokenizer

SMALL = NACConfig(
    modules=6, readouts=3, width=8, code_dim=5, signature_dim=4, heads=2, head_dim=3,
    read_heads=2, read_head_dim=4, rounds=3, unique_layers=2, read_every=1, bandwidth=1.0,
)  # fmt: skip


KINDS = 7


class Toy(Task):
    """Random sequences of six kinds; ``pad`` adds padding, ``size`` cuts batches."""

    num_classes = 4
    token_names = ("padding", "a", "b", "c", "(", ")", "never")
    token_groups = {"letters": ("a", "b", "c"), "brackets": ("(", ")")}  # noqa: RUF012

    def __init__(self, size: int = 4, pad: int = 0, lengths: tuple[int, ...] = (5, 1, 9, 3, 7, 4)):
        self.size, self.pad, self.lengths = size, pad, lengths

    def sequences(self) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        return [rng.integers(1, 6, size=n) for n in self.lengths]

    def eval_batches(
        self, split: str, rank: int = 0, world: int = 1, limit: int | None = None
    ) -> Iterator[Batch]:
        rows = self.sequences()[:limit]
        for start in range(0, len(rows), self.size):
            part = rows[start : start + self.size]
            width = max(map(len, part)) + self.pad
            inputs = np.zeros((len(part), width), np.int64)
            for row, tokens in enumerate(part):
                inputs[row, : len(tokens)] = tokens
            index = torch.arange(start, start + len(part))
            ids = torch.from_numpy(inputs)
            yield Batch(ids, ids > 0, index % self.num_classes, index)

    def tokenizer(self, dim: int, seed: int = 0) -> nn.Module:
        return SequenceTokenizer(KINDS, dim, 40, seed=seed)

    def train_batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        raise NotImplementedError

    def baselines(self, split: str) -> dict[str, float]:
        return {"majority_accuracy": 0.25}

    def describe(self) -> str:
        return "toy"


def make(**changes: Any) -> NAC:
    model = NAC(replace(SMALL, **changes), Toy().tokenizer(8), 4).double().eval()
    with torch.no_grad():  # far from the start, where modules hardly differ
        for layer in model.modules():
            if isinstance(layer, ReadIn):
                layer.key.alpha.fill_(0.7)
                layer.key.weight.mul_(2)
    return model


def measured(model: NAC, task: Task | None = None, **changes: Any) -> Probe:
    return probe(model, task or Toy(), **{"samples": 6, "lesion_samples": 4, **changes})


def assert_equal(a: Probe, b: Probe, order: list[int] | None = None) -> None:
    """Every number alike, those of modules in another order if one is given."""
    order = list(range(len(a.entropy))) if order is None else order
    by_module = {
        "token_attention",
        "entropy",
        "relative_entropy",
        "position",
        "voice",
        "accuracy_lost",
        "accuracy_lost_se",
        "loss_gained",
        "loss_gained_se",
        "contribution",
        "contribution_se",
    }
    for name in (field.name for field in fields(Probe)):
        x, y = getattr(a, name), getattr(b, name)
        if name == "role":
            x = tuple(x[k] for k in order)
        elif name in by_module:
            x = x[order]
        elif name.startswith("reading_"):
            x = x[:, order]
        elif name in ("link", "code_similarity"):
            x = x[order][:, order]
        elif name == "similarity_link":  # its p-value draws relabellings
            x, y = ([each["value"] for each in pair.values()] for pair in (x, y))
        if isinstance(x, (np.ndarray, list, float)):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12, err_msg=name)
        else:
            assert x == y, name


CASES: dict[str, dict[str, Any]] = {
    "reads every round": {},
    "reads once": {"read_every": 0},
    "reads every second round": {"read_every": 2, "rounds": 5, "unique_layers": 0},
    "threshold": {"eval_mode": "threshold"},
    "no link cut": {"min_weight": 0.0},
    "samples own graphs": {"graphs": "per_sample", "eval_mode": "hard"},
    "perceiver_io": model_fields("perceiver_io"),
}
