"""``nacgraph train`` as a user meets it: doors, first lines, folders, errors."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_run import arguments, environment, forget_plugins

from nacgraph.__main__ import COMMANDS
from nacgraph.__main__ import main as nacgraph
from nacgraph.cli.train import main
from nacgraph.utils.progress import Progress, clock

ROW = {
    "step": 5, "loss": 2.0, "prior_loss": 0.03, "mean_degree": 4.2, "isolated": 1.0,
    "samples_per_second": 310.0, "length": 40, "val_accuracy": 0.41,
}  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_all_doors_are_the_same(tmp_path: Path) -> None:
    # A wrong flag shows that each door reaches the command, without the time of a run.
    code = (
        "import runpy, sys\n"
        "for argv in (['nacgraph.train'], ['nacgraph', 'train']):\n"
        "    sys.argv = [*argv, '--widht=3']\n"
        "    sys.modules.pop('nacgraph.__main__', None)\n"
        "    try: runpy.run_module(argv[0], run_name='__main__')\n"
        "    except SystemExit as end: print(end.code)\n"
        "for door in ('evaluate', 'prior'):\n"
        "    sys.argv = [door, '--help']\n"
        "    sys.modules.pop('nacgraph.__main__', None)\n"
        "    try: runpy.run_module('nacgraph.' + door, run_name='__main__')\n"
        "    except SystemExit as end: print(end.code)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        text=True,
        capture_output=True,
    )
    assert child.stderr.splitlines() == ["error: unknown flag 'widht' (nearest: width)"] * 2
    codes = [line for line in child.stdout.splitlines() if line.isdigit()]
    assert codes == ["2", "2", "0", "0"]
    assert "usage: nacgraph evaluate" in child.stdout
    assert list(tmp_path.iterdir()) == []


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert nacgraph(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in COMMANDS)
    assert nacgraph([]) == 2
    assert nacgraph(["trian"]) == 2
    assert "'trian' (nearest: train)" in capsys.readouterr().err
    assert nacgraph(["--version"]) == 0


def test_a_reader_that_leaves_early_is_no_fault(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        child = subprocess.run(
            [sys.executable, "-m", "nacgraph", "prior", "list"],
            cwd=tmp_path,
            env=environment(),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(writer)
    assert (child.returncode, child.stderr) == (141, "")


def test_first_and_last_lines(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = arguments(cache, steps=2, prior="erdos_renyi")
    assert main(flags) == 0
    said = capsys.readouterr()
    for text in (
        "preset tiny",
        "seed 0",
        "ListOps",
        "parameters",
        "majority",
        "root operator",
        "reachable floor",
        "1 threads",
        "runs/listops-erdos_renyi-nac-tiny-s0",
        "next       nacgraph evaluate runs/",
    ):
        assert text in said.out
    assert "Trainer" not in said.out + said.err and "GPU" not in said.out + said.err
    assert main(flags) == 0  # a second run gets a folder of its own
    assert (tmp_path / "runs" / "listops-erdos_renyi-nac-tiny-s0-2" / "summary.json").exists()
    assert main([*flags, "--resume=auto"]) == 0
    assert "s0-2 is complete" in capsys.readouterr().out


def test_a_folder_in_use_is_an_error(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    for more in ([], ["--resume=auto"]):
        assert main(arguments(cache, "--out", str(tmp_path), *more)) == 2
        assert str(tmp_path) in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    assert main(["--resume", str(tmp_path)]) == 2
    assert "expected a run folder" in capsys.readouterr().err


def test_unknown_parts_are_named_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["--task=listop", "--prior=scale_fre", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "listops" in said and "scale_free" in said and not out.exists()
    assert main(["--prior=erdos_renyi", "--prior-set", "q=1", "--out", str(out)]) == 2
    assert "expected parameters among" in capsys.readouterr().err


def test_a_plugin_prior_trains(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "import torch\n"
        "from nacgraph.priors import GraphPrior, register_prior\n"
        "@register_prior('half_of_mine')\n"
        "@dataclass(frozen=True)\n"
        "class Half(GraphPrior):\n"
        "    p: float = 0.5\n"
        "    def edge_probabilities(self, n):\n"
        "        return torch.full((n, n), self.p).double().fill_diagonal_(1)\n"
    )
    out = tmp_path / "run"
    flags = arguments(
        cache,
        "--plugin",
        str(plugin),
        "--prior-set",
        "p=0.4",
        "--out",
        str(out),
        prior="half_of_mine",
        steps=1,
    )
    assert main(flags) == 0
    said = capsys.readouterr()
    assert "running plugin" in said.err
    assert f"evaluate {out} --plugin {plugin}" in said.out
    forget_plugins(monkeypatch)
    assert main(["--resume", str(out)]) == 2
    said = capsys.readouterr()
    assert f"plugin {plugin} (unchanged since the run was made)" in said.err
    assert f"add --plugin {plugin}" in said.err


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress(
        20, baselines={"majority_accuracy": 0.18, "root_operator_accuracy": 0.38}, floor=0.02
    )
    shown.start()
    shown.step(ROW)  # too soon for a line
    shown.validated(ROW, best=True)
    shown.stop()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    for text in (
        "step 5/20",
        "loss 2.000",
        "41.0 % (majority 18.0 %, root operator 38.0 %)",
        "prior 0.0300 (floor 0.0200)",
        "degree 4.2",
        "isolated 1",
        "310 samples/s",
        "length ≤ 40",
    ):
        assert text in lines[0]
    assert clock(59.6) == "1:00" and clock(3723) == "1:02:03"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    shown = Progress(20)
    shown.start()
    shown.validated(ROW, best=False)
    shown.step(ROW)
    shown.stop()
    assert "5/20" in screen.getvalue() and "degree 4.2" in screen.getvalue()


@pytest.mark.parametrize("command", sorted({*COMMANDS} - {"train", "doctor"}))
def test_a_wrong_command_line_is_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        nacgraph([command, "--nonsense"])
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith("error: ") and said.endswith(f"see nacgraph {command} --help\n")
    assert len(said.splitlines()) == 1


def test_a_folder_that_cannot_be_made_is_one_line(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(arguments(cache, out=tmp_path / "file" / "run")) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: out: expected a folder that can be made, got ")


@pytest.mark.parametrize("text", ["import sys; sys.exit(3)", "1 / 0"])
def test_a_plugin_that_ends_is_told(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.py").write_text(text)
    assert main(["--plugin", str(tmp_path / "bad.py")]) == 2
    assert "bad.py' raised " in capsys.readouterr().err.splitlines()[-1]


def test_damaged_yaml_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("a: [\n")
    assert main(["--config", str(tmp_path / "c.yaml")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "not a readable YAML file" in said[0]
