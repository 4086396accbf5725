"""``nacgraph export RUN``: an ONNX or PyTorch file, its JSON, its refusals."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from small_run import arguments

from nacgraph.cli.export import main
from nacgraph.cli.train import main as train
from nacgraph.export.check import export_circuit, single_samples
from nacgraph.models.ladder import model_fields
from nacgraph.models.nac import NAC, NACConfig
from nacgraph.tasks import Batch, SequenceTokenizer

onnxruntime = pytest.importorskip("onnxruntime")
LONGEST = 19  # of the small run: its max_length of 20 is not reached


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("runs")
    more = {"stem_layers": 1, "window": 3, "rounds": 1, "validate_every": 2}
    assert train(arguments(base / "cache", "--out", str(base / "run"), **{**more, "steps": 2})) == 0
    return base / "run"


def batch_of(samples: int, length: int) -> Batch:
    lengths = torch.linspace(1, length, samples).ceil().long()[:, None]
    mask = torch.arange(length) < lengths
    inputs = torch.randint(1, 16, mask.shape) * mask
    nothing = torch.zeros(samples, dtype=torch.long)
    return Batch(inputs, mask, nothing, nothing)


def answers(session: onnxruntime.InferenceSession, batch: Batch) -> torch.Tensor:
    fed = {"inputs": batch.inputs.numpy(), "mask": batch.mask.numpy()}
    return torch.from_numpy(session.run(None, fed)[0])


@torch.no_grad()
def check_shapes(path: Path, model: NAC, shapes: list[tuple[int, int]]) -> None:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for samples, length in shapes:
        batch = batch_of(samples, length)
        batch.mask[0] = samples == 1  # one with nothing in it
        got = answers(session, batch)
        assert got.isfinite().all()
        torch.testing.assert_close(got, model(batch).logits, rtol=0, atol=2e-5)


def test_an_onnx_file_of_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), "--format", "onnx", "--samples", "23"]) == 0
    result = json.loads(capsys.readouterr().out)  # and nothing else
    path = run / "circuit_expected.onnx"
    assert result["file"] == str(path) and result["bytes"] == path.stat().st_size
    assert result["mode"] == "expected" and result["samples"] == 23 and result["modules"] == 6
    assert result["max_difference"] <= result["tolerance"] == 1e-4
    assert result["equal_argmax"] == 1 and result["padding_difference"] < 1e-5
    assert [each["batch"] for each in result["latency"]] == [1, 16]
    assert all(each["export_seconds"] > 0 < each["model_seconds"] for each in result["latency"])
    assert {"onnx", "onnxruntime", "torch"} <= set(result["versions"])

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape, i.type) for i in session.get_inputs()] == [
        ("inputs", ["batch", "length"], "tensor(int64)"),
        ("mask", ["batch", "length"], "tensor(bool)"),
    ]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("logits", ["batch", 10])]
    notes = session.get_modelmeta().custom_metadata_map
    assert notes["run"] == "run" and notes["mode"] == "expected" and notes["modules"] == "6"
    assert notes["classes"] == "10" and notes["max_length"] == str(LONGEST)
    assert float(notes["max_difference"]) == pytest.approx(
        result["max_difference"], rel=0.01, abs=0
    )
    assert json.loads(notes["versions"]) == result["versions"]
    check_shapes(path, NAC.from_run(run), [(1, 5), (3, LONGEST), (7, 17), (1, 1)])


def test_above_the_tolerance_nothing_is_kept(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "circuit.onnx"
    strict = [str(run), "--out", str(out), "--tolerance", "1e-12"]
    assert main([*strict, "--mode", "threshold", "--samples", "5"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and not out.parent.exists()
    assert "above the tolerance 1e-12; 100.0 % of answers have the same class, 5" in said.err


def test_clear_errors(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*argv: str) -> str:
        assert main(list(argv)) == 2
        found = capsys.readouterr()
        assert found.out == ""
        return found.err

    assert "expected a run folder" in said(str(tmp_path))
    assert "format: expected one of onnx, torch, got 'tflite'" in said(
        str(run), "--format", "tflite"
    )
    assert "mode: expected one of expected, threshold, got 'hard'" in said(
        str(run), "--mode", "hard"
    )
    assert "samples: expected at least 1" in said(str(run), "--samples", "0")
    assert "got the folder" in said(str(run), "--out", str(tmp_path))
    assert "opset: expected none" in said(str(run), "--format", "torch", "--opset", "20")
    assert "opset: expected a number from 18" in said(str(run), "--opset", "12")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "onnxscript", None)
        assert "pip install 'nacgraph[export]'" in said(str(run))


@pytest.mark.slow
@pytest.mark.parametrize("opset", [18, 20])
@pytest.mark.parametrize(
    ("mode", "changed"),
    [("threshold", {}), ("expected", model_fields("perceiver_io")), ("expected", {"modules": 70})],
    ids=str,
)
def test_onnx_of_other_circuits(
    tmp_path: Path, opset: int, mode: str, changed: dict[str, object]
) -> None:
    config = {
        "modules": 9,
        "readouts": 3,
        "width": 16,
        "code_dim": 8,
        "signature_dim": 8,
        "heads": 2,
        "head_dim": 8,
        "read_heads": 2,
        "read_head_dim": 4,
        "rounds": 4,
        "unique_layers": 2,
        "read_every": 2,
        "eval_mode": mode,
        **changed,
    }
    model = NAC(NACConfig(**config), SequenceTokenizer(16, 16, 200, 2, 9), 10).eval()  # type: ignore[arg-type]
    samples = single_samples([batch_of(7, 33)])
    made = export_circuit(model, tmp_path / "c.onnx", samples, mode=mode, opset=opset)
    assert made.comparison.max_difference < 1e-4
    check_shapes(made.path, model, [(1, 5), (3, 40), (7, 17), (2, 128), (1, 200)])
