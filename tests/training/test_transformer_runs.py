"""Runs of models without a circuit: what every command makes of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fewshot_tasks import CLASSES, flags
from images_on_disk import untrained
from small_run import arguments, metrics, same

from nacgraph.cli.analyze import main as analyze
from nacgraph.cli.compare import main as compare
from nacgraph.cli.doctor import main as doctor
from nacgraph.cli.embed import main as embed
from nacgraph.cli.evaluate import main as evaluate
from nacgraph.cli.export import main as export
from nacgraph.cli.fewshot import main as fewshot
from nacgraph.cli.options import parse
from nacgraph.cli.prune import main as prune
from nacgraph.cli.renditions import main as renditions
from nacgraph.cli.train import main as train
from nacgraph.models.nac import NAC
from nacgraph.models.transformer import Transformer
from nacgraph.training.memory import estimate
from nacgraph.training.run import load_run
from nacgraph.training.scoring import score

MODELS = ("transformer", "linformer")
each = pytest.mark.parametrize("model", MODELS)
Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 steps of each; the linformer's weights are averaged."""
    base = tmp_path_factory.mktemp("runs")
    for model, ema in zip(MODELS, (0.0, 0.9), strict=True):
        made = arguments(
            base / "cache", "--out", str(base / model), model=model, ema=ema, linformer_tokens=7
        )
        assert train(made) == 0
    return base


@each
def test_a_run_leaves_out_what_it_has_not(runs: Path, model: str) -> None:
    folder = runs / model
    assert not (folder / "circuit.npz").exists() and not (folder / "frames").exists()
    summary = json.loads((folder / "summary.json").read_text())
    for name in ("prior_loss", "prior_floor", "mean_degree", "isolated"):
        assert summary[name] is None
    assert summary["model"] == model and summary["prior"] == "none" and summary["warnings"] == []
    rows = metrics(folder)
    assert len(rows) == 12
    assert all(row["loss"] and not row["mean_degree"] and not row["isolated"] for row in rows)
    run = load_run(folder)
    found, task = run.model, run.task
    assert isinstance(found, Transformer) and not found.training
    assert found.config.linformer_tokens == (7 if model == "linformer" else 0)
    assert summary["parameters"] == found.num_parameters()
    assert score(found, task, "test").accuracy == pytest.approx(summary["test_accuracy"])


def test_the_lines_of_a_run(tmp_path: Path, capsys: Said) -> None:
    made = arguments(tmp_path / "cache", "--out", str(tmp_path / "run"), model="linformer", steps=1)
    assert train([*made, "--prior=scale_free"]) == 0
    said = capsys.readouterr().out
    assert "note: model linformer has no circuit, so it has no prior: --prior none" in said
    assert "attention to up to 128 sums of all tokens, 2 rounds, width 8" in said
    assert "step 1/1" in said
    assert "note: model linformer has no modules, readouts, code_dim" in said
    lines = [line for line in said.splitlines() if not line.startswith("note: ")]
    for word in ("modules", "degree", "isolated", "floor"):
        assert word not in "\n".join(lines)


@each
def test_resuming_ends_as_the_unbroken_run(
    runs: Path, model: str, tmp_path: Path, capsys: Said
) -> None:
    folder = tmp_path / "again"
    shutil.copytree(runs / model, folder)
    (folder / "summary.json").unlink()
    for path in (folder / "checkpoints").glob("step_00000012.*"):
        path.unlink()
    assert train(["--resume", str(folder)]) == 0
    assert "resumed after step 9" in capsys.readouterr().out
    same(runs / model, folder)


def test_a_run_starts_from_another_of_its_kind(runs: Path, tmp_path: Path, capsys: Said) -> None:
    start = ["--start", str(runs / "transformer"), "--out", str(tmp_path / "new"), "--steps", "1"]
    assert train(start) == 0
    capsys.readouterr()
    start[3] = str(tmp_path / "other")
    assert train([*start, "--model", "nac"]) != 0
    assert "weights of another model" in capsys.readouterr().err


@each
def test_it_is_evaluated(runs: Path, model: str, capsys: Said) -> None:
    assert evaluate([str(runs / model)]) == 0
    wanted = json.loads((runs / model / "summary.json").read_text())
    assert json.loads(capsys.readouterr().out)["accuracy"] == wanted["test_accuracy"]


@each
def test_what_needs_a_circuit_says_so(runs: Path, model: str, tmp_path: Path, capsys: Said) -> None:
    run, out = str(runs / model), ["--out", str(tmp_path / "out")]
    for command, argv in (
        (analyze, [run, *out]),
        (prune, [run, "--keep", "0.5", *out]),
        (prune, [run, "--curve", *out]),
        (compare, [run, run, *out]),
        (embed, [run, *out]),
        (export, [run, *out]),
    ):
        assert command(argv) == 2
        said = capsys.readouterr()
        assert said.err == f"error: {run}: a run of model {model} has no circuit\n"
        assert not said.out and not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match=f"a run of model {model} has no circuit"):
        NAC.from_run(run)


def test_renditions_beside_a_circuit(tmp_path: Path, capsys: Said) -> None:
    folders = [untrained(tmp_path / m, task="images", model=m) for m in ("nac", *MODELS)]
    argv = ["--only", "invert", "--strengths", "3", "--limit", "20", "--threads", "1"]
    assert renditions([*map(str, folders), *argv, "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "renditions.json").read_text())
    assert [Path(run["run"]).name for run in result["runs"]] == ["nac", *MODELS]


def test_new_classes_from_a_few_samples(tmp_path: Path, capsys: Said) -> None:
    left_out = f"without_classes=[{','.join(CLASSES[3:])}]"
    for model in ("nac", "transformer"):
        made = flags(tmp_path / model, "--task_set", left_out, "--model", model, steps=8)
        assert train(made) == 0
    both = [str(tmp_path / "nac"), "--baseline", str(tmp_path / "transformer")]
    quick = [
        "--ways",
        "3",
        "--shots",
        "4",
        "--queries",
        "5",
        "--episodes",
        "2",
        "--steps",
        "20",
        "--threads",
        "1",
        "--out",
        str(tmp_path / "few"),
    ]
    assert fewshot([*both, *quick, "--adapt", "head", "--adapt", "all"]) == 0
    found = json.loads((tmp_path / "few" / "fewshot.json").read_text())
    learns = {(p["model"], p["adapt"]): p["parameters"] for p in found["series"]}
    model = load_run(tmp_path / "transformer").model
    old, new = 3 * (16 + 1), 3 * (16 + 1)  # heads of the three classes known and the three new
    assert learns["transformer", "head"] == new
    assert learns["transformer", "all"] == model.num_parameters() - old + new
    means = {(p["model"], p["adapt"]): p["mean"] for p in found["series"]}
    assert means["transformer", "all"] > 0.5  # a third would be chance
    capsys.readouterr()
    assert fewshot([*both, *quick, "--adapt", "codes"]) == 2
    said = capsys.readouterr().err
    assert "adapt: expected head or all for a model without a circuit, got codes" in said


def test_a_task_without_a_bound_has_no_linformer(tmp_path: Path, capsys: Said) -> None:
    assert train(flags(tmp_path / "run", "--model", "linformer")) == 2
    said = capsys.readouterr().err
    assert "max_tokens: expected the most tokens that a sample can have" in said
    assert not (tmp_path / "run").exists()


def test_a_circuit_that_is_asked_for_is_an_error(tmp_path: Path, capsys: Said) -> None:
    assert train(["--model=transformer", "--condition=inputs", "--out", str(tmp_path / "run")]) == 2
    wanted = "condition: expected auto or none for model transformer, which has no circuit"
    assert wanted in capsys.readouterr().err


@each
def test_the_doctor_knows_it(model: str, tmp_path: Path, capsys: Said) -> None:
    argv = arguments(tmp_path, model=model)
    assert doctor([*argv, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["run"]["modules"] is None and found["links"] == {}
    assert found["estimate"]["peak"] > 0 and "memory not estimated" not in str(found["notes"])
    assert doctor(argv) == 0
    said = capsys.readouterr().out
    run = next(line for line in said.splitlines() if line.startswith("run "))
    assert f"{model} on listops" in run and "modules" not in run and "sampler" not in said


def test_memory_grows_with_tokens_not_with_modules(tmp_path: Path) -> None:
    def tensors(**changed: object) -> int:
        config = parse(arguments(tmp_path, model="transformer", **changed)).config
        return estimate(config).phases["training"]["tensors"]

    plain = tensors(max_length=40)
    assert tensors(max_length=40, modules=2000) == plain
    assert 1.7 * plain < tensors(max_length=79) < 2.3 * plain  # not with their square


def test_every_setting_of_a_circuit_still_has_its_prior() -> None:
    assert parse(["--prior=scale_free"]).config.prior.name == "scale_free"
    for model in MODELS:
        found = parse([f"--model={model}", "--preset=small"])
        assert found.config.prior.name == "none" and len(found.notes) == 1
