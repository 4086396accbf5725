"""The training step and what surrounds it: rates, decay, noise, scores, resuming, stopping."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import arguments, final_tensors, metrics, same, start

from nacgraph.cli.options import parse
from nacgraph.cli.train import main
from nacgraph.tasks import Batch, ListOps
from nacgraph.training.build import build_model, build_target, build_task
from nacgraph.training.config import RunConfig, make_config
from nacgraph.training.optim import (
    clip_gradients,
    decays,
    learning_rate,
    make_optimizer,
    noise_generator,
)
from nacgraph.training.plan import make_plan
from nacgraph.training.run import load_run
from nacgraph.training.scoring import score
from nacgraph.utils.progress import ProgressCounter


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def unbroken(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 12 steps under a prior."""
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    assert main(arguments(cache, "--out", str(folder), prior="ring_of_cliques")) == 0
    return folder


def test_the_rate_warms_up_and_falls() -> None:
    rates = [learning_rate(step, 1.0, 10, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([(k + 1) / 10 for k in range(10)])
    assert all(a > b for a, b in zip(rates[10:-1], rates[11:], strict=True))
    assert 0.01 <= rates[-1] < 0.02
    assert learning_rate(0, 1.0, 0, 1) == 1.0


def test_what_decays(cache: Path) -> None:
    config = parse(arguments(cache)).config
    decayed = decays(build_model(config, build_task(config), None))
    for name in (
        "generator.processor_signatures",
        "generator.processor_codes",
        "generator.readout_codes",
        "tokenizer.positions",
        "tokenizer.symbols.weight",
    ):
        assert decayed[name] is False
    assert any(name.endswith("code_weight") and d for name, d in decayed.items())
    assert not any(d for name, d in decayed.items() if name.endswith("bias"))


def test_signatures_have_a_rate_of_their_own(cache: Path) -> None:
    config = parse(arguments(cache)).config
    model = build_model(config, build_task(config), None)
    groups = make_optimizer(model, 1e-3, 0.05, signature_rate=7.0).param_groups
    (own,) = [group for group in groups if group["scale"] != 1]
    assert own["scale"] == 7 and own["weight_decay"] == 0 and len(own["params"]) == 2
    assert sum(len(g["params"]) for g in groups) == len(decays(model))


@pytest.mark.parametrize("limit", [0.0, 0.5, 1e3])
def test_clipping_is_pytorchs(limit: float) -> None:
    generator = torch.Generator().manual_seed(0)
    ours = [torch.nn.Parameter(torch.zeros(n, 3)) for n in (1, 50, 2000, 7)]
    theirs = [torch.nn.Parameter(torch.zeros_like(p)) for p in ours]
    for a, b in zip(ours[:-1], theirs, strict=False):  # the last one has no gradient
        a.grad = torch.randn(a.shape, generator=generator)
        b.grad = a.grad.clone()
    wanted = torch.nn.utils.clip_grad_norm_(theirs, limit or math.inf)
    assert clip_gradients(ours, limit) == wanted.item()
    for a, b in zip(ours[:-1], theirs, strict=False):
        assert a.grad is not None and b.grad is not None and torch.equal(a.grad, b.grad)


def test_noise_differs_by_seed_and_step() -> None:
    # The low 32 bits are all that PyTorch's CPU generator looks at: seeds must reach them.
    pairs = [(s, t) for s in (0, 1, 2**32) for t in (0, 1, 1000)]
    drawn = {tuple(torch.rand(4, generator=noise_generator(s, t)).tolist()) for s, t in pairs}
    assert len(drawn) == len(pairs)
    again = torch.rand(4, generator=noise_generator(1, 1))
    assert torch.equal(again, torch.rand(4, generator=noise_generator(1, 1)))


def test_a_score_does_not_depend_on_the_batches(cache: Path) -> None:
    config = parse(arguments(cache)).config
    task = build_task(config)
    model = build_model(config, task, None)
    one = score(model, task, "val")
    other = score(model, build_task(config, batch_size=7), "val")
    assert (one.n, one.right) == (41, other.right)
    assert one.loss == pytest.approx(other.loss, abs=1e-6)
    assert model.training


def test_scoring_says_how_far_it_is() -> None:
    said: list[str] = []
    told = ProgressCounter("val", said.append, every=0)
    told(1, 4)
    assert said == ["scoring    val: 4 samples, 25.0 % so far"]
    told.every = 60
    told(2, 8)
    assert len(said) == 1


def test_the_run_folder_is_complete(unbroken: Path) -> None:
    summary = json.loads((unbroken / "summary.json").read_text())
    wanted = """task prior model preset seed steps seconds parameters val_accuracy test_accuracy
    majority_accuracy root_operator_accuracy prior_loss prior_floor mean_degree isolated versions
    best_step test_n ci95""".split()
    assert set(wanted) <= set(summary)
    assert summary["steps"] == 12 and summary["test_n"] == 43
    assert summary["ci95"][0] <= summary["test_accuracy"] <= summary["ci95"][1]
    rows = metrics(unbroken)
    assert [int(row["step"]) for row in rows] == list(range(1, 13))
    assert [bool(row["val_accuracy"]) for row in rows] == [k in (6, 12) for k in range(1, 13)]
    best = max(float(row["val_accuracy"]) for row in rows if row["val_accuracy"])
    assert summary["val_accuracy"] == pytest.approx(best)
    names = sorted(path.name for path in (unbroken / "checkpoints").glob("*.json"))
    assert names == ["best.json", "step_00000009.json", "step_00000012.json"]
    assert list((unbroken / "tensorboard").iterdir())
    with np.load(unbroken / "circuit.npz", allow_pickle=False) as circuit:
        assert circuit["link_probabilities"].shape == (6, 6)
        assert circuit["readout_link_probabilities"].shape == (2, 6)
        assert circuit["processor_signatures"].shape == (6, 8)
    run = load_run(unbroken)
    model, task, checkpoint, notes = run.model, run.task, run.checkpoint, run.notes
    assert checkpoint.path.name == "best.json" and not notes and not model.training
    assert score(model, task, "test").accuracy == pytest.approx(summary["test_accuracy"])


def test_tensorboard_shows_what_the_table_holds(unbroken: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(unbroken / "tensorboard"))
    shown.Reload()
    rows = metrics(unbroken)
    assert set(shown.Tags()["scalars"]) == set(rows[-1]) - {"step", "seconds"}
    for name in ("loss", "val_accuracy"):
        wanted = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        found = [(event.step, event.value) for event in shown.Scalars(name)]
        assert [step for step, _ in found] == [step for step, _ in wanted]
        assert [v for _, v in found] == pytest.approx([v for _, v in wanted], rel=1e-6)


def test_a_killed_run_ends_as_the_unbroken_one(
    unbroken: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "killed"
    flags = arguments(cache, "--out", str(folder), prior="ring_of_cliques")
    child = start("nacgraph.train", *flags, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints" / "step_00000006.json").exists():
        assert child.poll() is None and time.monotonic() < deadline, child.communicate()[0]
        time.sleep(0.001)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL  # it was still running, with half the steps to go
    # What a crash may leave: rows beyond the checkpoint, one of them cut short.
    with open(folder / "metrics.csv", "a", encoding="utf-8") as file:
        file.write("999,1,2,3,4,5,6,7,8,9,10,,\n1000,0.")
    assert not (folder / "summary.json").exists()
    assert main([*flags, "--resume=auto"]) == 0
    assert "resumed after step" in capsys.readouterr().out
    same(unbroken, folder)


def test_resuming_from_the_older_checkpoint(
    unbroken: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    folder = tmp_path / "damaged"
    shutil.copytree(unbroken, folder)
    (folder / "summary.json").unlink()
    path = folder / "checkpoints" / "step_00000012.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert main(["--resume", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "skipped" in said and "step_00000012.safetensors: damaged" in said
    assert "resumed after step 9" in said
    same(unbroken, folder)


def test_a_changed_configuration_is_refused_field_by_field(
    unbroken: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = arguments(cache, "--resume", str(unbroken), width=10, steps=20)
    assert main(changed) == 2
    said = capsys.readouterr().err
    assert f"width: expected 8 as in {unbroken}, got 10" in said
    assert "steps: expected 12" in said and "prior: expected 'ring_of_cliques'" in said
    assert said.count("error:") == 3
    parsed = parse(["--resume", str(unbroken), "--threads=2"])
    plan = make_plan(parsed.config, parsed.asked)
    assert plan.config.threads == 2 and plan.config.model.width == 8
    assert main(["--resume", str(unbroken)]) == 0
    assert "is complete" in capsys.readouterr().out


def test_nan_stops_before_the_weights_change(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usual, calls = ListOps.loss, []

    def broken(self: ListOps, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        calls.append(batch.index.tolist())
        loss = usual(self, logits, batch)
        return loss * math.nan if len(calls) == 5 else loss

    monkeypatch.setattr(ListOps, "loss", broken)
    folder = tmp_path / "nan"
    assert main(arguments(cache, "--out", str(folder))) == 3
    said = capsys.readouterr().err
    assert "loss is nan at step 5" in said
    assert f"samples {', '.join(map(str, calls[4]))}" in said
    assert "step_00000003.json" in said
    assert len(metrics(folder)) == 4 and not (folder / "summary.json").exists()
    assert all(torch.isfinite(t).all() for t in final_tensors(folder).values())


def test_an_infinite_gradient_stops_too(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = ListOps.loss

    def broken(self: ListOps, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        # Finite forward; the root's slope at zero is infinite.
        return usual(self, logits, batch) + (logits - logits.detach()).sum().abs().sqrt()

    monkeypatch.setattr(ListOps, "loss", broken)
    assert main(arguments(cache, "--out", str(tmp_path / "inf"))) == 3
    assert "gradient norm is" in capsys.readouterr().err


def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(
    unbroken: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usual, calls = ListOps.train_batch, []

    def interrupted(self: ListOps, step: int, rank: int = 0, world: int = 1) -> Batch:
        calls.append(step)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return usual(self, step, rank, world)

    folder = tmp_path / "stopped"
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in signals]
    with monkeypatch.context() as patch:
        patch.setattr(ListOps, "train_batch", interrupted)
        flags = arguments(cache, "--out", str(folder), prior="ring_of_cliques")
        assert main(flags) == 130
    assert [signal.getsignal(number) for number in signals] == before
    said = capsys.readouterr().out
    assert f"nacgraph train --resume {folder}" in said
    assert not (folder / "summary.json").exists()
    assert main(["--resume", str(folder)]) == 0
    same(unbroken, folder)


def test_a_full_disk_ends_the_run_clearly(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import errno

    usual = os.fsync

    def full(handle: int) -> None:
        if (folder / "checkpoints" / "step_00000003.json").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        usual(handle)

    folder = tmp_path / "full"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert main(arguments(cache, "--out", str(folder))) == 4
    assert "disk is full" in capsys.readouterr().err
    assert not list(folder.rglob("*.tmp"))
    assert final_tensors(folder)


def test_a_collapse_is_warned_of(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = arguments(cache, "--out", str(tmp_path / "a"), steps=2, bandwidth=1e4)
    assert main(flags) == 0
    assert "collapsing to a complete graph" in capsys.readouterr().err
    complete = arguments(cache, "--out", str(tmp_path / "b"), steps=2, model="perceiver_io")
    assert main(complete) == 0
    assert "collapsing" not in capsys.readouterr().err


def test_target_of_a_configuration() -> None:
    assert build_target(RunConfig(prior="none")) is None
    target = build_target(make_config(prior="erdos_renyi", modules=9))
    assert target is not None and target.shape == (9, 9)
