"""``fewshot`` from Python: episodes of new classes for a run and its baseline."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fewshot_tasks import CLASSES, flags
from matplotlib.figure import Figure

from nacgraph.cli.train import main as train
from nacgraph.fewshot import Tuning, fewshot, jobs
from nacgraph.training.run import Run, load_run

QUICK = {"ways": 3, "shots": (4, 1), "queries": 5, "episodes": 2}
FAST = Tuning(steps=2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    base = tmp_path_factory.mktemp("runs")
    left_out = f"without_classes=[{','.join(CLASSES[3:])}]"
    for name, more in (("nac", ()), ("perceiver_io", ("--model", "perceiver_io"))):
        assert train(flags(base / name, "--task_set", left_out, *more, steps=4)) == 0
    return [load_run(base / name) for name in ("nac", "perceiver_io")]


def test_nothing_is_printed_or_written(runs: list[Run], capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(runs[0].path.parent.rglob("*"))
    told: list[str] = []
    found = fewshot(*runs, **QUICK, tuning=FAST, progress=lambda what, share: told.append(what))
    said = capsys.readouterr()
    assert said.out == said.err == "" and sorted(runs[0].path.parent.rglob("*")) == before
    assert told[0] == "nac, all: episode 1, 1 shots" and len(told) == 2 * 2 * 2
    assert found["classes"] == list(CLASSES[3:]) and found["baseline"] == "perceiver_io"
    assert len(found.rows) == 8 and found.short == ()
    for point in found["series"]:
        mine = [r["accuracy"] for r in found.rows
                if (r["model"], r["shots"]) == (point["model"], point["shots"])]  # fmt: skip
        assert point["mean"] == pytest.approx(np.mean(mine)) and len(mine) == 2
    assert isinstance(found.figure(), Figure)
    assert repr(found).startswith("| learns | shots | nac | perceiver_io | difference | p |")


def test_episodes_that_are_done_are_not_done_again(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = Tuning(adapt=("head", "all"), steps=1)
    found = fewshot(runs[0], **QUICK, tuning=tuning, out=tmp_path)
    assert json.loads((tmp_path / "fewshot.json").read_text()) == dict(found)
    monkeypatch.setattr(jobs, "adapt", None)
    again = fewshot(runs[0], **QUICK, tuning=tuning, out=tmp_path)
    assert dict(again) == dict(found)
    with pytest.raises(TypeError):  # another seed is other work
        fewshot(runs[0], **QUICK, tuning=tuning, out=tmp_path, seed=1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ways": 1}, "ways: expected at least 2, got 1"),
        ({"ways": 6}, "expected at least 6 classes that pre-training has not seen"),
        ({"shots": ()}, "shots: expected at least 1, got 0"),
        ({"queries": 0}, "queries: expected at least 1, got 0"),
        ({"episodes": 0}, "episodes: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"tuning": Tuning(steps=-1)}, "steps: expected at least 0, got -1"),
        ({"tuning": Tuning(batch_size=0)}, "batch_size: expected at least 1, got 0"),
        ({"tuning": Tuning(learning_rate=0.0)}, "learning_rate: expected more than 0, got 0.0"),
        ({"tuning": Tuning(("coeds",))}, "adapt: expected some of codes, signatures, head, all"),
        ({"tuning": Tuning(())}, "adapt: expected at least one setting, got none"),
    ],
)
def test_wrong_arguments_are_refused(
    runs: list[Run], tmp_path: Path, changed: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fewshot(runs[0], **{**QUICK, **changed}, out=tmp_path / "x")
    assert not (tmp_path / "x").exists()
    with pytest.raises(ValueError, match="baseline: expected another run"):
        fewshot(runs[0], runs[0], **QUICK)
