"""Models as folders to share: bit-equal, and nothing in a folder runs or slips through."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import arguments
from torch import nn

from nacgraph.cli.train import main as train
from nacgraph.models.nac import NAC, NACConfig
from nacgraph.priors import get_prior
from nacgraph.tasks import Batch, SequenceTokenizer
from nacgraph.tasks.tokenizers import TOKENIZERS, register_tokenizer
from nacgraph.training.run import load_run
from nacgraph.utils.errors import CheckpointError, ConfigError

SMALL = {
    "modules": 7, "readouts": 3, "width": 8, "code_dim": 6, "signature_dim": 8, "heads": 2,
    "head_dim": 4, "read_heads": 2, "read_head_dim": 4, "rounds": 2, "read_every": 0,
}  # fmt: skip


def build(tokenizer: nn.Module | None = None, **changed: Any) -> NAC:
    tokenizer = tokenizer or SequenceTokenizer(16, 8, 30, 1, 3, scale=0.5, seed=3)
    target = get_prior("scale_free").edge_probabilities(7) if changed else None
    return NAC(NACConfig(**{**SMALL, **changed}), tokenizer, 5, target, seed=3).eval()


@pytest.fixture
def batch() -> Batch:
    mask = torch.arange(20) < torch.tensor([[20], [3], [11]])
    nothing = torch.zeros(3, dtype=torch.long)
    return Batch(torch.randint(1, 16, mask.shape) * mask, mask, nothing, nothing)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"modulation": False, "wiring": "complete"},
        {"wiring": "frozen", "signature_start": "prior", "eval_mode": "threshold"},
        {"eval_mode": "hard", "bandwidth": 1.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_round_trip_is_bit_equal(
    tmp_path: Path, batch: Batch, changed: dict[str, Any], dtype: torch.dtype
) -> None:
    model = build(**changed).to(dtype).train()
    model.classes = ["a", "b", "c", "d", "e"]
    for parameter in model.parameters():
        parameter.data += torch.rand_like(parameter) * 0.1
    model.save_pretrained(tmp_path / "deep" / "model")
    found = NAC.from_pretrained(str(tmp_path / "deep" / "model"))
    assert not found.training and found.config == model.config and found.seed == model.seed
    assert list(found.classes or ()) == model.classes
    assert found.num_parameters() == model.num_parameters()
    assert torch.equal(found(batch).logits, model.eval()(batch).logits)
    names = sorted(p.name for p in (tmp_path / "deep" / "model").iterdir())
    assert names == ["config.json", "model.safetensors"]


@torch.no_grad()
def test_a_pruned_model_is_saved_and_trains_on(tmp_path: Path, batch: Batch) -> None:
    from nacgraph.models.pruning import prune

    small = prune(build(), [1, 5])
    small.save_pretrained(tmp_path)
    found = NAC.from_pretrained(tmp_path)
    assert found.config.modules == 2
    assert torch.equal(found(batch).logits, small(batch).logits)
    with torch.enable_grad():
        found.train()(batch, torch.Generator().manual_seed(0)).logits.sum().backward()
    assert found.generator.processor_codes.grad is not None


class Doubled(SequenceTokenizer):
    """A tokenizer that nacgraph does not know, though its parent is one that it knows."""

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, mask = super().forward(batch)
        return 2 * tokens, mask


def test_a_tokenizer_of_another_class_is_brought_along(
    tmp_path: Path, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(Doubled(16, 8, 30))
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"'Doubled' is none that nacgraph knows.*tokenizer="):
        NAC.from_pretrained(tmp_path)
    found = NAC.from_pretrained(tmp_path, tokenizer=Doubled(16, 8, 30, seed=9))
    assert torch.equal(found(batch).logits, model(batch).logits)
    with pytest.raises(CheckpointError, match=r"(?s)weights of another model.*positions"):
        NAC.from_pretrained(tmp_path, tokenizer=Doubled(16, 8, 31))
    # A plugin registers it; saved without settings it still has to be given.
    monkeypatch.setattr(TOKENIZERS, "_classes", dict(TOKENIZERS._classes))
    register_tokenizer("Doubled")(Doubled)
    with pytest.raises(ValueError, match="saved without settings: pass tokenizer="):
        NAC.from_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    assert torch.equal(NAC.from_pretrained(tmp_path)(batch).logits, model(batch).logits)


def change(folder: Path, changed: dict[str, Any]) -> None:
    record = json.loads((folder / "config.json").read_text())
    for name, value in changed.items():
        *inside, last = name.split(".")
        place = record
        for key in inside:
            place = place[key]
        if value is None and last != "classes":
            del place[last]
        else:
            place[last] = value
    (folder / "config.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"format": 2}, "expected format 1, got 2"),
        ({"run": "evil"}, "unknown key 'run'"),
        ({"config.modulez": 3}, r"unknown key config.'modulez' \(nearest: modules\)"),
        ({"config.width": None}, "missing key config.'width'"),
        ({"tokenizer": None}, "missing key 'tokenizer'"),
        ({"config": 3}, "config: expected an object, got 3"),
        ({"config.modules": 0}, "modules: expected a whole number >= 1, got 0"),
        ({"config.bandwidth": "x"}, "config"),
        ({"config.modules": 8}, "weights of another model"),
        ({"config.wiring": "evil"}, "wiring: expected one of"),
        ({"num_classes": True}, "num_classes: expected a whole number >= 1, got True"),
        ({"num_classes": 6}, "weights of another model"),
        ({"classes": ["a"]}, "classes: expected 5 names or null"),
        ({"seed": -1}, "seed: expected"),
        ({"tokenizer": "SequenceTokenizer"}, "tokenizer: expected name and settings"),
        ({"tokenizer.settings.evil": 1}, "tokenizer.*unexpected keyword argument 'evil'"),
        ({"tokenizer.settings.max_length": "1"}, "tokenizer"),
        ({"tokenizer.settings.window": 2}, "tokenizer: window must be odd"),
        ({"tokenizer.name": "os.system"}, "tokenizer 'os.system' is none that nacgraph knows"),
        ({"tokenizer.name": ["x"]}, "tokenizer"),
        ({"sha256": "0" * 64}, "damaged, expected sha256 000000000000…"),
    ],
    ids=str,
)
def test_a_forged_config_is_refused(tmp_path: Path, changed: dict[str, Any], match: str) -> None:
    build().save_pretrained(tmp_path)
    change(tmp_path, changed)
    with pytest.raises((CheckpointError, ValueError), match=match):
        NAC.from_pretrained(tmp_path)


def test_damaged_folders_are_refused(tmp_path: Path) -> None:
    def said(match: str) -> None:
        with pytest.raises(CheckpointError, match=match):
            NAC.from_pretrained(tmp_path)

    said("expected a folder written by save_pretrained")
    build().save_pretrained(tmp_path)
    config, weights = tmp_path / "config.json", tmp_path / "model.safetensors"
    whole, text = weights.read_bytes(), config.read_text()
    weights.write_bytes(whole[:-1])
    said("model.safetensors: damaged")
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    said("model.safetensors: damaged")
    weights.unlink()
    said("model.safetensors: No such file")
    weights.write_bytes(whole)
    for broken in (text[:-10], "", "[]", "[" * 100_000, "\0"):
        config.write_text(broken)
        said("config.json: (not readable|expected)")
    config.unlink()  # what a save cut short leaves
    said("with a config.json, got none there")


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "ran"),)

    build().save_pretrained(tmp_path)
    data = pickle.dumps(Evil())
    (tmp_path / "model.safetensors").write_bytes(data)
    change(tmp_path, {"sha256": hashlib.sha256(data).hexdigest()})
    with pytest.raises(CheckpointError, match="not safetensors"):
        NAC.from_pretrained(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_save_cut_short_never_passes_for_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nacgraph.models import pretrained

    written: list[str] = []

    def dies(path: Path, data: bytes) -> None:
        if written:
            raise CheckpointError("the disk is full")
        written.append(path.name)
        path.write_bytes(data)

    for older in (False, True):
        folder = tmp_path / str(older)
        if older:
            build().save_pretrained(folder)
        written.clear()
        model = build()
        nn.init.zeros_(model.circuit.read_out.head.bias)
        model.circuit.read_out.head.bias.data[0] = 7
        with monkeypatch.context() as patch:
            patch.setattr(pretrained, "write_atomically", dies)
            with pytest.raises(CheckpointError, match="full"):
                model.save_pretrained(folder)
        assert written == ["model.safetensors"]
        with pytest.raises(CheckpointError, match="damaged" if older else "got none there"):
            NAC.from_pretrained(folder)


def test_names_must_fit_the_classes(tmp_path: Path) -> None:
    model = build()
    model.classes = ["a", "b"]
    with pytest.raises(ValueError, match="classes: expected 5 names, got 2"):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


@torch.no_grad()
def test_from_run(tmp_path: Path, batch: Batch) -> None:
    run = tmp_path / "run"
    assert train(arguments(tmp_path / "cache", "--out", str(run), steps=2, validate_every=2)) == 0
    model = NAC.from_run(str(run))
    short = Batch(batch.inputs[:, :15], batch.mask[:, :15], batch.labels, batch.index)
    assert not model.training
    assert torch.equal(model(short).logits, load_run(run).model(short).logits)
    model.save_pretrained(tmp_path / "shared")
    assert torch.equal(NAC.from_pretrained(tmp_path / "shared")(short).logits, model(short).logits)
    with pytest.raises(ConfigError):
        NAC.from_run(tmp_path)
