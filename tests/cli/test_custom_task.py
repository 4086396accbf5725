"""docs/custom-tasks.md: its task keeps its promises, trains, and reads a user's file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import SIZES

from nacgraph.__main__ import main
from nacgraph.tasks import Batch, DataError, get_task
from nacgraph.testing import assert_task

PAGE = Path(__file__).resolve().parents[2] / "docs" / "custom-tasks.md"


@pytest.fixture(scope="module")  # one path: names belong to the file that registered them
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    code, *_ = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    file = tmp_path_factory.mktemp("plugin") / "waves.py"
    file.write_text(code, encoding="utf-8")
    return file


def flags(plugin: Path, out: Path) -> list[str]:
    sizes = {k: v for k, v in SIZES.items() if k not in ("steps", "batch_size", "max_length")}
    values = {**sizes, "steps": 20, "learning_rate": 0.01, "prior": "none", "out": out}
    return [
        "--task",
        "waves",
        "--plugin",
        str(plugin),
        *(f"--{name}={value}" for name, value in values.items()),
    ]


def test_the_page_trains_evaluates_and_finds_damage(
    plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["train", *flags(plugin, out)]) == 0
    assert json.loads((out / "data.json").read_text())["classes"] == ["sine", "square", "saw"]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["test_n"] == 200 and "generated" in summary["data"]
    capsys.readouterr()

    # A file that the run has never seen, of two classes only.
    signals = np.random.default_rng(0).normal(size=(10, 64))
    file = tmp_path / "other.npz"
    np.savez(file, signals=signals, labels=np.arange(10) % 2)
    ask = ["evaluate", str(out), "--plugin", str(plugin), "--data", str(file)]
    assert main(ask) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["n"] == 10
    assert answer["accuracy"] <= answer["accuracy_among_present"] <= 1

    signals[7, 3] = np.nan
    np.savez(file, signals=signals, labels=np.arange(10) % 2)
    assert main(ask) == 2
    assert "row 7: expected finite values" in capsys.readouterr().err

    assert_task(get_task("waves")())
    task = get_task("waves")(data=file)
    with pytest.raises(DataError, match="row 7"):
        task.prepare()


def break_tokenizer(task: object, change: object) -> None:
    made = task.tokenizer  # type: ignore[attr-defined]

    def tokenizer(dim: int, seed: int = 0) -> torch.nn.Module:
        module = made(dim, seed)
        forward = module.forward
        module.forward = lambda batch: change(*forward(batch))  # type: ignore[operator]
        return module

    task.tokenizer = tokenizer  # type: ignore[attr-defined]


def test_assert_task_finds_what_is_wrong(plugin: Path) -> None:
    from nacgraph.utils.registry import load_plugin

    load_plugin(plugin)
    make = get_task("waves")

    task = make()
    break_tokenizer(task, lambda tokens, mask: (tokens - tokens.mean(0), mask))
    with pytest.raises(AssertionError, match="the same alone as in a batch"):
        assert_task(task)

    task = make()
    break_tokenizer(task, lambda tokens, mask: (tokens, mask.float()))
    with pytest.raises(AssertionError, match="expected a bool mask"):
        assert_task(task)

    task = make()
    task.tokenizer = lambda dim, seed=0: torch.nn.Linear(4, dim)  # type: ignore[method-assign, assignment, misc]
    with pytest.raises(AssertionError, match="global generator"):
        assert_task(task)

    task = make()
    right = task.collate
    calls = iter(range(100))

    def wandering(table: object, index: np.ndarray, rng: object) -> Batch:
        return right(table, np.roll(index, next(calls)), rng)

    task.collate = wandering  # type: ignore[method-assign, assignment]
    with pytest.raises(AssertionError, match="the same batch at every call"):
        assert_task(task)

    task = make()
    task.baselines = lambda split: {}  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="majority_accuracy"):
        assert_task(task)


def test_listops_keeps_its_promises(tmp_path: Path) -> None:
    assert_task(
        get_task("listops")(
            min_length=3, max_length=20, train_size=64, val_size=9, test_size=8, cache_dir=tmp_path
        )
    )


def test_help_lists_the_parameters_of_a_plugins_task(
    plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", "--task", "waves", "--help", "--plugin", str(plugin)])
    assert caught.value.code == 0
    assert "parameters of task waves" in capsys.readouterr().out
