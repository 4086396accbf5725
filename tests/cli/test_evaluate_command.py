"""``nacgraph evaluate RUN``: JSON of a trained circuit, on its own data or on a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_run import arguments

from nacgraph.cli.evaluate import main
from nacgraph.cli.train import main as train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("runs")
    assert train(arguments(base / "cache", "--out", str(base / "run"), steps=6)) == 0
    return base / "run"


def write_tsv(path: Path, rows: list[tuple[str, int]]) -> Path:
    lines = ["Source\tTarget", *(f"{source}\t{target}" for source, target in rows)]
    path.write_bytes("\r\n".join(lines).encode() + b"\r\n")
    return path


def test_repeats_the_test_accuracy(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "result.json"
    assert main([str(run), "--out", str(out), "--batch-size", "5"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads(out.read_text())
    summary = json.loads((run / "summary.json").read_text())
    assert result["n"] == 43
    assert result["accuracy"] == summary["test_accuracy"]
    assert result["majority_accuracy"] == summary["majority_accuracy"]
    assert result["ci95"] == summary["ci95"]
    assert {"root_operator_accuracy", "data"} <= set(result)
    assert main([str(run), "--split", "val"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n"] == 41 and found["accuracy"] == summary["val_accuracy"]


def test_accuracy_by_tag_adds_up(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), "--by", "root", "--by", "arguments"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["by"]["root"]) <= {"MIN", "MAX", "MED", "SM"}
    assert list(result["by"]["arguments"]) == sorted(result["by"]["arguments"], key=int)
    for groups in result["by"].values():
        assert sum(group["n"] for group in groups.values()) == result["n"]
        right = sum(group["n"] * group["accuracy"] for group in groups.values())
        assert right == pytest.approx(result["n"] * result["accuracy"])
        assert all(g["ci95"][0] <= g["accuracy"] <= g["ci95"][1] for g in groups.values())
    assert main([str(run), "--by", "roots"]) == 2
    wanted = "by: expected one of root, length, depth, arguments for task listops, got 'roots'"
    assert wanted in capsys.readouterr().err


@pytest.mark.parametrize("n", [1, 37])
def test_a_file_of_any_size(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], n: int
) -> None:
    rows = [("( ( ( [MAX 4 ) 3 ) ] )", 4), ("( ( ( [MIN 4 ) 3 ) ] )", 3)]
    file = write_tsv(tmp_path / "some.tsv", [rows[k % 2] for k in range(n)])
    assert main([str(run), "--data", str(file)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["n"] == n and result["data"] == str(file)
    assert 0 <= result["ci95"][0] <= result["accuracy"] <= result["ci95"][1] <= 1
    assert result["majority_accuracy"] == pytest.approx((n + 1) // 2 / n)


def test_clear_errors(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*argv: str) -> str:
        assert main(list(argv)) == 2
        return capsys.readouterr().err

    assert "expected a run folder" in said(str(tmp_path))
    assert "gone.tsv" in said(str(run), "--data", str(tmp_path / "gone.tsv"))
    long = write_tsv(tmp_path / "long.tsv", [("[MAX " + "1 " * 50 + "]", 1)])
    assert "19" in said(str(run), "--data", str(long))
    wrong = write_tsv(tmp_path / "wrong.tsv", [("[MAX 2 9 ]", 9), ("[MAX 2 9 ]", 3)])
    assert f"{wrong}, line 3: expected the value 9 as Target" in said(
        str(run), "--data", str(wrong)
    )
    cut = write_tsv(tmp_path / "cut.tsv", [("[MAX 2 9 ]", 9), ("[MAX 2 9", 9)])
    assert f"{cut}, line 3: expected one list" in said(str(run), "--data", str(cut))
    assert "batch-size" in said(str(run), "--batch-size", "0")


def test_without_the_best_checkpoint_the_newest_serves(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    for path in (copy / "checkpoints").glob("best_*"):
        path.write_bytes(path.read_bytes()[:-1])
    assert main([str(copy)]) == 0
    found = capsys.readouterr()
    assert "damaged" in found.err
    assert json.loads(found.out)["checkpoint"] == "step_00000006.json"
    for path in (copy / "checkpoints").iterdir():
        path.unlink()
    assert main([str(copy)]) == 2
    assert "no valid checkpoint" in capsys.readouterr().err
