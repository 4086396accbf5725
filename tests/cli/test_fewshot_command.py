"""``nacgraph fewshot``: the same episodes for both models, taken up where they were left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fewshot_tasks import CLASSES, flags
from matplotlib.figure import Figure

from nacgraph.cli.fewshot import main
from nacgraph.cli.train import main as train
from nacgraph.fewshot import jobs as working
from nacgraph.viz.fewshot import fewshot_figure

HELD_OUT = CLASSES[3:]
QUICK = [
    "--ways",
    "3",
    "--shots",
    "1,4",
    "--queries",
    "5",
    "--episodes",
    "3",
    "--steps",
    "3",
    "--threads",
    "1",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("runs")
    left_out = f"without_classes=[{','.join(HELD_OUT)}]"
    for name, more in (("nac", ()), ("perceiver_io", ("--model", "perceiver_io"))):
        assert train(flags(base / name, "--task_set", left_out, *more, steps=8)) == 0
    return base


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "fewshot.json").read_text())


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]


def test_both_models_get_the_same_episodes(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p: p.read_bytes() for p in runs.rglob("*") if p.is_file()}
    command = [
        str(runs / "nac"),
        "--baseline",
        str(runs / "perceiver_io"),
        *QUICK,
        "--out",
        str(tmp_path),
    ]
    assert main([*command, "--adapt", "head", "--adapt", "all"]) == 0
    printed = capsys.readouterr().out
    done, found = rows(tmp_path), result(tmp_path)
    assert len(done) == 2 * 2 * 3 * 2
    by_place: dict[tuple[int, int], set[tuple[Any, ...]]] = {}
    for row in done:
        same = row["digest"], tuple(row["classes"])
        by_place.setdefault((row["episode"], row["shots"]), set()).add(same)
        assert set(row["classes"]) <= set(HELD_OUT) and row["n"] == 15
    assert all(len(same) == 1 for same in by_place.values())
    assert {k: len(v) for k, v in found["digests"].items()} == {"1": 3, "4": 3}
    assert found["classes"] == list(HELD_OUT) and found["chance"] == pytest.approx(1 / 3)

    # Every mean is that of its rows.
    for point in found["series"]:
        mine = [
            row["accuracy"]
            for row in done
            if all(row[k] == point[k] for k in ("model", "adapt", "shots"))
        ]
        assert len(mine) == 3 and point["mean"] == pytest.approx(np.mean(mine))
        assert point["ci95"][0] <= point["mean"] <= point["ci95"][1]
    place = {(p["model"], p["adapt"], p["shots"]): p for p in found["series"]}
    for apart in found["differences"]:
        nac, other = (place[m, apart["adapt"], apart["shots"]] for m in ("nac", "perceiver_io"))
        assert apart["mean"] == pytest.approx(nac["mean"] - other["mean"])
        assert 0 < apart["p"] <= 1
    head = 3 * (16 + 1)
    assert place["nac", "head", 1]["parameters"] == head
    assert place["nac", "all", 1]["parameters"] > place["perceiver_io", "all", 1]["parameters"]

    for few in (1, 4):
        mean = place["nac", "all", few]["mean"]
        assert any(
            line.startswith(f"| all | {few} | {100 * mean:.1f} ±") for line in printed.splitlines()
        )
    assert (tmp_path / "figure4.svg").is_file() and (tmp_path / "figure4.png").is_file()
    assert before == {p: p.read_bytes() for p in runs.rglob("*") if p.is_file()}

    # A second call does nothing again; more episodes are added to what there is.
    monkeypatch.setattr(working, "adapt", None)
    assert main([*command, "--adapt", "head", "--adapt", "all"]) == 0
    assert capsys.readouterr().out == printed and result(tmp_path) == found
    monkeypatch.undo()
    assert main([*command, "--adapt", "head", "--episodes", "4"]) == 0
    assert len(rows(tmp_path)) == len(done) + 4 and rows(tmp_path)[: len(done)] == done
    capsys.readouterr()


def test_an_interrupted_call_is_taken_up(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [str(runs / "nac"), *QUICK, "--adapt", "codes,signatures", "--out"]
    assert main([*command, str(tmp_path / "whole")]) == 0
    printed = capsys.readouterr().out
    really, calls = working.adapt, []

    def interrupted(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return really(*given)

    monkeypatch.setattr(working, "adapt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main([*command, str(tmp_path / "parts")])
    assert len(rows(tmp_path / "parts")) == 3 and not (tmp_path / "parts/fewshot.json").exists()
    # A line cut short by a crash, and one that is nonsense, count for nothing.
    record = tmp_path / "parts" / "episodes.jsonl"
    lines = record.read_text().splitlines()
    impossible = json.dumps(json.loads(lines[1]) | {"right": 99})
    record.write_text(f"{lines[0]}\n{impossible}\nnot json\n[1]\n{lines[2][:50]}")
    assert main([*command, str(tmp_path / "parts")]) == 0
    assert len(calls) == 4 + 5  # one row of six was whole
    assert capsys.readouterr().out == printed
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


def test_other_settings_are_other_work(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(runs / "nac"), *QUICK, "--adapt", "head", "--out", str(tmp_path)]
    assert main(command) == 0
    for k, more in enumerate(
        (["--steps", "4"], ["--learning-rate", "0.1"], ["--seed", "1"]), start=2
    ):
        assert main([*command, *more]) == 0
        assert len(rows(tmp_path)) == 6 * k
    capsys.readouterr()


def test_no_step_is_chance(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(runs / "nac"), *QUICK, "--steps", "0", "--out", str(tmp_path)]) == 0
    assert {row["accuracy"] for row in rows(tmp_path)} == {1 / 3}
    assert "| all | 1 | 33.3 ± 0.0 |" in capsys.readouterr().out


def test_one_episode_has_no_interval(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(runs / "nac"), *QUICK, "--episodes", "1", "--out", str(tmp_path)]
    assert main(command) == 0
    point = result(tmp_path)["series"][0]
    assert point["ci95"] is None and point["sd"] is None and point["reason"]
    assert f"| {100 * point['mean']:.1f} |" in capsys.readouterr().out


def test_another_data_set_is_drawn_from(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "more.npz"
    np.savez(data, classes=np.array(["ant", "owl", "pig", "rat"]))
    command = [str(runs / "nac"), *QUICK, "--adapt", "head", "--out", str(tmp_path)]
    assert main([*command, "--dataset", str(data)]) == 0
    found = result(tmp_path)
    assert found["classes"] == ["owl", "pig", "rat"]  # the run knows an ant
    assert main([*command, "--dataset", "embedded", "--task-set", "each=40"]) == 0
    found = result(tmp_path)
    assert found["classes"] == list(HELD_OUT) and "256 train" in found["data"]
    assert main([*command, "--dataset", str(data), "--ways", "4"]) == 2
    assert "expected at least 4 classes" in capsys.readouterr().err
    assert main([*command, "--dataset", str(tmp_path / "none")]) == 2
    assert f"no file or folder {tmp_path / 'none'}" in capsys.readouterr().err


def test_classes_of_the_baseline_are_not_new_either(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    left_out = f"without_classes=[{','.join(HELD_OUT[1:])}]"
    assert train(flags(other, "--task_set", left_out, steps=2)) == 0
    command = [str(runs / "nac"), "--baseline", str(other), *QUICK, "--adapt", "head"]
    assert main([*command, "--out", str(tmp_path / "both")]) == 0
    found = result(tmp_path / "both")
    assert found["classes"] == list(HELD_OUT[1:])
    assert list(found["runs"]) == ["nac", "other"]  # one model: told apart by their folders
    capsys.readouterr()


def test_tasks_that_make_other_samples_are_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    left_out = f"without_classes=[{','.join(HELD_OUT)}]"
    assert train(flags(other, "--task_set", left_out, "scale=2", steps=2)) == 0
    assert main([str(runs / "nac"), "--baseline", str(other), *QUICK]) == 2
    assert "expected the same samples for both models, got others" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--ways", "1"], "ways: expected at least 2, got 1"),
        (["--ways", "6"], "expected at least 6 classes that pre-training has not seen, with 9 "
                          "samples each, got 5: of 8 classes of this data, 3 are"),
        (["--shots", "1,x"], "shots: expected whole numbers with commas between them, got '1,x'"),
        (["--shots", "0"], "shots: expected at least 1, got 0"),
        (["--shots", "26"], "expected at least 3 classes that pre-training has not seen, with 31 "),
        (["--queries", "0"], "queries: expected at least 1, got 0"),
        (["--episodes", "0"], "episodes: expected at least 1, got 0"),
        (["--steps", "-1"], "steps: expected at least 0, got -1"),
        (["--learning-rate", "nan"], "learning_rate: expected more than 0, got nan"),
        (["--adapt", "head,coeds"], "adapt: expected some of codes, signatures, head, all, got"),
        (["--task-set", "spread"], "task_set: expected KEY=VALUE, got 'spread'"),
        (["--task-set", "spread=[1"], "task_set: spread: expected a plain value, got '[1'"),
        (["--task-set", "spraed=1"], "task.spraed: expected one of"),
    ],
)  # fmt: skip
def test_clear_errors(
    runs: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main([str(runs / "nac"), *QUICK, *more]) == 2
    assert message in capsys.readouterr().err
    assert not (runs / "nac" / "fewshot").exists()


def test_wrong_runs_are_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nac = str(runs / "nac")
    assert main([nac, "--baseline", nac, *QUICK]) == 2
    assert "baseline: expected another run" in capsys.readouterr().err
    conditional = tmp_path / "conditional"
    assert train(flags(conditional, "--condition", "inputs", steps=2)) == 0
    assert main([str(conditional), *QUICK, "--adapt", "codes"]) == 2
    assert "expected head or all for a conditional circuit" in capsys.readouterr().err
    assert main([str(tmp_path), *QUICK]) == 2
    assert "expected a run folder" in capsys.readouterr().err


def point(model: str, shots: int, mean: float, **more: Any) -> dict[str, Any]:
    return {"model": model, "shots": shots, "mean": mean, "ci95": [mean - 0.1, mean + 0.1], **more}


def written(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_figure_has_a_line_with_intervals_for_each_series() -> None:
    few = (1, 2, 16)
    rows = [point("nac", n, 0.3 + k / 10) for k, n in enumerate(few)]
    rows += [point("perceiver_io", n, 0.3 + k / 20, baseline=True) for k, n in enumerate(few)]
    figure = fewshot_figure(rows[::-1], chance=0.125)
    axes = figure.axes[0]
    assert axes.get_xscale() == "log" and "chance" in written(figure)
    assert {"NAC", "Perceiver IO"} < set(written(figure))
    lines = {line.get_linestyle(): line for line in axes.lines if len(line.get_xdata()) == 3}
    np.testing.assert_allclose(lines["-"].get_ydata(), [30, 40, 50])
    np.testing.assert_allclose(lines["--"].get_ydata(), [30, 35, 40])
    np.testing.assert_allclose(lines["-"].get_xdata(), few, rtol=0.03)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "16"]
    bars = axes.containers
    assert len(bars) == 2 and all(len(bar.lines[2][0].get_segments()) == 3 for bar in bars)


def test_names_at_line_ends_do_not_touch() -> None:
    rows = [point(name, n, 0.5) for name in ("a", "b", "c") for n in (1, 2)]
    figure = fewshot_figure(rows)
    heights = sorted(text.xy[1] for text in figure.axes[0].texts)
    low, high = figure.axes[0].get_ylim()
    assert np.diff(heights).min() > 0.05 * (high - low)


def test_models_of_one_kind_go_by_their_own_names() -> None:
    rows = [point(name, 1, 0.5, kind="nac", adapt="all") for name in ("ring", "planted")]
    assert set(written(fewshot_figure(rows))) == {"ring", "planted"}
    several = [point("nac", 1, 0.5, kind="nac", adapt=a) for a in ("head", "all")]
    assert set(written(fewshot_figure(several))) == {"NAC, head", "NAC, all"}


def test_a_figure_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="rows: expected at least one, got none"):
        fewshot_figure([])
    with pytest.raises(ValueError, match=r"rows\[0\]: expected model, shots and mean, got no mean"):
        fewshot_figure([{"model": "nac", "shots": 1}])
    with pytest.raises(ValueError, match=r"rows\[0\]: expected shots of at least 1, got 0"):
        fewshot_figure([point("nac", 0, 0.5)])


def test_settings_of_torch_stay(runs: Path, tmp_path: Path) -> None:
    state = torch.get_rng_state()
    assert main([str(runs / "nac"), *QUICK, "--adapt", "head", "--out", str(tmp_path)]) == 0
    assert torch.equal(torch.get_rng_state(), state)
