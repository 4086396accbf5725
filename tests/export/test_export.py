"""The frozen circuit equals its model; an exported file is kept only if it does too."""

from __future__ import annotations

import io
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nacgraph.export import check as exporting
from nacgraph.export import formats as portable
from nacgraph.export.check import compare, export_circuit, joined, logits_of, single_samples
from nacgraph.export.freeze import freeze
from nacgraph.graph.design import CircuitDesign
from nacgraph.models.ladder import model_fields
from nacgraph.models.nac import NAC, NACConfig
from nacgraph.ops import pointwise
from nacgraph.tasks import Batch, SequenceTokenizer
from nacgraph.tasks.images.stem import ImageTokenizer

LONGEST = 70
SMALL = NACConfig(
    modules=7, readouts=3, width=8, code_dim=6, signature_dim=8, heads=2, head_dim=4,
    read_heads=2, read_head_dim=4, rounds=3, unique_layers=2, read_every=2,
)  # fmt: skip
SHAPES = [(1, 5), (3, 40), (7, 17), (1, 1), (2, 64), (2, LONGEST)]


def build(seed: int = 0, stem: dict[str, Any] | None = None, **changed: object) -> NAC:
    tokenizer = SequenceTokenizer(
        16, SMALL.width, LONGEST, stem_layers=1, window=3, seed=seed, **(stem or {})
    )
    model = NAC(replace(SMALL, **changed), tokenizer, 5, seed=seed)  # type: ignore[arg-type]
    for layer in model.modules():
        if isinstance(layer, nn.LayerNorm):  # none is the identity, so none can be forgotten
            nn.init.normal_(layer.weight, 1, 0.3)
            nn.init.normal_(layer.bias, 0, 0.3)
    return model.eval()


def batch_of(samples: int, length: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, length + 1, (samples, 1), generator=generator)
    lengths[-1] = length
    mask = torch.arange(length) < lengths
    inputs = torch.randint(1, 16, mask.shape, generator=generator) * mask
    nothing = torch.zeros(samples, dtype=torch.long)
    return Batch(inputs, mask, nothing, nothing)


def samples_of(samples: int = 6, length: int = 20) -> list[exporting.Sample]:
    return single_samples([batch_of(samples, length)])


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


@pytest.mark.parametrize("mode", ["expected", "threshold"])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"min_weight": 0.0},  # all pairs, weighed by P
        {"min_weight": 0.05, "graphs": "per_sample", "backend": "scatter"},
        {"modules": 2, "read_every": 1, "unique_layers": 0},
        {"modules": 1, "readouts": 1, "read_every": 0},
        {"backend": "fused"},
        model_fields("perceiver_io"),
        {"wiring": "frozen"},
    ],
    ids=str,
)
@torch.no_grad()
def test_a_frozen_circuit_equals_its_model(mode: str, changed: dict[str, object]) -> None:
    model = build(eval_mode=mode, **changed).double()
    frozen = freeze(model, mode)
    for samples, length in SHAPES:
        batch = batch_of(samples, length)
        batch.mask[0] = samples == 1  # one with nothing in it
        wanted, got = model(batch).logits, frozen(batch.inputs, batch.mask)
        assert got.isfinite().all() and largest(wanted, got) < 1e-10
        assert torch.equal(wanted, logits_of(model, mode, batch.inputs, batch.mask))


@torch.no_grad()
def test_modes_differ_and_a_pruned_model_freezes() -> None:
    from nacgraph.models.pruning import prune

    batch = batch_of(3, 20)
    model = build().double()
    expected, threshold = (
        freeze(model, m)(batch.inputs, batch.mask) for m in ("expected", "threshold")
    )
    assert largest(expected, threshold) > 1e-3
    small = prune(model, [0, 3, 4])
    assert largest(small(batch).logits, freeze(small)(batch.inputs, batch.mask)) < 1e-10


@torch.no_grad()
def test_edges_drawn_for_many_modules_are_frozen_too() -> None:
    from nacgraph.graph.forms import EdgeGraph

    model = build(modules=520, eval_mode="threshold", rounds=1)
    batch = batch_of(2, 9)
    assert isinstance(model(batch).graph, EdgeGraph)
    assert largest(model(batch).logits, freeze(model, "threshold")(batch.inputs, batch.mask)) < 1e-5


@torch.no_grad()
def test_frozen_means_frozen() -> None:
    model = build()
    frozen = freeze(model)
    batch = batch_of(3, 20)
    before = frozen(batch.inputs, batch.mask)
    for parameter in model.parameters():
        parameter.add_(1.0)
    assert torch.equal(frozen(batch.inputs, batch.mask), before)
    assert not any(p.requires_grad for p in frozen.parameters()) and not frozen.training
    weights = sum(t.numel() for t in frozen.state_dict().values())
    assert weights < sum(t.numel() for t in model.state_dict().values())  # codes are gone
    again = freeze(build(seed=1))
    again.load_state_dict(frozen.state_dict())
    assert torch.equal(again(batch.inputs, batch.mask), before)


def test_no_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("compiled code was called")

    monkeypatch.setattr(pointwise, "WORTH", 0)
    frozen, batch = freeze(build()), batch_of(3, 20)
    monkeypatch.setattr(pointwise, "spread", refuse)
    with pytest.raises(AssertionError, match="compiled"):
        frozen(batch.inputs, batch.mask)
    torch.export.export(frozen, (batch.inputs, batch.mask), strict=False)
    # Blocks of the library itself leave it out while something exports them.
    norm, gate = nn.LayerNorm(4), torch.ones(3, 4)

    class Block(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return pointwise.gated_norm(x, norm, [gate])[0]

    torch.export.export(Block(), (torch.ones(2, 3, 4),), strict=False)


def test_what_cannot_be_frozen() -> None:
    for mode in ("concrete", "hard", "expcted"):
        with pytest.raises(ValueError, match=f"expected one of expected, threshold, got '{mode}'"):
            freeze(build(), mode)
    model = build()
    design = model.generator()
    per_sample = CircuitDesign(**{k: t.expand(2, -1, -1) for k, t in design.descriptors().items()})
    model.generator.forward = lambda *_: per_sample  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="shared by all samples, got a conditional one"):
        freeze(model)
    with pytest.raises(ValueError, match="one design for all samples.*ConditionalGenerator"):
        freeze(build(condition="inputs"))


@settings(max_examples=20)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_samples_are_taken_apart_and_put_together(lengths: list[int]) -> None:
    mask = torch.arange(12) < torch.tensor(lengths)[:, None]
    inputs = torch.arange(1, 13) * mask
    nothing = torch.zeros(len(lengths), dtype=torch.long)
    apart = single_samples([Batch(inputs, mask, nothing, nothing)])
    assert [each[1].shape for each in apart] == [(1, length) for length in lengths]
    together = joined(apart)
    longest = max(lengths)
    assert torch.equal(together[0], inputs[:, :longest])
    assert torch.equal(together[1], mask[:, :longest])


def test_inputs_that_are_no_sequence_keep_their_shape() -> None:
    images, mask = torch.rand(2, 3, 8, 8), torch.ones(2, 5, dtype=torch.bool)
    nothing = torch.zeros(2, dtype=torch.long)
    mask[0, 3:] = False
    together = joined(single_samples([Batch(images, mask, nothing, nothing)]))
    assert torch.equal(together[0], images) and torch.equal(together[1], mask)


def test_the_comparison_sees_every_kind_of_difference() -> None:
    model, samples = build(), samples_of(9)
    frozen = freeze(model)

    def changed(rule: object) -> exporting.Comparison:
        with torch.no_grad():
            return compare(model, "expected", rule, samples)  # type: ignore[arg-type]

    same = changed(frozen)
    assert same.samples == 9 and same.max_difference < 1e-5 and same.equal_argmax == 1
    assert same.padding_difference < 1e-5
    shifted = changed(lambda i, m: frozen(i, m) + 0.25)
    assert shifted.max_difference == pytest.approx(0.25, abs=1e-5) and shifted.equal_argmax == 1
    one_row = changed(lambda i, m: frozen(i, m) + (i[:, :1] == samples[7][0][0, 0]) * 0.5)
    assert one_row.max_difference == pytest.approx(0.5, abs=1e-5)
    padded = changed(lambda i, m: frozen(i, m) + 0.1 * i.shape[1])
    assert padded.padding_difference > 0.1
    turned = changed(lambda i, m: -frozen(i, m))
    assert turned.equal_argmax < 0.5
    # Only for a sample with nothing in it, and only not a number.
    empty = changed(lambda i, m: frozen(i, m).masked_fill(~m.any(-1, keepdim=True), math.nan))
    assert empty.max_difference == math.inf
    assert changed(lambda i, m: frozen(i, m)[:, :1]).max_difference == math.inf


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[NAC, exporting.Exported]:
    model = build(rounds=2)
    path = tmp_path_factory.mktemp("torch") / "new" / "circuit.pt2"
    return model, export_circuit(model, path, samples_of(), "torch", notes={"run": "a"})


def load(path: Path) -> tuple[nn.Module, dict[str, str]]:
    extra = {"nacgraph.json": ""}
    module = torch.export.load(io.BytesIO(path.read_bytes()), extra_files=extra).module()
    return module, json.loads(extra["nacgraph.json"])


@torch.no_grad()
def test_a_torch_file_takes_any_shape(exported: tuple[NAC, exporting.Exported]) -> None:
    model, made = exported
    run, notes = load(made.path)
    assert made.size == made.path.stat().st_size and list(made.path.parent.iterdir()) == [made.path]
    assert notes["run"] == "a" and notes["mode"] == "expected"
    assert notes["max_length"] == str(LONGEST)
    assert float(notes["max_difference"]) == pytest.approx(
        made.comparison.max_difference, rel=0.01, abs=0
    )
    for samples, length in SHAPES:
        batch = batch_of(samples, length)
        got = run(batch.inputs, batch.mask)
        assert largest(model(batch).logits, got) < 1e-5
        wider = nn.functional.pad(batch.inputs, (0, LONGEST - length))
        padded = run(wider, nn.functional.pad(batch.mask, (0, LONGEST - length)))
        assert largest(padded, got) < 1e-5
        assert largest(run(wider[:, :length], batch.mask), got) < 1e-5  # a slice
        assert run(batch.inputs, torch.zeros_like(batch.mask)).isfinite().all()
    with pytest.raises(Exception, match=str(LONGEST)):
        too_long = batch_of(2, LONGEST + 1)
        run(too_long.inputs, too_long.mask)


@torch.no_grad()
def test_images_are_exported_for_any_batch_size(tmp_path: Path) -> None:
    model = NAC(SMALL, ImageTokenizer(8, 8, 1, SMALL.width), 4).eval()
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    nothing = torch.zeros(5, dtype=torch.long)
    batch = Batch(images, torch.ones(5, 64, dtype=torch.bool), nothing, nothing)
    made = export_circuit(model, tmp_path / "i.pt2", single_samples([batch]), "torch")
    run, _ = load(made.path)
    for count in (1, 2, 5):
        part = Batch(*(each[:count] for each in (images, batch.mask, nothing, nothing)))
        assert largest(model(part).logits, run(part.inputs, part.mask)) < 1e-5


@pytest.mark.parametrize("selective", [False, True])
@pytest.mark.parametrize("kind", ["torch", "onnx"])
@torch.no_grad()
def test_a_stem_that_remembers_is_exported(kind: str, selective: bool, tmp_path: Path) -> None:
    model = build(rounds=1, stem={"memory": 50, "selective": selective})
    made = export_circuit(model, tmp_path / f"circuit.{kind}", samples_of(), kind)
    assert made.comparison.max_difference < 1e-5 and made.comparison.padding_difference < 1e-5


class Stub:
    """A format whose file is the circuit itself, plus a shift."""

    suffix, opset = ".stub", None

    def __init__(self, shift: float = 0.0, works: bool = True) -> None:
        self.shift, self.works = shift, works

    def convert(self, circuit: nn.Module) -> None:
        self.circuit = circuit

    def encode(self, notes: dict[str, str]) -> bytes:
        return json.dumps(notes).encode()

    def load(self, data: bytes) -> portable.Runner:
        if not self.works:
            raise OSError("first\nsecond")
        return lambda inputs, mask: self.circuit(inputs, mask) + self.shift


@pytest.mark.parametrize(
    ("stub", "error", "match"),
    [
        (Stub(shift=0.01), RuntimeError,
         r"not written, max .Δ logits. 0.01 .*above the tolerance 0.0001; 100.0 % of answers"),
        (Stub(shift=math.nan), RuntimeError, "logits. inf"),
        (Stub(works=False), RuntimeError, "not written, onnx, opset 20 fails: OSError: first seco"),
        (None, RuntimeError, "disk is full"),
    ],
    ids=["difference", "nan", "runtime", "disk"],
)  # fmt: skip
@torch.no_grad()
def test_what_does_not_pass_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stub: Stub, error: type, match: str
) -> None:
    path = tmp_path / "circuit.onnx"
    path.write_bytes(b"an older one")
    monkeypatch.setattr(exporting, "get_format", lambda *_: stub or Stub())
    monkeypatch.setattr(exporting, "trace", lambda circuit, *_: (circuit,))
    with monkeypatch.context() as patch:
        if stub is None:
            patch.setattr("os.fsync", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(error, match=match):
            export_circuit(build(), path, samples_of(2), opset=20)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"an older one"]
    if stub is not None and stub.shift == 0.01:  # what passes takes its place
        made = export_circuit(build(), path, samples_of(2), tolerance=0.011)
        assert made.comparison.max_difference == pytest.approx(0.01, abs=1e-5)
        assert json.loads(path.read_bytes())["max_difference"] == "0.01"


def test_clear_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples, path = build(), samples_of(2), tmp_path / "c"
    for arguments, match in (
        ({"form": "tflite"}, "format: expected one of onnx, torch, got 'tflite'"),
        ({"form": "torch", "opset": 20}, "opset: expected none with format 'torch', got 20"),
        ({"tolerance": 0.0}, "tolerance: expected a number > 0, got 0"),
        ({"tolerance": math.nan}, "tolerance"),
        ({"samples": []}, "samples: expected at least one"),
        ({"mode": "hard"}, "mode: expected"),
        ({"path": tmp_path}, "out: expected a file, got the folder"),
    ):
        with pytest.raises(ValueError, match=match):
            export_circuit(**{"model": model, "path": path, "samples": samples, **arguments})
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(portable.ExportError, match=r"onnxruntime.*pip install 'nacgraph\[exp"):
        export_circuit(model, path, samples)
    assert not list(tmp_path.iterdir())
