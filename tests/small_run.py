"""A run small enough for a test: seconds of CPU, all parts in use."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nacgraph.training.checkpoint import newest_valid

ROOT = Path(__file__).resolve().parent.parent
SIZES = {
    "modules": 6, "readouts": 2, "width": 8, "code_dim": 8, "signature_dim": 8, "heads": 2,
    "head_dim": 4, "read_heads": 2, "read_head_dim": 4, "rounds": 2, "batch_size": 8,
    "train_size": 200, "val_size": 41, "test_size": 43, "max_length": 20, "steps": 12,
    "validate_every": 6, "checkpoint_every": 3, "match_every": 5, "threads": 1, "warmup": 2,
}  # fmt: skip


def arguments(cache: Path, *more: str, prior: str = "none", **changed: object) -> list[str]:
    """Flags of a small run; its generated data is kept in ``cache``."""
    values = {**SIZES, "prior": prior, "cache_dir": cache, **changed}
    return [f"--{name}={value}" for name, value in values.items()] + list(more)


def environment() -> dict[str, str]:
    """The environment of a child that finds this checkout and uses one thread."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    ours = {k: v for k, v in os.environ.items() if k not in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
    return {**ours, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def start(*argv: str, cwd: Path) -> subprocess.Popen[str]:
    """``python -m ARGV`` as a child."""
    return subprocess.Popen(
        [sys.executable, "-m", *argv],
        cwd=cwd,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def forget_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in another process: no plugin has run (what they registered stays)."""
    monkeypatch.setattr("nacgraph.training.plugins.LOADED", {})
    for name in [name for name in sys.modules if name.startswith("nacgraph_plugin_")]:
        monkeypatch.delitem(sys.modules, name)


def metrics(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv."""
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def final_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of the newest checkpoint."""
    checkpoint, _ = newest_valid(folder / "checkpoints")
    assert checkpoint is not None
    return checkpoint.tensors


def same(a: Path, b: Path) -> None:
    """Two runs ended with equal tensors, bit for bit, and logged equal losses."""
    one, two = final_tensors(a), final_tensors(b)
    assert set(one) == set(two)
    for name in one:
        assert torch.equal(one[name], two[name]), name
    times = {"seconds", "samples_per_second"}
    rows = [[{k: v for k, v in r.items() if k not in times} for r in metrics(f)] for f in (a, b)]
    assert rows[0] == rows[1]
