"""``nacgraph analyze``: one folder of numbers, graph and pictures that agree with one another."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from small_run import arguments

from nacgraph.cli.analyze import main
from nacgraph.cli.prune import main as prune
from nacgraph.cli.train import main as train
from nacgraph.training.run import load_run

QUICK = ("--nulls", "2", "--draws", "2", "--seeds", "2", "--samples", "16", "--lesion-samples", "8")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("runs")
    for name, more in (("nac", ()), ("perceiver_io", ("--model", "perceiver_io"))):
        flags = arguments(
            base / "cache", "--out", str(base / name), *more, steps=6, prior="ring_of_cliques"
        )
        assert train(flags) == 0
    return base


@pytest.fixture(scope="module")
def analysis(runs: Path) -> Path:
    out = runs / "analysis"
    assert main([str(runs / "nac"), "--out", str(out), "--html", *QUICK]) == 0
    return out


def read(out: Path) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads((out / "stats.json").read_text("utf-8"), parse_constant=refuse)


def undefined(found: Any, where: str = "") -> list[str]:
    """Every statistic that is null without a reason."""
    if isinstance(found, dict):
        if "value" in found and found["value"] is None and not found.get("reason"):
            return [where]
        return [x for k, v in found.items() for x in undefined(v, f"{where}/{k}")]
    return []


def test_the_numbers_are_those_of_the_circuit(runs: Path, analysis: Path) -> None:
    stats = read(analysis)
    with np.load(runs / "nac" / "circuit.npz") as arrays:
        link = arrays["link_probabilities"].astype(float)
        outward = arrays["readout_link_probabilities"].astype(float)
    expected = link.sum(1) - 1
    degree = [row["degree"] for row in stats["modules"]]
    np.testing.assert_allclose(degree, expected, atol=1e-5)
    assert stats["views"]["probability"]["mean_degree"]["value"] == pytest.approx(
        expected.mean(), abs=1e-5
    )
    strong = (link > 0.5) & ~np.eye(6, dtype=bool)
    assert stats["views"]["threshold"]["links"]["value"] == strong.sum() // 2
    assert [row["degree_threshold"] for row in stats["modules"]] == strong.sum(1).tolist()
    assert [row["module"] for row in stats["modules"]] == list(range(6))
    np.testing.assert_allclose(
        [row["degree"] for row in stats["readouts"]], outward.sum(1), atol=1e-5
    )
    assert sum(row["confidence"] for row in stats["readouts"]) == pytest.approx(1)
    summary = json.loads((runs / "nac" / "summary.json").read_text())
    assert stats["summary"] == summary
    matched = stats["priors"]["ring_of_cliques"]["matched"]["value"]
    assert matched == pytest.approx(summary["prior_loss"], abs=1e-4)
    # Those of plugins that other tests of this process ran are there too.
    assert set(stats["priors"]) >= {
        "erdos_renyi",
        "planted_partition",
        "ring_of_cliques",
        "scale_free",
        "watts_strogatz",
    }


def test_whatever_is_null_says_why(analysis: Path) -> None:
    stats = read(analysis)
    assert not undefined({k: stats[k] for k in ("views", "communities", "priors")})


def test_the_graph_is_readable_elsewhere(analysis: Path) -> None:
    graph = nx.read_graphml(analysis / "circuit.graphml")
    stats = read(analysis)
    assert len(graph) == 6 + 2
    kinds = [graph.nodes[str(node)]["kind"] for node in range(8)]
    assert kinds == ["processor"] * 6 + ["readout"] * 2
    for row in stats["modules"]:
        node = graph.nodes[str(row["module"])]
        assert node["degree"] == row["degree"] and node["role"] == row["role"]
    strong = sum(row["degree_threshold"] for row in stats["modules"])
    among = [edge for edge in graph.edges if max(map(int, edge)) < 6]
    assert len(among) == strong


def test_the_report_stands_alone(analysis: Path) -> None:
    report = (analysis / "report.html").read_text("utf-8")
    for title in ("The circuit", "P beside its prior", "Training", "What modules do"):
        assert title in report
    # Whatever it refers to, it brings along.
    assert not re.findall(r"""\b(?:src|href)\s*=\s*["'](?!data:|#)[^"']*""", report)
    pictures = {path.stem for path in (analysis / "figures").glob("*.png")}
    assert pictures == {path.stem for path in (analysis / "figures").glob("*.svg")}
    assert {"circuit", "prior", "degrees", "training", "frames", "modules"} <= pictures


def test_the_same_run_gives_the_same_numbers(runs: Path, analysis: Path, tmp_path: Path) -> None:
    assert main([str(runs / "nac"), "--out", str(tmp_path), *QUICK]) == 0
    again = read(tmp_path)
    assert again == read(analysis)
    assert not (tmp_path / "report.html").exists()


def test_a_complete_graph_has_its_own_reasons(runs: Path, tmp_path: Path) -> None:
    assert main([str(runs / "perceiver_io"), "--out", str(tmp_path), "--html", *QUICK]) == 0
    stats = read(tmp_path)
    assert stats["views"]["threshold"]["density"]["value"] == 1
    assert stats["views"]["threshold"]["clustering"]["z"] is None
    assert stats["views"]["threshold"]["assortativity"]["value"] is None
    assert all(row["matched"]["value"] is None for row in stats["priors"].values())
    assert not undefined({k: stats[k] for k in ("views", "priors")})


def test_a_pruned_run_is_analysed_like_any_other(runs: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    assert prune([str(runs / "nac"), "--keep", "0.34", "--out", str(small)]) == 0
    assert main([str(small), "--html", "--samples", "0"]) == 0
    stats = read(small / "analysis")
    assert len(stats["modules"]) == 2 and stats["probe"] is None
    assert "what modules do was not measured (--samples 0)" in stats["notes"]
    assert load_run(small).circuit.config.modules == 2


def test_clear_errors(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "expected a run folder" in capsys.readouterr().err
    assert main([str(runs / "nac"), "--nulls", "0"]) == 2
    assert "nulls: expected a whole number >= 1, got 0" in capsys.readouterr().err
    copy = shutil.copytree(runs / "nac", tmp_path / "copy")
    (copy / "metrics.csv").write_text("step,loss\n1,x\n")
    (copy / "frames" / "step_00000003.npz").write_bytes(b"no frame")
    assert main([str(copy), "--html", *QUICK]) == 0  # pictures that cannot be made are named
    assert "not drawn: Training" in (copy / "analysis" / "report.html").read_text("utf-8")


def test_the_page_on_circuits_shows_code_that_runs(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "circuits.md").read_text("utf-8")
    first, second = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "RUN").symlink_to(runs / "nac", target_is_directory=True)
    names: dict[str, Any] = {}
    exec(compile(first, "circuits.md", "exec"), names)
    assert set(names["stats"]["views"]) == {"probability", "threshold", "sampled"}
    assert (tmp_path / "circuit.png").stat().st_size > 1000
    exec(compile(second, "circuits.md", "exec"), names)
    assert names["data"].num_nodes == names["graph"].number_of_nodes() == 6 + 2
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
