"""docs/custom-propagators.md: its propagator keeps its promises, and a run with it does all."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from small_run import arguments, environment

import nacgraph
from nacgraph.__main__ import main
from nacgraph.testing import assert_propagator
from nacgraph.utils.registry import load_plugin

PAGE = Path(__file__).resolve().parents[2] / "docs" / "custom-propagators.md"
CODE = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)


@pytest.fixture(scope="module")  # one path: names belong to the file that registered them
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("plugin") / "my_propagator.py"
    file.write_text(CODE[0], encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def code(plugin: Path) -> ModuleType:
    return load_plugin(plugin)


def test_the_page_is_short_and_its_propagator_keeps_its_promises(code: ModuleType) -> None:
    assert len(CODE[0].splitlines()) <= 40
    draw = torch.Generator().manual_seed(0)
    assert_propagator(code.Diffusion(16, 8, 2, 8, generator=draw), dim=16, code_dim=8)
    scope = {"Diffusion": code.Diffusion}
    for block in CODE[1:]:  # the test that it recommends, and a part passed in
        exec(block, scope)
    model = nacgraph.NAC(nacgraph.NACConfig(), torch.nn.Identity(), 3)
    changed = scope["with_propagator"](model.circuit, code.Diffusion(64, 64, 4, 16, generator=draw))
    assert [type(p) for p in changed.propagators] == [code.Diffusion]


def test_a_run_with_it_is_analysed_pruned_and_exported(
    plugin: Path, code: ModuleType, tmp_path: Path
) -> None:
    run, own = tmp_path / "run", ["--plugin", str(plugin)]
    flags = arguments(tmp_path / "cache", prior="ring_of_cliques", propagator="diffusion")
    assert main(["train", *flags, *own, f"--out={run}"]) == 0
    few = ["--nulls", "2", "--draws", "1", "--seeds", "1", "--samples", "8"]
    assert main(["analyze", str(run), *few, *own]) == 0
    stats = json.loads((run / "analysis" / "stats.json").read_text("utf-8"))
    assert all(row["loss_gained"] is not None for row in stats["modules"])
    small = tmp_path / "small"
    assert main(["prune", str(run), "--keep", "0.5", "--out", str(small), *own]) == 0
    assert nacgraph.load(small, plugins=[plugin]).circuit.config.modules == 3
    file = tmp_path / "circuit.pt2"
    assert main(["export", str(small), "--format", "torch", "--out", str(file), *own]) == 0
    assert file.stat().st_size > 0


def test_a_run_says_which_plugin_it_needs(plugin: Path, code: ModuleType, tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = arguments(tmp_path / "cache", propagator="diffusion", steps=2)
    assert main(["train", *flags, "--plugin", str(plugin), f"--out={run}"]) == 0
    # Another process has not run the plugin, and reading a run runs no code.
    told = subprocess.run(
        [sys.executable, "-m", "nacgraph", "evaluate", str(run)],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert told.returncode == 2
    assert "diffusion" in told.stderr and f"--plugin {plugin}" in told.stderr
    assert "Traceback" not in told.stderr
