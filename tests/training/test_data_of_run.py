"""Training samples are never scored as test, however their file is called; edits are noticed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from small_run import arguments

import nacgraph
from nacgraph.__main__ import main
from nacgraph.training.checkpoint import save_checkpoint


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data of 60 clouds and a run that was trained on it by a relative path."""
    folder = tmp_path_factory.mktemp("base")
    rng = np.random.default_rng(0)
    points = rng.random((60, 40, 3)).astype(np.float32)
    np.savez(folder / "c.npz", points=points, labels=np.arange(60) % 2)
    order = rng.permutation(60)[:50]
    np.savez(folder / "some.npz", points=points[order], labels=order % 2)
    fresh = rng.random((10, 40, 3)).astype(np.float32)
    np.savez(folder / "new.npz", points=fresh, labels=np.arange(10) % 2)
    flags = arguments(folder / "cache", "--task=points", "--task-set", "count=32")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", *flags, "--data=c.npz", "--out", "run", "--steps=6"]) == 0
    return folder


@pytest.mark.parametrize("how", ["none", "absolute", "dots", "link", "copy"])
def test_the_data_of_a_run_is_divided_as_for_training(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.chdir(tmp_path)  # another folder than the run was trained in
    (tmp_path / "link.npz").symlink_to(base / "c.npz")
    shutil.copy(base / "c.npz", tmp_path / "copy.npz")
    (tmp_path / "c.npz").write_bytes(b"another file of the relative name")
    data = {"none": None, "absolute": base / "c.npz", "dots": base / "run" / ".." / "c.npz"}
    run = nacgraph.load(base / "run")
    found = run.evaluate(data.get(how, tmp_path / f"{how}.npz"))
    assert found.n == run.summary["test_n"] == 6
    assert found.accuracy == run.summary["test_accuracy"]


def test_other_data_with_training_samples_is_refused(base: Path) -> None:
    run = nacgraph.load(base / "run")
    with pytest.raises(ValueError, match=r"\d\d samples of .*some.npz are ones that the run was"):
        run.evaluate(base / "some.npz")
    assert run.evaluate(base / "new.npz").n == 10


@pytest.fixture
def copy(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base / "run", tmp_path / "copy"))


@pytest.mark.parametrize("name", ["config.yaml", "data.json", "samples.npz"])
def test_an_edited_run_is_noticed(
    copy: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    if name == "config.yaml":
        text = (copy / name).read_text()
        (copy / name).write_text(text.replace("temperature: 0.5", "temperature: 0.25"))
    elif name == "data.json":
        record = json.loads((copy / name).read_text())
        (copy / name).write_text(json.dumps({**record, "classes": record["classes"][::-1]}))
    else:
        (copy / name).unlink()
    assert main(["evaluate", str(copy)]) == 2
    said = capsys.readouterr().err
    assert f"{name}: not as when the run was made" in said and "--allow-edited" in said
    assert main(["evaluate", str(copy), "--allow-edited"]) == 0
    assert f"note: {name}: not as when" in capsys.readouterr().err
    (copy / "summary.json").unlink()
    assert main(["train", "--resume", str(copy)]) == 4
    assert "not as when the run was made" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "analyze", "export"])
def test_weights_that_are_not_finite_are_refused(
    copy: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    record = json.loads((copy / "checkpoints" / "best.json").read_text())
    weights = load_file(copy / "checkpoints" / record["file"])
    name = next(n for n in weights if n.endswith("processor_signatures"))
    weights[name][0, 0] = float("nan")
    save_checkpoint(copy / "checkpoints", "best", weights, record)
    assert main([command, str(copy)]) == 2
    assert "expected finite numbers, got NaN" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["shape", "dtype", "lost", "nan"])
def test_moments_are_checked_before_they_are_loaded(
    copy: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    *older, path = sorted((copy / "checkpoints").glob("step_*.json"))
    for other in older:
        other.unlink()
    tensors = load_file(path.with_suffix(".safetensors"))
    name = next(n for n in tensors if n.startswith("optimizer/exp_avg/") and tensors[n].dim() == 2)
    moment = tensors.pop(name)
    if part != "lost":
        changed = {"shape": moment[:1], "dtype": moment.double(), "nan": moment * float("nan")}
        tensors[name] = changed[part]
    save_checkpoint(path.parent, path.stem, tensors, json.loads(path.read_text()))
    (copy / "summary.json").unlink()
    assert main(["train", "--resume", str(copy)]) == 4
    said = capsys.readouterr().err
    assert f"{name}: expected" in said or f"expected {name}, got none" in said
