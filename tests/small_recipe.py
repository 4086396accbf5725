"""A recipe of four tiny cells a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

TINY = {
    "task": "listops", "preset": "tiny", "steps": 2, "validate_every": 2, "checkpoint_every": 1,
    "train_size": 64, "val_size": 16, "test_size": 16, "batch_size": 4, "modules": 8, "width": 16,
    "code_dim": 16, "head_dim": 4, "rounds": 1, "readouts": 2, "signature_dim": 8, "threads": 1,
}  # fmt: skip


def write(folder: Path, **changes: Any) -> Path:
    recipe: dict[str, Any] = {
        "title": "A | test",
        "axes": {
            "model": {"full": {"model": "nac"}, "all-linked": {"model": "perceiver_io"}},
            "bandwidth": [0.2, 0.4],
        },
        "baseline": {"model": "all-linked"},
        "fields": dict(TINY),
        "scales": {"smoke": {"seeds": 2}, "small": {"fields": {"steps": 4}}},
    }
    recipe |= changes
    path = folder / "trial.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path
