"""The examples that train run, at a small size, and find what they say."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from small_run import ROOT, SIZES, environment

EXAMPLES = ROOT / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_train_and_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {**SIZES, "cache_dir": tmp_path / "cache", "signature_start": "prior"}
    run = example("train_and_look").main(str(tmp_path / "run"), **sizes)
    said = capsys.readouterr().out
    assert f"test accuracy {run.summary['test_accuracy']:.1%} of 43" in said
    assert "[SM 1 2 3 ] = " in said and "links with P > 0.5" in said
    assert run.graph().number_of_edges() > 0
    assert (tmp_path / "run" / "links.png").stat().st_size > 1000


def test_own_prior(tmp_path: Path) -> None:
    sizes = {**SIZES, "modules": 12, "steps": 60, "prior_weight": 10.0, "learning_rate": 0.01}
    before, after = example("own_prior").main(str(tmp_path / "run"), **sizes)
    assert after < 0.6 * before


def test_own_task_as_a_script_and_as_a_plugin(tmp_path: Path) -> None:
    run = example("own_task").main(str(tmp_path / "run"), threads=1, validate_every=50)
    assert run.summary["test_accuracy"] > 0.85
    assert run.predict([(1.0, 0.0), (-0.5, 0.9)]).classes == ["east", "north-west"]
    # In another process the run names the script that it needs.
    command = [sys.executable, "-m", "nacgraph", "evaluate", str(run.path)]
    plain = subprocess.run(command, capture_output=True, text=True, env=environment())
    plugin = EXAMPLES / "own_task.py"
    assert plain.returncode == 2 and f"add --plugin {plugin}" in plain.stderr
    helped = subprocess.run(
        [*command, "--plugin", str(plugin)], capture_output=True, text=True, env=environment()
    )
    assert helped.returncode == 0, helped.stderr
    assert f'"accuracy": {run.summary["test_accuracy"]}' in helped.stdout


@pytest.mark.parametrize("name", ["train_and_look", "own_prior", "own_task"])
def test_they_are_short(name: str) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text("utf-8").splitlines()) <= 60
