"""The estimate of a run's peak memory: beside a real run, and what it grows with."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_run import arguments, environment

from nacgraph.cli.options import parse
from nacgraph.cli.train import main
from nacgraph.training.build import build_model, build_task
from nacgraph.training.config import RunConfig
from nacgraph.training.footprint import memory_warning, size, upper_peak
from nacgraph.training.memory import Estimate, _polynomial, estimate
from nacgraph.utils.machine import Live, available, resident

MIB = 2**20
BOTH = """
import json, sys
from pathlib import Path
from nacgraph.training.doctor import examine
from nacgraph.cli.options import parse
from nacgraph.cli.train import main
found = examine(parse(sys.argv[1:]).config)["estimate"]
code = main(sys.argv[1:])
# Not ru_maxrss, which begins at what the parent of this process held.
status = Path("/proc/self/status").read_text()
peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
print(json.dumps([code, peak, found]))
"""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads do not change what is measured, and tensors this small wait for them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def of(tmp_path: Path, *more: str, **changed: object) -> Estimate:
    return estimate(parse(arguments(tmp_path / "cache", *more, **changed)).config)


def activations(found: Estimate) -> int:
    return found.phases["training"]["tensors"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_a_real_run_takes_about_what_was_estimated(tmp_path: Path) -> None:
    flags = arguments(
        tmp_path / "cache",
        modules=48,
        width=64,
        code_dim=64,
        rounds=4,
        batch_size=96,
        steps=2,
        validate_every=2,
        checkpoint_every=2,
        max_length=60,
        out=tmp_path / "run",
    )
    child = subprocess.run(
        [sys.executable, "-c", BOTH, *flags],
        cwd=tmp_path,
        env=environment(),
        text=True,
        capture_output=True,
    )
    assert child.returncode == 0, child.stderr
    code, peak, found = json.loads(child.stdout.splitlines()[-1])
    assert code == 0
    parts = found["phases"]["training"]
    assert sum(parts.values()) - parts["process"] > 100 * MIB  # not the libraries alone
    assert 0.75 * peak < found["peak"] < 1.3 * peak


def test_it_grows_with_batch_modules_and_length(tmp_path: Path) -> None:
    plain = activations(of(tmp_path))
    double = activations(of(tmp_path, batch_size=16))
    assert 1.7 * plain < double <= 2 * plain
    assert activations(of(tmp_path, modules=24)) > 1.5 * plain
    assert activations(of(tmp_path, max_length=80)) > 1.3 * plain


def test_a_batch_is_extrapolated_as_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = activations(of(tmp_path))
    monkeypatch.setattr("nacgraph.training.memory.TRIAL", 0)  # three samples of the eight, and two
    assert activations(of(tmp_path)) == pytest.approx(whole, rel=0.02)


def test_processes_share_the_batch(tmp_path: Path) -> None:
    alone, shared = of(tmp_path, batch_size=16), of(tmp_path, batch_size=16, devices=2)
    half = of(tmp_path, batch_size=8)
    assert activations(shared) == activations(half) < activations(alone)


def test_large_circuits_are_measured_in_part_and_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One backend, where `auto` may take another for smaller graphs.
    whole = of(tmp_path, modules=64, max_length=64, backend="dense")
    assert whole.notes == []
    monkeypatch.setattr("nacgraph.training.memory.MODULES", 32)
    monkeypatch.setattr("nacgraph.training.memory.LENGTH", 32)
    part = of(tmp_path, modules=64, max_length=64, backend="dense")
    assert part.notes == ["measured with 32 tokens, not 63", "measured with 32 modules, not 64"]
    assert part.modules == 32
    assert activations(part) == pytest.approx(activations(whole), rel=0.15)


def test_the_prior_costs_matrices(tmp_path: Path) -> None:
    assert of(tmp_path).phases["training"]["prior"] == 0
    few, many = (
        of(tmp_path, prior="erdos_renyi", modules=n).phases["training"]["prior"] for n in (64, 256)
    )
    assert few > 64 * 64 * 8 and 8 * few < many < 32 * few


def test_links_are_told(tmp_path: Path) -> None:
    found = of(tmp_path, prior="ring_of_cliques", modules=48).links
    assert set(found) == {"processors", "read-outs", "processors, prior reached"}
    assert all(0 < links.density < 1 for links in found.values())
    complete = of(tmp_path, "--model=perceiver_io").links
    assert complete["processors"].density == 1 and complete["processors"].auto == "dense"
    assert "processors, prior reached" not in complete


FORMULA = [
    *([f"--task={task}", "--preset=tiny"] for task in ("listops", "text", "images", "nlvr2")),
    ["--preset=small"],
    ["--preset=lra"],
    ["--task=points", "--preset=small", "--task_set", "solids=20"],
    ["--task=text", "--preset=small", "--model=transformer"],
    ["--preset=tiny", "--modules=192", "--graphs=per_sample"],
    ["--preset=tiny", "--backend=scatter", "--precision=bf16-mixed"],
    ["--preset=small", "--model=linformer"],
]


@pytest.mark.parametrize("flags", FORMULA, ids=" ".join)
def test_the_formula_lies_above_what_is_measured(flags: list[str], tmp_path: Path) -> None:
    config = parse([*flags, "--prior=erdos_renyi", f"--cache-dir={tmp_path}"]).config
    found = estimate(config)
    del found.phases["start"]  # before the model is there
    measured = max(
        sum(size for part, size in parts.items() if part not in ("process", "data"))
        for parts in found.phases.values()
    )
    task = build_task(config)
    assert measured <= upper_peak(config, build_model(config, task, None), task) <= 4 * measured


def test_training_warns_where_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parse(arguments(tmp_path)).config
    task = build_task(config)
    model = build_model(config, task, None)
    wanted = upper_peak(config, model, task)
    module = "nacgraph.training.footprint.available"
    monkeypatch.setattr(module, lambda: (None, wanted))
    assert memory_warning(config, model, task) is None
    monkeypatch.setattr(module, lambda: (None, None))  # not known: nothing to say
    assert memory_warning(config, model, task) is None
    monkeypatch.setattr(module, lambda: (None, wanted - 1))
    text = memory_warning(config, model, task)
    assert text is not None and f"up to {size(wanted)} more memory" in text
    assert "lower --batch-size, or --modules" in text and "train --estimate" in text


def test_an_estimate_instead_of_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main([*arguments(tmp_path / "cache", out=out), "--estimate"]) == 0
    said = capsys.readouterr().out
    assert re.match(r"estimate   [\d.]+ [MG]iB at its peak \(\w+\)\n", said)
    assert re.search(r"training [\d.]+ [MG]iB: process [\d.]+ [MG]iB \+ data", said)
    assert not out.exists()


def test_global_randomness_is_left_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    of(tmp_path, prior="erdos_renyi")
    assert torch.equal(torch.get_rng_state(), before)


def test_live_counts_what_is_alive() -> None:
    weight = torch.zeros(1000, requires_grad=True)
    with Live([weight]) as live:
        one = weight + 1  # 4,000 bytes that the product keeps
        two = (one * one).sum()
        del one
        assert live.now == 4000 + 4
        two.backward()
    assert live.peak >= 12000 and live.now == 4 + 4000  # the sum, and the gradient
    assert sum(live.fullest) == live.peak


def test_a_polynomial_goes_through_its_points() -> None:
    assert _polynomial([1, 2, 4], [3, 6, 18], 8) == pytest.approx(66)  # x² + 2, at 8
    assert _polynomial([0, 5, 5], [0, 10, 10], 5) == 10
    assert _polynomial([0, 1, 2], [0, 9, 9], 8) == 9  # never below what was seen


def test_this_machine_has_memory() -> None:
    assert resident() > 50 * MIB
    total, free = available()
    assert total is None or free is None or 0 < free <= total


def test_unknown_parts_are_named() -> None:
    with pytest.raises(ValueError, match="listop"):
        estimate(RunConfig(task="listop"))
    with pytest.raises(ValueError, match="ring_of_clique"):
        estimate(RunConfig(prior="ring_of_clique"))
