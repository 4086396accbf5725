"""``nacgraph prune``: a smaller run folder that is a run like any other, and the dropping curve."""

from __future__ import annotations

import csv
import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_run import arguments, final_tensors

from nacgraph.cli.evaluate import main as evaluate
from nacgraph.cli.prune import main
from nacgraph.cli.train import main as train
from nacgraph.models.pruning import prune, ranking
from nacgraph.training.run import load_run, read_config


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("runs")
    for name, more in (("nac", ()), ("perceiver_io", ("--model", "perceiver_io"))):
        flags = arguments(base / "cache", "--out", str(base / name), *more, steps=6)
        assert train(flags) == 0
    return base


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


def test_a_smaller_run_evaluates_like_any_other(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.read_bytes() for p in (runs / "nac").rglob("*") if p.is_file()}
    out = tmp_path / "small"
    assert main([str(runs / "nac"), "--keep", "0.5", "--out", str(out)]) == 0
    result = said(capsys)
    assert result["modules"] == 3 and result["modules_before"] == 6
    assert read_config(out).modules == 3

    model = load_run(runs / "nac").circuit
    link = torch.from_numpy(np.load(runs / "nac" / "circuit.npz")["link_probabilities"])
    kept = ranking("degree", link)[:3].sort().values
    assert result["kept"] == kept.tolist()
    run = load_run(out)
    small, task = run.circuit, run.task
    batch = next(iter(task.eval_batches("test")))
    with torch.no_grad():
        torch.testing.assert_close(
            small(batch).logits, prune(model, kept).eval()(batch).logits, rtol=0, atol=1e-6
        )
    with np.load(out / "circuit.npz") as arrays:
        np.testing.assert_allclose(
            arrays["link_probabilities"], link[kept][:, kept].numpy(), atol=1e-6
        )
    assert evaluate([str(out), "--split", "val"]) == 0
    assert said(capsys)["accuracy"] == result["val_accuracy"]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["pruned"]["kept"] == result["kept"] and summary["test_accuracy"] is None
    assert before == {p: p.read_bytes() for p in (runs / "nac").rglob("*") if p.is_file()}


def test_the_default_folder_names_share_and_order(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(runs / "nac", tmp_path / "nac")
    assert main([str(copy), "--keep", "0.34", "--order", "random", "--seed", "3"]) == 0
    out = tmp_path / "nac-keep34-random"
    assert said(capsys)["run"] == str(out) and read_config(out).modules == 2
    assert main([str(copy), "--keep", "0.34", "--order", "random"]) == 2
    assert f"out: expected a new or empty folder, got {out}" in capsys.readouterr().err


def test_a_smaller_run_trains_on_with_its_weights(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, tuned = tmp_path / "small", tmp_path / "tuned"
    assert main([str(runs / "nac"), "--keep", "0.5", "--out", str(small)]) == 0
    flags = ["--start", str(small), "--out", str(tuned), "--cache-dir", str(runs / "cache")]
    assert train([*flags, "--steps", "1", "--learning-rate", "1e-12", "--threads", "1"]) == 0
    assert f"start      weights of {small}" in capsys.readouterr().out
    config = read_config(tuned)
    assert config.modules == 3 and config.start == str(small) and config.steps == 1
    model = load_run(small).circuit
    after = final_tensors(tuned)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(after[f"model/{name}"], tensor, rtol=0, atol=1e-6)
    # It has weights but no optimizer to resume; saying so beats beginning anew in that folder.
    assert train(["--resume", str(small)]) == 2
    assert f"nacgraph train --start {small}" in capsys.readouterr().err


def test_weights_of_another_size_do_not_start(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--start", str(runs / "nac"), "--out", str(tmp_path / "new")]
    assert train([*flags, "--modules", "5", "--cache-dir", str(runs / "cache")]) != 0
    assert "weights of another model" in capsys.readouterr().err
    assert train(["--start", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err


def test_the_curve_counts_what_it_says(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "curve"
    flags = [
        "--curve",
        "--out",
        str(out),
        "--keeps",
        "0.5,0.2",
        "--seeds",
        "2",
        "--repeats",
        "2",
        "--baseline",
        str(runs / "perceiver_io"),
        "--lesion-samples",
        "16",
    ]
    assert main([str(runs / "nac"), *flags]) == 0
    first = capsys.readouterr()
    rows = json.loads(first.out)["rows"]
    with open(out / "curve.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["accuracy"] for row in table] == [str(row["accuracy"]) for row in rows]
    assert (out / "figure5.svg").is_file() and (out / "figure5.png").is_file()

    known = {(r["model"], r["order"], r["seed"], r["modules"]) for r in rows}
    sizes = (6, 3, 1)
    wanted = {("nac", order, 0, n) for order in ("degree", "contribution") for n in sizes}
    wanted |= {(m, "random", s, n) for m in ("nac", "perceiver_io") for s in (0, 1) for n in sizes}
    assert known == wanted and len(rows) == len(wanted)

    # Every figure is that of the circuit really made.
    for name in ("nac", "perceiver_io"):
        summary = json.loads((runs / name / "summary.json").read_text())
        whole = [r for r in rows if r["model"] == name and r["keep"] == 1]
        assert {r["accuracy"] for r in whole} == {summary["val_accuracy"]}
        assert {r["parameters"] for r in whole} == {summary["parameters"]}
    by_degree = next(r for r in rows if (r["order"], r["modules"]) == ("degree", 3))
    small = tmp_path / "small"
    assert main([str(runs / "nac"), "--keep", "0.5", "--out", str(small)]) == 0
    assert said(capsys)["val_accuracy"] == by_degree["accuracy"]
    assert all(r[k] > 0 for r in rows for k in ("milliseconds", "circuit_speedup", "peak_mib"))
    assert all(r["ci_low"] <= r["accuracy"] <= r["ci_high"] for r in rows)

    # A further call takes up what was scored.
    monkeypatch.setattr(import_module("nacgraph.analysis.pruning_curve"), "score", None)
    assert main([str(runs / "nac"), *flags]) == 0
    again = capsys.readouterr()
    assert [r["accuracy"] for r in json.loads(again.out)["rows"]] == [r["accuracy"] for r in rows]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--keep", "0"], "keep: expected a share in (0, 1], got 0.0"),
        (["--curve", "--keeps", "0.5,x"], "keeps: expected shares with commas"),
        (["--curve", "--orders", "degree,size"], "orders: expected some of degree, random, contr"),
        (["--curve", "--repeats", "0"], "repeats: expected at least 1, got 0"),
    ],
)
def test_clear_errors(
    runs: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert main([str(runs / "nac"), *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_baseline_of_the_same_model_is_refused(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(runs / "nac"), "--curve", "--baseline", str(runs / "nac")]) == 2
    assert "baseline: expected a run of another model, got nac too" in capsys.readouterr().err
    assert main([str(runs), "--keep", "0.5"]) == 2
    assert "expected a run folder" in capsys.readouterr().err
