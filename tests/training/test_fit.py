"""``nacgraph.fit`` beside ``nacgraph train``: the same run, with an interface for Python."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import SIZES, arguments, environment, same

import nacgraph
from nacgraph.__main__ import main
from nacgraph.training.run import load_run
from nacgraph.utils.errors import ConfigError, NonFiniteError, TrainingStopped

TIMED = ("seconds", "machine")  # of a summary


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def fit(cache: Path, **more: Any) -> nacgraph.Run:
    return nacgraph.fit(**{**SIZES, "cache_dir": cache, "progress": False, **more})


@pytest.mark.parametrize("validate_samples", [0, 2])
def test_it_trains_what_the_command_trains(
    cache: Path, tmp_path: Path, validate_samples: int
) -> None:
    more = {"prior": "ring_of_cliques", "validate_samples": validate_samples, "ema": 0.5}
    assert main(["train", *arguments(cache, out=tmp_path / "command", **more)]) == 0
    run = fit(cache, out=tmp_path / "python", **more)
    same(tmp_path / "command", tmp_path / "python")
    other = load_run(tmp_path / "command")
    ours, theirs = run.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert replace(run.config, out=None) == other.config
    summaries = [dict(each.summary) for each in (run, other)]
    for summary in summaries:
        for name in TIMED:
            del summary[name]
    assert summaries[0] == summaries[1]
    states = [{**each.checkpoint.state, "seconds": 0} for each in (run, other)]
    assert states[0] == states[1]


def test_what_it_returns_is_what_is_loaded(cache: Path, tmp_path: Path) -> None:
    run = fit(cache, out=tmp_path / "run", prior="none")
    again = nacgraph.load(tmp_path / "run")
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])
    assert run.evaluate() == again.evaluate()
    assert not run.model.training


def test_quiet_is_quiet_and_touches_nothing_global(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    handler = signal.getsignal(signal.SIGINT)
    loggers = [logging.getLogger(n) for n in ("pytorch_lightning", "lightning_fabric")]
    levels, filters = [logger.level for logger in loggers], list(warnings.filters)
    fit(tmp_path / "fresh cache", out=tmp_path / "run", prior="none", train_size=600, steps=2)
    said = capfd.readouterr()
    assert said.out == said.err == ""
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads
    assert signal.getsignal(signal.SIGINT) is handler
    assert [logger.level for logger in loggers] == levels and list(warnings.filters) == filters


def test_modes_of_the_caller_change_no_number(cache: Path, tmp_path: Path) -> None:
    plain = fit(cache, out=tmp_path / "plain").model.state_dict()
    torch.set_default_dtype(torch.float64)
    try:
        double = fit(cache, out=tmp_path / "double").model.state_dict()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.inference_mode():
        inference = fit(cache, out=tmp_path / "inference").model.state_dict()
    for name, tensor in plain.items():
        assert torch.equal(tensor, double[name]) and torch.equal(tensor, inference[name]), name


def test_progress_is_shown_when_asked_for(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(cache, out=tmp_path / "run", prior="none", progress=True, steps=2)
    said = capsys.readouterr().out
    assert said.startswith("training   nac on listops") and "step 2/2" in said
    assert "test       " in said


def test_a_run_that_was_stopped_goes_on(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(cache, out=tmp_path / "whole", prior="none")
    usual, calls = nacgraph.tasks.ListOps.loss, []

    def loss(self: Any, *arguments: Any) -> Any:
        calls.append(0)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C
        return usual(self, *arguments)

    monkeypatch.setattr(nacgraph.tasks.ListOps, "loss", loss)
    part = tmp_path / "a part"
    with pytest.raises(TrainingStopped, match="stopped at step 5 of 12; continue with: ") as stop:
        fit(cache, out=part, prior="none")
    assert str(stop.value).endswith(f"nacgraph train --resume '{part}'")
    assert isinstance(stop.value, KeyboardInterrupt) and stop.value.signal == 2
    monkeypatch.undo()
    run = fit(cache, out=part, prior="none", resume="auto")
    same(whole.path, run.path)
    assert run.evaluate() == fit(cache, out=part, prior="none", resume="auto").evaluate()
    with pytest.raises(ConfigError, match="modules: expected 6 as in .*, got 7"):
        fit(cache, resume=part, modules=7)


def test_nothing_asked_for_is_overruled_when_resuming(cache: Path, tmp_path: Path) -> None:
    fit(cache, out=tmp_path / "run", prior="none", seed=3, model="perceiver_io")
    run = nacgraph.fit(resume=tmp_path / "run", progress=False)
    assert run.config.seed == 3 and run.config.model_name == "perceiver_io"


def test_it_starts_from_another_run(cache: Path, tmp_path: Path) -> None:
    first = fit(cache, out=tmp_path / "first", prior="none")
    second = nacgraph.fit(
        start=first.path, out=tmp_path / "second", steps=1, warmup=1, progress=False
    )
    assert second.config.modules == 6 and second.config.start == str(first.path)
    key = "generator.processor_codes"
    moved = (second.model.state_dict()[key] - first.model.state_dict()[key]).abs().max()
    assert 0 < float(moved) < 0.01  # one step away


def test_the_presets_of_a_task_hold_unless_something_is_asked_for() -> None:
    from nacgraph.training.config import make_config

    assert make_config(task="nlvr2").prior.name == "none"
    assert make_config(task="nlvr2", prior="erdos_renyi").prior.name == "erdos_renyi"
    small = make_config(preset="small", task_set={"memory": 0})
    assert small.task.parameters["memory"] == 0 and small.task.parameters["stage_size"] == 40_000
    assert make_config(model="linformer", prior="scale_free").prior.name == "none"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widht": 3}, "unknown key 'widht' .nearest: width."),
        ({"preset": "huge"}, "preset: expected one of tiny, small, lra, got 'huge'"),
        ({"modules": 0}, "modules: expected a whole number >= 1, got 0"),
        ({"task": "listop"}, "task: expected one of .*, got 'listop'"),
        ({"prior": "scale_fre"}, "prior: expected one of .* got 'scale_fre'"),
        ({"model": "nacc"}, "model: expected one of"),
        ({"plugins": "gone.py"}, "plugins: expected a list of files, got 'gone.py'"),
        ({"width": 8, "model": {"width": 16}}, "width: expected one value, got 16 and 8"),
        ({"plugins": ["gone.py"]}, "plugin: expected an existing file, got 'gone.py'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nacgraph.fit(**{"out": tmp_path / "run", **options})
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_stays(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match=f"out: expected a new or empty folder, got {tmp_path}"):
        nacgraph.fit(out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_nan_stops_it(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, calls = nacgraph.tasks.ListOps.loss, []

    def loss(self: Any, *arguments: Any) -> Any:
        calls.append(0)
        return usual(self, *arguments) * (float("nan") if len(calls) == 5 else 1)

    monkeypatch.setattr(nacgraph.tasks.ListOps, "loss", loss)
    with pytest.raises(NonFiniteError, match="at step 5, .* the last good checkpoint is .*0003"):
        fit(cache, out=tmp_path / "run", prior="none")


def test_a_script_needs_no_main_guard(cache: Path, tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    options = {**SIZES, "cache_dir": str(cache), "prior": "none", "steps": 1}
    script.write_text(
        f"import nacgraph\nprint('once')\nrun = nacgraph.fit(out='run', **{options!r})\n"
        "print(run.predict(['5']))\n"
    )
    child = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env=environment(),
        text=True,
        capture_output=True,
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.count("once") == 1 and "Predictions(" in child.stdout
    assert json.loads((tmp_path / "run" / "summary.json").read_text("utf-8"))["steps"] == 1


def test_the_next_command_can_be_pasted(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import shlex

    plugin = tmp_path / "my plugins" / "mine.py"
    plugin.parent.mkdir()
    plugin.write_text(
        "from nacgraph.tasks import ListOps, register_task\n"
        "@register_task('pasted')\nclass Pasted(ListOps): pass\n"
    )
    out = tmp_path / "my runs" / "one"
    flags = arguments(cache, "--plugin", str(plugin), task="pasted", out=out, steps=1)
    assert main(["train", *flags]) == 0
    (line,) = [each for each in capsys.readouterr().out.splitlines() if each.startswith("next")]
    program, *rest = shlex.split(line.removeprefix("next"))
    assert program == "nacgraph" and rest == ["evaluate", str(out), "--plugin", str(plugin)]
    child = subprocess.run(
        [sys.executable, "-m", "nacgraph", *rest],
        cwd=tmp_path,
        env=environment(),
        text=True,
        capture_output=True,
    )
    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout)["n"] == 43
