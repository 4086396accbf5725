"""Run folders of commit 2a98585, from before the house was rebuilt: all that is done with a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from small_run import final_tensors

from nacgraph import NAC
from nacgraph.__main__ import main

OLD = Path(__file__).parents[1] / "fixtures" / "2a98585"
RUNS = ("nac", "transformer", "images")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with copies of the old runs, in which the process stands."""
    for name in RUNS:
        shutil.copytree(OLD / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("run", RUNS)
def test_an_old_run_scores_as_it_did(
    run: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", run]) == 0
    now, then = (
        json.loads(capsys.readouterr().out),
        json.loads((OLD / f"{run}.evaluate.json").read_text("utf-8")),
    )
    assert now["loss"] == pytest.approx(then["loss"], rel=1e-5)
    assert {k: now[k] for k in ("n", "step", "accuracy")} == {
        k: then[k] for k in ("n", "step", "accuracy")
    }


@pytest.mark.parametrize("run", ["nac", "transformer"])
def test_an_old_run_that_was_stopped_ends_as_it_did(run: str, place: Path) -> None:
    finished = final_tensors(place / run)
    for name in (
        "summary.json",
        *(f"checkpoints/step_00000012.{e}" for e in ("json", "safetensors")),
    ):
        (place / run / name).unlink()
    assert main(["train", "--resume", run]) == 0
    resumed = final_tensors(place / run)
    assert set(resumed) == set(finished)
    # Bit for bit on the processor that made them; others round otherwise.
    for name, tensor in resumed.items():
        torch.testing.assert_close(tensor, finished[name], rtol=1e-4, atol=1e-6)


def test_an_old_config_begins_the_same_run(place: Path) -> None:
    finished = final_tensors(place / "nac")
    assert main(["train", "--config", "nac/config.yaml", "--out", "again"]) == 0
    for name, tensor in final_tensors(place / "again").items():
        torch.testing.assert_close(tensor, finished[name], rtol=1e-4, atol=1e-6)


def test_an_old_run_is_analysed_and_pruned(place: Path) -> None:
    analyze = ["analyze", "nac", "--nulls", "2", "--draws", "1", "--seeds", "1", "--samples", "8"]
    assert main(analyze) == 0
    stats = json.loads((place / "nac/analysis/stats.json").read_text("utf-8"))
    assert [row["module"] for row in stats["modules"]] == list(range(6))
    assert main(["prune", "nac", "--keep", "0.5", "--out", "smaller"]) == 0
    assert NAC.from_run("smaller").config.modules == 3


def test_an_old_pretrained_folder_loads() -> None:
    model, run = NAC.from_pretrained(OLD / "pretrained"), NAC.from_run(OLD / "nac")
    ours, theirs = model.state_dict(), run.state_dict()
    assert set(ours) == set(theirs)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert not any("exit" in name for name in ours)
