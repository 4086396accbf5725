"""Which weights a run ends with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_run import arguments, metrics

from nacgraph.cli.evaluate import main as evaluate
from nacgraph.cli.train import main


def test_the_whole_validation_split_decides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    flags = arguments(tmp_path / "cache", validate_samples=2, validate_every=2)
    assert main([*flags, f"--out={folder}"]) == 0
    summary = json.loads((folder / "summary.json").read_text())
    lucky = max(float(row["val_accuracy"] or 0) for row in metrics(folder))
    assert lucky in (0.0, 0.5, 1.0)  # two samples
    assert summary["val_accuracy"] * 41 == pytest.approx(round(summary["val_accuracy"] * 41))
    capsys.readouterr()
    cache = f"--cache-dir={tmp_path / 'cache'}"
    assert evaluate([str(folder), "--split=val", cache, "--threads=1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] == summary["val_accuracy"] and found["n"] == 41
    assert found["step"] == summary["best_step"]
    assert evaluate([str(folder), cache, "--threads=1"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == summary["test_accuracy"]
