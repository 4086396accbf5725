"""NACConfig and TransformerConfig: ranges, choices, one message style, no torch."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import nacgraph
from nacgraph.models.config import NACConfig, TransformerConfig
from nacgraph.utils.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("modules", 0, "modules: expected a whole number >= 1, got 0"),
        ("modules", 2.5, "modules: expected a whole number >= 1, got 2.5"),
        ("heads", True, "heads: expected a whole number >= 1, got True"),
        ("bandwidth", -1, "bandwidth: expected a number > 0, got -1"),
        ("bandwidth", math.nan, "bandwidth: expected a number > 0, got nan"),
        ("min_weight", 1, "min_weight: expected a number >= 0 and < 1, got 1"),
        ("modulation", 1, "modulation: expected true or false, got 1"),
        (
            "graphs",
            "share",
            "graphs: expected one of shared, per_sample, got 'share'; did you mean 'shared'?",
        ),
    ],
)
def test_a_wrong_value_is_told(field: str, value: object, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        NACConfig(**{field: value})  # type: ignore[arg-type]
    assert caught.value.problems == [said]


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        NACConfig(modules=0, width=1, condition="task", wiring="frozen")
    assert [text.partition(":")[0] for text in caught.value.problems] == [
        "modules",
        "width",
        "condition",
    ]


@pytest.mark.parametrize("config", [NACConfig, TransformerConfig])
def test_every_field_says_what_it_is(config: type) -> None:
    assert all(f.metadata["help"] for f in fields(config))


def test_a_configuration_needs_no_torch() -> None:
    code = "import sys, nacgraph; nacgraph.NACConfig(), nacgraph.TransformerConfig(); "
    code += "print([m for m in ('torch', 'numpy', 'scipy') if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"
    assert nacgraph.NACConfig is NACConfig
