"""Sweeps: recipes to cells, cells to runs, runs to tables."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import images_on_disk as disk
import pytest
import yaml

from nacgraph.cli.options import parse
from nacgraph.cli.sweep import main
from nacgraph.sweep import Sweep, read_recipe
from nacgraph.sweep.gather import pick, read_result
from nacgraph.sweep.jobs import cell_flags, jobs_of
from nacgraph.sweep.tables import difference, mean_sd
from nacgraph.training.plan import check_parts
from nacgraph.training.run import build_model, build_target, build_task
from nacgraph.utils.errors import ConfigError
from nacgraph.utils.stats import paired_difference

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
ON_IMAGES = [path for path in RECIPES if "data: $images" in path.read_text("utf-8")]
TINY = {
    "task": "listops", "preset": "tiny", "steps": 2, "validate_every": 2, "checkpoint_every": 1,
    "train_size": 64, "val_size": 16, "test_size": 16, "batch_size": 4, "modules": 8, "width": 16,
    "code_dim": 16, "head_dim": 4, "rounds": 1, "readouts": 2, "signature_dim": 8, "threads": 1,
}  # fmt: skip


def write(folder: Path, **changes: Any) -> Path:
    recipe: dict[str, Any] = {
        "title": "A | test",
        "axes": {
            "model": {"full": {"model": "nac"}, "all-linked": {"model": "perceiver_io"}},
            "bandwidth": [0.2, 0.4],
        },
        "baseline": {"model": "all-linked"},
        "fields": dict(TINY),
        "scales": {"smoke": {"seeds": 2}, "small": {"fields": {"steps": 4}}},
    }
    recipe |= changes
    path = folder / "trial.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_has_all_scales_and_valid_cells(path: Path) -> None:
    recipe = read_recipe(path)
    assert set(recipe.scales) >= {"smoke", "small", "paper"}
    for scale in recipe.scales:
        cells = recipe.cells(scale, data={name: os.devnull for name in recipe.data})
        assert len({cell.name for cell in cells}) == len(cells)
        # There need not be a GPU here.
        Sweep(recipe, path.stem, scale, cells, Path(), ["--device=auto"]).check(
            lambda flags: check_parts(parse(flags).config)
        )


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_makes_models_of_its_smoke_cells(path: Path, cache: str) -> None:
    for cell in read_recipe(path).cells("smoke"):
        config = parse([*cell_flags(cell), f"--cache-dir={cache}"]).config
        check_parts(config)
        model = build_model(config, build_task(config), build_target(config))
        assert model.num_parameters() > 0


@pytest.mark.parametrize("path", ON_IMAGES, ids=lambda path: path.stem)
def test_recipes_on_images_take_classes_of_any_name(path: Path, tmp_path: Path) -> None:
    recipe = read_recipe(path)
    for k in range(12):
        disk.picture(tmp_path / f"kind{k % 3}" / f"{k}.png", k)
    for scale in ("small", "paper"):
        for cell in recipe.cells(scale, 1, dict.fromkeys(recipe.data, str(tmp_path))):
            task = build_task(parse([*cell_flags(cell), "--device=auto"]).config)
            assert task.num_classes == 3


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_runs_at_smoke(path: Path, tmp_path: Path, cache: str) -> None:
    cells = read_recipe(path).cells("smoke")
    assert run(path, tmp_path, cache) == 0
    with open(tmp_path / f"{path.stem}.csv", newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(cells)
    assert (tmp_path / f"{path.stem}.md").read_text("utf-8").count("\n| ") >= len(cells)


def test_later_layers_win(tmp_path: Path) -> None:
    recipe = read_recipe(
        write(
            tmp_path,
            fields={
                "steps": 1,
                "rounds": 1,
                "modules": 1,
                "width": 2,
                "task_set": {"x": 1, "y": 1},
            },
            axes={"model": {"a": {"modules": 3, "width": 6, "task_set": {"y": 3}}, "b": {}}},
            baseline={},
            scales={
                "smoke": {
                    "seeds": 1,
                    "fields": {"rounds": 2, "modules": 2, "width": 4},
                    "points": {"a": {"width": 8}},
                    "skip": [["b"]],
                }
            },
        )
    )
    (cell,) = recipe.cells("smoke")
    assert cell.fields == {
        "steps": 1,
        "rounds": 2,
        "modules": 3,
        "width": 8,
        "seed": 0,
        "task_set": {"x": 1, "y": 3},
    }
    assert cell.points == {"model": "a"} and cell.name == "a-s0"


def test_datasets_are_asked_for_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, fields={"data": "$photos"}, data={"photos": "a folder of photographs"})
    recipe = read_recipe(path)
    with pytest.raises(ConfigError, match=r"needs photos \(a folder of photographs\): --data pho"):
        recipe.cells("smoke")
    with pytest.raises(ConfigError, match="data: expected one of photos, got 'fotos'"):
        recipe.cells("smoke", data={"fotos": "x", "photos": "y"})
    assert {c.fields["data"] for c in recipe.cells("smoke", data={"photos": "/x"})} == {"/x"}
    after = {
        "few": {
            "command": ["fewshot", "{run}", "--seed", "{seed}"],
            "result": "f.json",
            "flags": {"small": ["--dataset", "$photos"]},
        }
    }
    recipe = read_recipe(write(tmp_path, after=after, data={"photos": "a folder of photographs"}))
    with pytest.raises(ConfigError, match=r"scale small needs photos \(a folder of photographs\)"):
        recipe.cells("small")
    for scale, tail in (("smoke", ()), ("small", ("--dataset", "/x"))):
        cells = recipe.cells(scale, data={"photos": "/x"})
        jobs = jobs_of(cells, recipe.after, tmp_path, scale, data={"photos": "/x"})
        assert [job.steps[1].argv[:-2] for job in jobs] == [
            ("fewshot", str(job.folder), "--seed", str(cell.seed), *tail)
            for job, cell in zip(jobs, cells, strict=True)
        ]
    with pytest.raises(ConfigError, match="scale: expected one of smoke, small, got 'smal'"):
        recipe.cells("smal")
    with pytest.raises(ConfigError, match="seeds: expected at least 1, got 0"):
        recipe.cells("smoke", 0, {"photos": "/x"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tilte": "x"}, "unknown key 'tilte' (nearest: title)"),
        ({"axes": {}}, "axes: expected, got none"),
        ({"axes": {"model": 3}}, "axes: model: expected a list of values or names with fie"),
        ({"axes": {"model": {"a": 3}}}, "axes: model: a: expected fields, got 3"),
        ({"axes": {"x": {"a": {}}, "y": {"a": {}}}, "baseline": {}}, "every point, got a twice"),
        ({"baseline": {"modle": "full"}}, "baseline: unknown axis 'modle' (nearest: model)"),
        ({"baseline": {"model": "ful"}}, "baseline: model: unknown point 'ful' (nearest: full)"),
        ({"sections": "bandwith"}, "sections: unknown axis 'bandwith' (nearest: bandwidth)"),
        ({"scales": {"smoke": {"seed": 1}}}, "scales: smoke: unknown key 'seed' (nearest: seeds)"),
        ({"scales": {"smoke": {"points": {"ful": {}}}}}, "scales: smoke: unknown point 'ful'"),
        ({"fields": {"data": "$x"}}, "data: expected a line on $x, which is used, got none"),
        ({"after": {"a": {"command": ["prune"], "result": "x"}}}, "after: a: expected a command"),
        ({"after": {"a": {"command": ["prune", "{run}"], "result": "x", "colums": {}}}},
         "after: a: unknown key 'colums' (nearest: columns)"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_recipe_is_said(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(ConfigError) as error:
        read_recipe(path)
    assert f"{path}: " in str(error.value) and message in str(error.value)


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


def test_paths_into_results(tmp_path: Path) -> None:
    data = {
        "runs": [{"mean": 0.5}],
        "series": [
            {"shots": 1, "adapt": "all", "mean": 0.1},
            {"shots": 4, "adapt": "all", "mean": 0.2},
            {"shots": 4, "adapt": "head", "mean": 0.3},
        ],
    }
    assert pick(data, "runs.0.mean") == [0.5]
    assert pick(data, "series[shots=4].mean") == [0.2, 0.3]
    assert pick(data, "series[shots=4,adapt=head].mean") == [0.3]
    for wrong in ("runs.1.mean", "series[shots=5].mean", "series[way=5]", "nothing"):
        with pytest.raises(ValueError, match="file.json: nothing at"):
            pick(data, wrong, "file.json")
    (tmp_path / "a.csv").write_text("keep,order,x\n0.5,degree,\n1,random,2\n", encoding="utf-8")
    rows = read_result(tmp_path / "a.csv")
    assert rows[0] == {"keep": 0.5, "order": "degree", "x": None}
    assert pick(rows, "[order=random].x") == [2.0]


def test_a_difference_is_shown_in_points() -> None:
    found = paired_difference([0.5, 0.6, 0.7], [0.4, 0.55, 0.66])
    assert difference(found) == "+6.3 (−1.7 to 14.3), p 0.076"
    assert difference(paired_difference([1.0], [0.5])) == "+50.0"
    assert difference(None) == ""
