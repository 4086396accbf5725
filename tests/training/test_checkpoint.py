"""Checkpoints: whole or absent, checked when read, never code."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nacgraph.training import checkpoint as ck


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        "model/w": torch.randn(3, 4, generator=g).t(),  # not contiguous
        "optimizer/step/w": torch.tensor(3.0),
        "matched/permutation": torch.randperm(5, generator=g),
    }


def save(folder: Path, step: int, name: str | None = None) -> Path:
    state = {"step": step, "best_accuracy": 0.5}
    return ck.save_checkpoint(folder, name or ck.step_name(step), tensors(step), state)


def test_comes_back_bit_for_bit(tmp_path: Path) -> None:
    found = ck.load_checkpoint(save(tmp_path, 7))
    for name, tensor in tensors(7).items():
        assert torch.equal(found.tensors[name], tensor)
        assert found.tensors[name].dtype == tensor.dtype
    assert found.state["step"] == 7 and found.state["best_accuracy"] == 0.5
    assert set(found.part("model")) == {"w"}
    assert not list(tmp_path.glob(".*"))


def test_the_newest_valid_one_is_found(tmp_path: Path) -> None:
    assert ck.newest_valid(tmp_path) == (None, [])
    for step in (5, 900, 1000):
        save(tmp_path, step)
    found, skipped = ck.newest_valid(tmp_path)
    assert found is not None and found.state["step"] == 1000 and skipped == []


@settings(max_examples=25, deadline=None)
@given(where=st.floats(0, 0.999), bit=st.integers(0, 7), data=st.booleans())
def test_any_flipped_bit_is_noticed_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, where: float, bit: int, data: bool
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    save(folder, 1)
    path = save(folder, 2)
    if data:
        path = path.with_suffix(".safetensors")
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    path.write_bytes(content)
    found, skipped = ck.newest_valid(folder)
    assert found is not None
    if data:
        assert found.state["step"] == 1 and "sha256" in skipped[0]
    for name, tensor in tensors(int(found.path.stem[-8:])).items():
        assert torch.equal(found.tensors[name], tensor)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
@pytest.mark.parametrize("length", [0, 1, 40])
def test_a_truncated_one_is_skipped(tmp_path: Path, suffix: str, length: int) -> None:
    save(tmp_path, 1)
    path = save(tmp_path, 2).with_suffix(suffix)
    path.write_bytes(path.read_bytes()[:length])
    found, skipped = ck.newest_valid(tmp_path)
    assert found is not None and found.state["step"] == 1
    assert len(skipped) == 1 and "step_00000002" in skipped[0]


def test_tensors_without_a_record_never_existed(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2).unlink()
    found, skipped = ck.newest_valid(tmp_path)
    assert found is not None and found.state["step"] == 1
    assert "no such checkpoint" in skipped[0]


def test_the_best_one_is_replaced_as_a_whole(tmp_path: Path) -> None:
    save(tmp_path, 3, "best")
    save(tmp_path, 8, "best")
    assert [p.name for p in tmp_path.glob("best_*")] == ["best_00000008.safetensors"]
    assert ck.load_checkpoint(tmp_path / "best.json").state["step"] == 8
    (tmp_path / "best_00000008.safetensors").write_bytes(b"")
    save(tmp_path, 9)
    found, skipped = ck.best_or_newest(tmp_path)
    assert found is not None and found.state["step"] == 9 and len(skipped) == 1


def test_the_last_two_are_kept_and_nothing_from_the_future(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 9):
        save(tmp_path, step)
    (tmp_path / ".step_00000009.json.77.tmp").write_text("cut")
    ck.keep_last(tmp_path, step=4)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"step_0000000{step}.{kind}" for step in (3, 4) for kind in ("json", "safetensors")
    ]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    save(tmp_path, 1)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full(io.FileIO):
        write = full  # type: ignore[assignment]

    with monkeypatch.context() as patch:
        if call == "write":
            patch.setattr("builtins.open", lambda path, mode: Full(path, mode))
        else:
            patch.setattr(os, call, full)
        with pytest.raises(ck.CheckpointError, match="disk is full.*bytes needed"):
            save(tmp_path, 2)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = save(tmp_path, 1)
    record = json.loads(path.read_text())
    data = pickle.dumps(Evil())
    (tmp_path / record["file"]).write_bytes(data)
    import hashlib

    path.write_text(json.dumps({**record, "sha256": hashlib.sha256(data).hexdigest()}))
    with pytest.raises(ck.CheckpointError, match="not safetensors"):
        ck.load_checkpoint(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"file": "../w.safetensors"}, "file beside it"),
        ({"format": 99}, "expected format 1, got 99"),
        ({"file": "gone.safetensors"}, "No such file"),
        ({"step": "x"}, "not a checkpoint record"),
    ],
)
def test_a_forged_record_is_refused(tmp_path: Path, change: dict, match: str) -> None:
    path = save(tmp_path, 1)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ck.CheckpointError, match=match):
        ck.load_checkpoint(path)
