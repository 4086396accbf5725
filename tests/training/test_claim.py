"""A run folder belongs to one process; a start that fails leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from small_run import arguments, environment

from nacgraph.cli.train import main
from nacgraph.training.claim import LOCK, claimed
from nacgraph.training.config import make_config
from nacgraph.training.plan import make_plan, process_rank, strays
from nacgraph.utils.errors import ConfigError

HOLD = """
import sys, time
from pathlib import Path
from nacgraph.training.claim import claimed
with claimed(lambda: Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_told_who_holds_the_folder_until_it_is_dead(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, env=environment()
    )
    assert child.stdout is not None and child.stdout.readline() == b"held\n"
    try:
        here = f"in use by process {child.pid} on {socket.gethostname()} since 20"
        with pytest.raises(ConfigError, match=here), claimed(lambda: folder):
            pass
        assert (folder / LOCK).exists()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    with claimed(lambda: folder):  # the lock is there, its holder is not
        assert json.loads((folder / LOCK).read_text())["process"] == os.getpid()
        (folder / "x").touch()
    assert [path.name for path in folder.iterdir()] == ["x"]


def test_a_lock_of_another_host_is_believed(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text('{"host": "elsewhere", "process": 3, "since": "today"}')
    with pytest.raises(ConfigError, match="process 3 on elsewhere since today.*remove"):
        with claimed(lambda: tmp_path):
            pass
    (tmp_path / LOCK).write_text("{")  # cut short when its process was killed
    with claimed(lambda: tmp_path):
        pass


def test_a_new_folder_is_never_shared(tmp_path: Path) -> None:
    names = iter(["a", "a-2"])
    (tmp_path / "a").mkdir()
    with claimed(lambda: tmp_path / "made" / ".." / next(names), new=True) as folder:
        assert folder.name == "a-2"
        (folder / "x").touch()


def test_a_refused_start_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = arguments(tmp_path / "cache", "--out", str(tmp_path / "deep" / "run"))
    assert main([*flags, "--task=images", "--batch_size=5000"]) == 2
    assert "batch_size: expected at most the" in capsys.readouterr().err
    assert not (tmp_path / "deep").exists()
    (tmp_path / "there").mkdir()
    flags[-1] = str(tmp_path / "there")
    assert main([*flags, "--task=images", "--batch_size=5000"]) == 2
    assert not list((tmp_path / "there").iterdir())


def test_what_is_left_of_a_process_killed_at_its_start_is_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    (out / "checkpoints").mkdir(parents=True)
    for name in (LOCK, "data.json", "samples.npz", ".config.yaml.77.tmp"):
        (out / name).write_text("{")
    (out / "checkpoints").rmdir()
    flags = arguments(tmp_path / "cache", "--out", str(out), "--resume=auto", "--steps=4")
    assert main(flags) == 0
    assert not list(out.glob(".*"))
    for path in (out / "checkpoints").glob("*.json"):
        path.unlink()
    (out / "summary.json").unlink()  # killed between its first tensors and their record
    assert main(flags) == 0
    assert (out / "summary.json").is_file()


def test_variables_of_a_launcher_that_started_nothing_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_config(device="cpu")
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "3")
            assert process_rank(one) == 0
            assert bool(strays()) == (name != "LOCAL_RANK")
    monkeypatch.setenv("RANK", "no number")
    assert "RANK=no number" in make_plan(one).notes[0]
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "2")
    with pytest.raises(ConfigError, match="expected devices × nodes = 1 tasks, got 4"):
        process_rank(one)
    assert process_rank(make_config(device="cpu", devices=4)) == 2
