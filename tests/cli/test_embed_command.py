"""``nacgraph embed``: Figure 6 of a conditional run, with the numbers that go with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fewshot_tasks import flags

from nacgraph.analysis.populations import embed_circuits
from nacgraph.analysis.populations.embedding import examples
from nacgraph.cli.embed import main
from nacgraph.cli.train import main as train

QUICK = [
    "--split",
    "val",
    "--samples",
    "24",
    "--perplexities",
    "5,8",
    "--permutations",
    "19",
    "--drawn",
    "2",
    "--threads",
    "1",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("runs")
    for name, more in (("inputs", ("--condition", "inputs")), ("plain", ())):
        assert train(flags(base / name, *more, steps=4)) == 0
    return base


def test_circuits_are_measured_placed_and_drawn(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.read_bytes() for p in runs.rglob("*") if p.is_file()}
    command = [str(runs / "inputs"), *QUICK, "--color", "colour"]
    assert main([*command, "--out", str(tmp_path / "one")]) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    whole = json.loads((tmp_path / "one" / "embed.json").read_text())
    assert {k: whole[k] for k in result} == result and set(whole) - set(result) == {"points"}
    assert result["samples"] == result["circuits"] == 24 and result["color"] == "colour"
    for which in ("trained", "untrained"):
        assert set(result[which]["tags"]) == {"label", "colour"}
        found = result[which]["tags"]["colour"]
        assert sum(found["counts"].values()) == 24 and found["majority"] >= 1 / 3
        assert 1 / 20 <= found["silhouette"]["p"] <= 1
    assert result["trained"]["tags"] != result["untrained"]["tags"]
    assert len(whole["points"]) == 24
    for point in whole["points"]:
        assert point["colour"] in ("red", "green", "blue") and len(point["tsne_5"]) == 2
    for name in ("figure6", "circuits"):
        assert (tmp_path / "one" / f"{name}.svg").read_text().startswith("<?xml")
        assert (tmp_path / "one" / f"{name}.png").stat().st_size > 5000
    assert "colour" in said.err and "untrained" in said.err
    assert before == {p: p.read_bytes() for p in runs.rglob("*") if p.is_file()}

    # Again, the same to the last byte.
    assert main([*command, "--out", str(tmp_path / "two")]) == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    capsys.readouterr()


def test_points_are_those_of_the_circuits(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nacgraph.analysis.populations import gather
    from nacgraph.training.run import load_run

    assert main([str(runs / "inputs"), *QUICK, "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    points = json.loads((tmp_path / "embed.json").read_text())["points"]
    run = load_run(runs / "inputs")
    model, task = run.circuit, run.task
    found = gather(model, task, "val", 24)
    assert [point["row"] for point in points] == found.rows.tolist()
    wanted = embed_circuits(found.links, 8.0, 0)
    np.testing.assert_allclose([p["tsne_8"] for p in points], wanted, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--color", "skill"], "color: expected one of label, colour, got 'skill'"),
        (["--perplexities", "5,24"], "expected less than the 24 different circuits, got 24"),
        (["--perplexities", "5,x"], "perplexities: expected numbers above 0 with commas"),
        (["--samples", "3"], "samples: expected at least 4, got 3"),
        (["--permutations", "0"], "permutations: expected at least 1, got 0"),
        (["--drawn", "0"], "drawn: expected at least 1, got 0"),
    ],
)
def test_clear_errors(
    runs: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main([str(runs / "inputs"), *QUICK, *more]) == 2
    assert message in capsys.readouterr().err
    assert not (runs / "inputs" / "embedding").exists()


def test_a_run_that_is_not_conditional_is_told_what_to_do(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(runs / "plain"), *QUICK]) == 2
    error = capsys.readouterr().err
    assert "expected a conditional circuit" in error and "train --condition inputs" in error
    assert main([str(runs), *QUICK]) == 2
    assert "expected a run folder" in capsys.readouterr().err


def test_examples_are_the_first_of_the_commonest_words() -> None:
    assert examples(["b", "a", "b", "b", "a", "c"], 2) == [1, 4, 0, 2, 5]
    assert len(examples([str(k) for k in range(20)], 3)) == 6
