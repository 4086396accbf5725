"""``prune_run`` and ``pruning_curve`` from Python."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import torch
from fewshot_tasks import flags
from matplotlib.figure import Figure

from nacgraph.analysis import prune_run, pruning_curve
from nacgraph.analysis.pruning import pruned, rank_modules
from nacgraph.cli.train import main as train
from nacgraph.models.pruning import prune, ranking
from nacgraph.training.run import Run, load_run
from nacgraph.training.scoring import score

QUICK = {"keeps": (0.5,), "seeds": 1, "repeats": 1, "samples": 16, "lesion_samples": 4}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    base = tmp_path_factory.mktemp("runs")
    for name, more in (("nac", ()), ("perceiver_io", ("--model", "perceiver_io"))):
        assert train(flags(base / name, *more, steps=4)) == 0
    return [load_run(base / name) for name in ("nac", "perceiver_io")]


def test_a_pruned_run_is_the_pruned_model(
    runs: list[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs[0]
    out = prune_run(run, keep=0.5, out=tmp_path / "small")
    said = capsys.readouterr()
    assert out == tmp_path / "small" and said.out == said.err == ""
    kept = ranking("degree", run.circuit.design().links(0.334)[0])[:3].sort().values
    made = pruned(out, run)
    assert made["kept"] == kept.tolist() and made["modules"] == 3
    small = load_run(out)
    for name, tensor in prune(run.circuit, kept).state_dict().items():
        assert torch.equal(small.model.state_dict()[name], tensor)
    assert made["val_accuracy"] == score(small.model, run.task, "val").accuracy
    assert run.circuit.config.modules == 6  # the run itself is as it was
    with pytest.raises(ValueError, match="out: expected a new or empty folder"):
        prune_run(run, keep=0.5, out=out)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"keep": 0.0}, r"keep: expected a share in \(0, 1\], got 0.0"),
        ({"order": "size"}, "order: expected one of degree, random, contribution, got 'size'"),
        ({"lesion_samples": -1}, "lesion_samples: expected at least 0, got -1"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
    ],
)
def test_wrong_arguments_leave_no_folder(
    runs: list[Run], tmp_path: Path, changed: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prune_run(runs[0], **{"keep": 0.5, "out": tmp_path / "x", **changed})
    assert not (tmp_path / "x").exists()


def test_a_random_order_follows_its_seed(runs: list[Run]) -> None:
    model, task = runs[0].circuit, runs[0].task
    one, again, other = (rank_modules(model, task, "random", seed=s) for s in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert sorted(one.tolist()) == list(range(6))


def test_a_curve_without_a_folder_writes_nothing(
    runs: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    run, baseline = runs
    before = sorted(run.path.parent.rglob("*"))
    told: list[str] = []
    found = pruning_curve(run, baseline, **QUICK, progress=lambda what, share: told.append(what))
    said = capsys.readouterr()
    assert said.out == said.err == "" and sorted(run.path.parent.rglob("*")) == before
    assert {(r["model"], r["order"], r["modules"]) for r in found["rows"]} == {
        *(("nac", order, n) for order in ("degree", "random", "contribution") for n in (6, 3)),
        *(("perceiver_io", "random", n) for n in (6, 3)),
    }
    assert "scoring: nac by degree, 3 modules" in told
    assert len(found.lines()) == 1 + 8 and isinstance(found.figure(), Figure)


def test_a_curve_is_taken_up_where_it_was_left(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("nacgraph.analysis.pruning_curve")
    calls: list[int] = []

    def interrupted(*given: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "score", interrupted)
    wanted = {**QUICK, "orders": ("degree", "random")}
    with pytest.raises(KeyboardInterrupt):
        pruning_curve(runs[0], **wanted, out=tmp_path)
    found = pruning_curve(runs[0], **wanted, out=tmp_path)
    assert len(calls) == 3 + 1  # the whole circuit is scored once for both orders
    whole = pruning_curve(runs[0], **wanted)
    assert [r["accuracy"] for r in found["rows"]] == [r["accuracy"] for r in whole["rows"]]
    monkeypatch.setattr(module, "score", None)
    pruning_curve(runs[0], **wanted, out=tmp_path)
    with pytest.raises(TypeError):  # other settings: what is there does not count
        pruning_curve(runs[0], **{**wanted, "samples": 17}, out=tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"keeps": (0.5, 2)}, r"keep: expected a share in \(0, 1\], got 2"),
        ({"orders": ("degree", "size")}, "orders: expected some of degree, .*, got size"),
        ({"orders": ()}, "orders: expected some of degree, .*, got none"),
        ({"seeds": 0}, "seeds: expected at least 1, got 0"),
        ({"repeats": 0}, "repeats: expected at least 1, got 0"),
        ({"samples": 0}, "samples: expected at least 1, got 0"),
    ],
)
def test_wrong_arguments_of_a_curve(
    runs: list[Run], tmp_path: Path, changed: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pruning_curve(runs[0], **{**QUICK, **changed}, out=tmp_path / "x")
    with pytest.raises(ValueError, match="baseline: expected a run of another model, got nac too"):
        pruning_curve(runs[0], runs[0], out=tmp_path / "x")
    assert not (tmp_path / "x").exists()
