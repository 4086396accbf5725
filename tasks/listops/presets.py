"""Settings of a run that ListOps is learned well with: what docs/listops.md measures."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

# Found by runs on validation sequences.
PRESETS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "tiny": {
            "min_length": 3, "max_length": 41, "train_size": 20_000, "val_size": 2000,
            "test_size": 2000, "stem_layers": 1, "window": 9,
        },
        "small": {
            "min_length": 20, "max_length": 201, "train_size": 50_000, "val_size": 2000,
            "test_size": 2000,
            "modules": 32, "ffn_factor": 2, "stem_layers": 4, "window": 5, "batch_size": 64,
            "steps": 3000, "curriculum": ((30, 400), (60, 900), (120, 1600)),
            "validate_every": 300, "checkpoint_every": 300,
            "task_set": {"memory": 300, "position_scale": 0, "batch_symbols": 2048,
                         "stage_size": 40_000},
        },
        "lra": {
            "min_length": 500, "max_length": 2000, "train_size": 96_000, "val_size": 2000,
            "test_size": 2000,
            "modules": 32, "ffn_factor": 2, "rounds": 4, "stem_layers": 6, "window": 5,
            "batch_size": 64, "steps": 18_000, "validate_every": 1000, "checkpoint_every": 500,
            "curriculum": ((30, 1000), (60, 2500), (120, 5000), (250, 8500), (500, 14_000)),
            "task_set": {"memory": 2000, "position_scale": 0, "batch_symbols": 3000,
                         "stage_size": 60_000},
        },
    }
)  # fmt: skip
