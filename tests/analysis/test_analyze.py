"""``analyze`` from Python: numbers, pictures by name, files; and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from small_run import ROOT, arguments, environment

from nacgraph.analysis import Analysis, analyze
from nacgraph.analysis.analyze import graph_statistics
from nacgraph.cli.train import main as train
from nacgraph.training.run import Run, load_run

QUICK = {"nulls": 2, "draws": 2, "seeds": 2, "samples": 16, "lesion_samples": 8}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    base = tmp_path_factory.mktemp("runs")
    flags = arguments(
        *(base / "cache", "--out", str(base / "nac")),
        steps=6,
        validate_every=3,
        prior="ring_of_cliques",
    )
    assert train(flags) == 0
    return load_run(base / "nac")


@pytest.fixture(scope="module")
def found(run: Run) -> Analysis:
    return analyze(run, **QUICK)


def test_nothing_is_printed_or_written(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(run.path.rglob("*"))
    told: list[tuple[str, float]] = []
    analyze(run, **QUICK, progress=lambda what, share: told.append((what, share)))
    said = capsys.readouterr()
    assert said.out == said.err == "" and sorted(run.path.rglob("*")) == before
    assert told and all(0 <= share <= 1 for _, share in told)


def test_tables_agree_with_the_numbers(found: Analysis) -> None:
    assert [row["module"] for row in found.modules] == list(range(6))
    np.testing.assert_allclose(
        [row["degree"] for row in found.modules], found.link.sum(1) - 1, atol=1e-12
    )
    labels = found.stats["communities"]["labels"]
    assert [row["community"] for row in found.modules] == labels
    assert len(found.readouts) == 2 and found.probe is not None
    assert found.modules[0]["loss_gained"] == found.probe.loss_gained[0]
    graph = found.to_networkx()
    assert len(graph) == 8 and graph.nodes[0]["degree"] == found.modules[0]["degree"]
    assert graph.nodes[7]["kind"] == "readout"


def test_saving_writes_the_numbers_and_the_graph(found: Analysis, tmp_path: Path) -> None:
    out = found.save(tmp_path / "deep" / "er")
    assert sorted(p.name for p in out.iterdir()) == ["circuit.graphml", "stats.json"]
    assert json.loads((out / "stats.json").read_text("utf-8")) == json.loads(
        json.dumps(found.stats)
    )
    assert len(nx.read_graphml(out / "circuit.graphml")) == 8


def test_pictures_go_by_name(found: Analysis) -> None:
    assert found.figures[:3] == ("circuit", "prior", "degrees")
    assert {"training", "frames", "modules"} <= set(found.figures)
    assert "embedding" not in found.figures  # two frames make no path
    assert all(isinstance(found.figure(name), Figure) for name in found.figures)
    with pytest.raises(ValueError, match="figure: expected one of circuit, prior, .* got 'graph'"):
        found.figure("graph")


def test_a_report_is_one_page(found: Analysis, tmp_path: Path) -> None:
    page = found.report(tmp_path / "new" / "x.html")
    assert list(page.parent.iterdir()) == [page]
    text = page.read_text("utf-8")
    assert "The circuit" in text and f"nacgraph prune {found.run.path} --curve" in text
    shown = found._repr_html_()
    assert "<svg" in shown and "6 processors, 2 read-outs" in shown
    assert "6 modules" in repr(found)


def test_without_samples_there_is_no_probe(run: Run) -> None:
    found = analyze(run, **{**QUICK, "samples": 0})
    assert found.probe is None and "modules" not in found.figures
    assert set(found.modules[0]) == {
        *("module", "degree", "degree_threshold", "clustering", "core", "community")
    }


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"nulls": 0}, "nulls: expected a whole number >= 1, got 0"),
        ({"draws": 0}, "draws: expected a whole number >= 1, got 0"),
        ({"seeds": 0}, "seeds: expected a whole number >= 1, got 0"),
        ({"seed": -1}, "seed: expected a whole number >= 0, got -1"),
        ({"samples": -1}, "samples: expected a whole number >= 0, got -1"),
        ({"lesion_samples": -1}, "lesion_samples: expected a whole number >= 0, got -1"),
    ],
)
def test_numbers_out_of_range_are_refused(run: Run, changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        analyze(run, **{**QUICK, **changed})


def test_a_second_process_changes_no_number(
    run: Run, found: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["nacgraph.analysis.analyze"]
    calls = []
    really: Callable[..., object] = module._in_a_process
    monkeypatch.setattr(module, "MANY", 2)
    monkeypatch.setattr(module, "_in_a_process", lambda work: calls.append(1) or really(work))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        stats = analyze(run, **QUICK, workers=2).stats
        for name in ("views", "communities", "block_models"):
            assert stats[name] == found.stats[name]
        # That process runs the plugins that ran here, also those whose priors a test took back.
        assert stats["priors"].items() >= found.stats["priors"].items()
        assert torch.get_num_threads() == 2 and calls
    finally:
        torch.set_num_threads(threads)


def test_a_graph_needs_no_run() -> None:
    link = np.full((6, 6), 0.8)
    np.fill_diagonal(link, 1.0)
    stats = graph_statistics(link, (0.334, 8), nulls=1, draws=1, seeds=1)
    assert stats["views"]["threshold"]["density"]["value"] == 1
    assert stats["priors"]["ring_of_cliques"]["matched"]["value"] > 0


def test_importing_the_analyses_is_light() -> None:
    code = (
        "import sys, torch, torch_geometric\n"
        "before = set(sys.modules)\n"  # PyG imports Numba where torch-scatter is there
        "import nacgraph.analysis, nacgraph.fewshot\n"
        "heavy = {'matplotlib', 'graspologic', 'numba', 'sklearn', 'pytorch_lightning'}\n"
        "print(*heavy & {name.split('.')[0] for name in set(sys.modules) - before})"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == ""


def test_a_run_has_methods_for_its_analyses(run: Run, tmp_path: Path) -> None:
    assert run.analyze(**{**QUICK, "samples": 0}).modules[0]["module"] == 0
    small = run.prune(0.5, out=tmp_path / "small")
    assert small.circuit.config.modules == 3
    found = run.compare(small, nulls=0)
    assert found["modules"] == [6, 3]
    assert run.compare(run.link, nulls=0)["matched_distance"]["value"] < 1e-10
