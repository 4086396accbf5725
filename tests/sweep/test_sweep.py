"""Sweeps: recipes to cells, cells to runs, runs to tables."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_recipe import TINY, write

from nacgraph.cli.sweep import main
from nacgraph.sweep import read_recipe
from nacgraph.sweep.gather import read_result
from nacgraph.sweep.tables import mean_sd

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_runs_at_smoke(path: Path, tmp_path: Path, cache: str) -> None:
    cells = read_recipe(path).cells("smoke")
    assert run(path, tmp_path, cache) == 0
    with open(tmp_path / f"{path.stem}.csv", newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(cells)
    assert (tmp_path / f"{path.stem}.md").read_text("utf-8").count("\n| ") >= len(cells)


def test_a_wrong_field_is_said_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, fields={**TINY, "widht": 3, "steps": 0})
    assert main([str(path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "full-bandwidth=0.2-s0: unknown flag 'widht' (nearest: width)" in said
    assert not (tmp_path / "out").exists()


def run(path: Path, out: Path, cache: str, *more: str) -> int:
    return main([str(path), "--out", str(out), "--cache-dir", cache, "--launcher", "here", *more])


def test_a_sweep_from_recipe_to_tables(
    tmp_path: Path, cache: str, capsys: pytest.CaptureFixture[str]
) -> None:
    after = {
        "pruning": {
            "command": [
                "prune",
                "{run}",
                "--curve",
                "--orders",
                "random",
                "--keeps",
                "0.5",
                "--repeats",
                "1",
                "--seeds",
                "2",
                "--lesion-samples",
                "4",
            ],
            "result": "curve.csv",
            "only": {"model": ["full"]},
            "columns": {"half kept %": "[keep=0.5].accuracy"},
            "series": {"x": "keep", "y": "accuracy"},
        }
    }
    path, out = write(tmp_path, after=after), tmp_path / "out"
    assert run(path, out, cache) == 0
    said = capsys.readouterr().out
    with open(out / "trial.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["bandwidth"], row["seed"]) for row in rows] == [
        (model, f"bandwidth={width}", str(seed))
        for seed in (0, 1)
        for model in ("full", "all-linked")
        for width in (0.2, 0.4)
    ]
    for row in rows:
        summary = json.loads((out / row["folder"] / "summary.json").read_text("utf-8"))
        assert float(row["test %"]) == summary["test_accuracy"]
        curve = out / "pruning" / Path(row["folder"]).name / "curve.csv"
        assert curve.is_file() == (row["half kept %"] != "") == (row["model"] == "full")
        if curve.is_file():  # the mean of both draws, as in the picture
            draws = [r["accuracy"] for r in read_result(curve) if r["keep"] == 0.5]
            assert len(draws) == 2
            assert float(row["half kept %"]) == pytest.approx(sum(draws) / 2)
    text = (out / "trial.md").read_text("utf-8")
    tests = [
        float(r["test %"])
        for r in rows
        if (r["model"], r["bandwidth"]) == ("full", "bandwidth=0.4")
    ]
    line = next(line for line in text.splitlines() if line.startswith("| full | bandwidth=0.4"))
    assert mean_sd(tests, 100) in line and line.endswith("| 2 |") and line in said
    assert "test: points over all-linked (95 %)" in text and "# A | test" in text
    assert "\nCommand: `nacgraph sweep trial.yaml --scale smoke`\n" in text
    assert f"torch {summary['versions']['torch']}," in text
    assert f"\nMachines: {summary['machine']}\n" in text
    assert (out / "trial.tex").read_text("utf-8").count(r"\\") == 5
    for picture in ("trial-curves.png", "trial-pruning.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")

    (out / "trial.md").unlink()
    assert run(path, out, cache, "--tables") == 0
    assert (out / "trial.md").read_text("utf-8") == text
    capsys.readouterr()

    # Again: nothing is trained, the tables are the same.
    before = {file: file.stat().st_mtime_ns for file in out.rglob("summary.json")}
    assert run(path, out, cache) == 0
    assert "4 ready" not in capsys.readouterr().err.replace("8 cells, 8 ready", "")
    assert {file: file.stat().st_mtime_ns for file in out.rglob("summary.json")} == before
    assert (out / "trial.md").read_text("utf-8") == text

    # A recipe that asks for other runs does not take these for its own.
    assert run(write(tmp_path, fields={**TINY, "steps": 3}), out, cache) == 2
    assert "steps: expected 3, got a run of 2; give another --out" in capsys.readouterr().err


def test_a_failed_cell_does_not_stop_the_rest(
    tmp_path: Path, cache: str, capsys: pytest.CaptureFixture[str]
) -> None:
    axes = {"data": {"there": {}, "gone": {"data": str(tmp_path / "nothing")}}}
    path, out = write(tmp_path, axes=axes, baseline={}), tmp_path / "out"
    assert run(path, out, cache, "--seeds", "1") == 1
    said = capsys.readouterr().out
    assert "failed     gone-s0 (exit 2): error: data: no file or folder" in said
    assert str(out / "logs" / "gone-s0.log") in said and "| there |" in said
    assert "| gone |" not in said and "next       nacgraph analyze" in said

    assert run(path, tmp_path / "none", cache, "--seeds", "1", "--only", "gone") == 1
    assert "nacgraph analyze" not in capsys.readouterr().out  # there is nothing to look at


def test_fields_and_cells_can_be_chosen(
    tmp_path: Path, cache: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path)
    assert (
        run(
            path,
            tmp_path / "out",
            cache,
            "--only",
            "full-bandwidth=0.4-s1",
            "--list",
            "--set",
            "steps=1",
        )
        == 0
    )
    (line,) = capsys.readouterr().out.splitlines()
    name, _, fields = line.partition(": ")
    assert name == "full-bandwidth=0.4-s1" and json.loads(fields)["steps"] == 1
    assert run(path, tmp_path / "out", cache, "--only", "nowhere") == 2
    assert "only: expected a part of a cell's name, such as " in capsys.readouterr().err
    listops = ROOT / "recipes" / "listops.yaml"
    assert run(listops, tmp_path / "out", cache, "--only", "no prior", "--list") == 0  # as written
    assert capsys.readouterr().out.startswith("no-prior-s0: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("launcher", ["process", "submitit"])
def test_launchers_make_the_same_runs(tmp_path: Path, cache: str, launcher: str) -> None:
    axes = {"model": {"full": {"model": "nac"}}}
    path = write(tmp_path, axes=axes, baseline={})
    assert run(path, tmp_path / "here", cache, "--seeds", "1") == 0
    more = ["--launcher-set", "cluster=local"] if launcher == "submitit" else ["--jobs", "2"]
    there = tmp_path / launcher
    assert run(path, there, cache, "--seeds", "1", "--launcher", launcher, *more) == 0
    found = [
        json.loads((out / "cells" / "full-s0" / "summary.json").read_text("utf-8"))
        for out in (tmp_path / "here", there)
    ]
    assert found[0]["test_accuracy"] == found[1]["test_accuracy"]
    assert found[0]["prior_loss"] == found[1]["prior_loss"]


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_saves_what_runs_and_the_same_command_goes_on(
    tmp_path: Path, cache: str, asked: signal.Signals
) -> None:
    axes = {"model": {"full": {"model": "nac"}}}
    fields = {**TINY, "steps": 60, "train_size": 400}
    path, out = write(tmp_path, axes=axes, baseline={}, fields=fields), tmp_path / "out"
    words = [
        sys.executable,
        "-m",
        "nacgraph",
        "sweep",
        str(path),
        "--out",
        str(out),
        "--seeds",
        "1",
        "--cache-dir",
        cache,
    ]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    metrics = out / "cells" / "full-s0" / "metrics.csv"
    while process.poll() is None:
        if metrics.is_file() and metrics.read_bytes().count(b"\n") > 3:
            break
        time.sleep(0.05)
    process.send_signal(asked)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and b"the same command goes on from here" in err
    assert not (metrics.parent / "summary.json").exists()
    kept = metrics.read_text("utf-8").splitlines()
    assert run(path, out, cache, "--seeds", "1") == 0
    whole = metrics.read_text("utf-8").splitlines()
    assert len(whole) == 61 and [r.split(",")[0] for r in whole[: len(kept)]] == [
        r.split(",")[0] for r in kept
    ]
