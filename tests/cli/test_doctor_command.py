"""``nacgraph doctor``: what it prints, that it writes nothing, and what it warns of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_run import arguments, environment

from nacgraph.cli.doctor import main
from nacgraph.cli.options import parse
from nacgraph.training import doctor
from nacgraph.training.config import RunConfig, make_config
from nacgraph.training.doctor import examine, lines, warnings


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    cache = tmp_path_factory.mktemp("cache")
    return examine(parse(arguments(cache, prior="erdos_renyi")).config)


def test_it_says_what_there_is(found: dict[str, Any]) -> None:
    said = "\n".join(lines(found))
    for text in (
        "python 3.",
        "torch_scatter",
        "numba",
        "graspologic",
        "cores",
        "OMP_NUM_THREADS",
        "free",
        "writable",
        "processors:",
        "read-outs:",
        "auto takes",
        "concrete",
        "graphs shared",
        "at its peak",
        "tensors",
        "heap waste",
        "under erdos_renyi",
    ):
        assert text in said, text
    assert found["estimate"]["peak"] == max(
        sum(parts.values()) for parts in found["estimate"]["phases"].values()
    )


def test_json_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments(tmp_path / "cache"), "--json", "--modules=7"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert read["run"]["modules"] == 7
    assert read["versions"]["torch"] and read["estimate"]["phases"]["training"]["weights"] > 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_and_little_needs_to_be_installed(tmp_path: Path) -> None:
    # As where torch_scatter, graspologic and matplotlib cannot be imported.
    code = (
        "import sys\n"
        "for name in ('torch_scatter', 'graspologic', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "from nacgraph.cli.doctor import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    child = subprocess.run(
        [sys.executable, "-c", code, *arguments(home / "data")],
        cwd=home,
        text=True,
        env={**environment(), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
        capture_output=True,
    )
    assert child.returncode == 0, child.stderr
    assert "torch_geometric works with torch: scatter_add" in child.stdout
    assert "at its peak" in child.stdout
    assert list(home.iterdir()) == []


def test_wrong_options_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--widht=3"]) == 2
    assert "unknown flag 'widht' (nearest: width)" in capsys.readouterr().err
    assert main(["--modules=0", "--prior=scale_fre"]) == 2
    assert "modules: expected a whole number >= 1, got 0" in capsys.readouterr().err
    assert main(["--prior=scale_fre"]) == 2
    assert "scale_free" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "usage: nacgraph doctor" in capsys.readouterr().out


def test_an_estimate_that_fails_is_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(config: RunConfig) -> None:
        raise RuntimeError("this task has no inputs")

    monkeypatch.setattr("nacgraph.training.memory.estimate", fails)
    report = examine(parse(arguments(tmp_path)).config)
    assert report["estimate"] is None
    assert "not estimated: RuntimeError: this task has no inputs" in "\n".join(lines(report))


def plain(found: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """The report of a machine on which nothing is to be warned of, but for what is changed."""
    return {
        **found,
        "cpu": {"model": "x", "cores": 8, "vectors": "AVX2", "bf16": ["avx512_bf16"]},
        "threads": {"torch": 1, "OMP_NUM_THREADS": None},
        "memory": {"total": 2**40, "free": 2**40},
        "kernels": {"/here": {"writable": True, "files": 0}},
        "scatter": "torch_scatter",
        "accelerator": None,
        **changed,
    }


def test_warnings(found: dict[str, Any]) -> None:
    config = RunConfig()
    assert warnings(config, plain(found)) == []

    def told(text: str, config: RunConfig = config, **changed: Any) -> bool:
        said = warnings(config, plain(found, **changed))
        return len(said) == 1 and text in said[0]

    assert told("OMP_NUM_THREADS is 64", threads={"torch": 1, "OMP_NUM_THREADS": "64"})
    assert told("8 cores", make_config(modules=512), threads={"torch": 9, "OMP_NUM_THREADS": None})
    assert told("gain little", threads={"torch": 2, "OMP_NUM_THREADS": None})
    assert told("may take", memory={"total": 2**30, "free": 2**20})
    assert told("matrices of 2048 x 2048", make_config(modules=2048))
    assert warnings(make_config(modules=2048, prior="none"), plain(found)) == []
    cpu = {"model": "x", "cores": 8, "vectors": "AVX2", "bf16": []}
    assert told("no bf16 instructions", RunConfig(precision="bf16-mixed"), cpu=cpu)
    assert told("NUMBA_CACHE_DIR", kernels={"/there": {"writable": False, "files": 0}})
    versions = {**found["versions"], "torch_scatter": "2.1.2"}
    assert told("does not load", versions=versions, scatter="torch: index_add")


def test_sizes() -> None:
    assert [doctor._size(n) for n in (None, 2**20, 3 * 2**30)] == ["unknown", "1 MiB", "3.00 GiB"]
