"""The ordinary model under compilers: one graph, equal answers, free batch and length."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_circuit import batch_of, make
from torch import Tensor
from torch.export import Dim
from torch.library import opcheck

from nacgraph import SignatureKernel
from nacgraph.export.formats import OnnxFile, trace
from nacgraph.export.freeze import Logits, freeze
from nacgraph.models.config import NACConfig
from nacgraph.models.nac import NAC
from nacgraph.ops import attention_fused
from nacgraph.ops.attention_fused import fused_attention
from nacgraph.tasks import Batch
from nacgraph.tasks.tokenizers import SequenceTokenizer


@pytest.mark.parametrize(
    "change",
    [
        {"backend": "auto"},
        {"eval_mode": "threshold"},
        {"bandwidth": 0.3, "propagator": "gated"},
        {"wiring": "complete", "modulation": False},
        {"condition": "inputs"},
    ],
    ids=str,
)
@torch.no_grad()
def test_the_model_compiles_whole(change: dict[str, Any]) -> None:
    torch.compiler.reset()
    model = make(**{"backend": "dense", "rounds": 2, "read_every": 0, **change}).eval()
    # Whether there is one graph is Dynamo's to say; what comes after it only takes time.
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    for lengths in ([5, 3], [2, 4, 7]):
        batch = batch_of(lengths)
        torch.testing.assert_close(compiled(batch).logits, model(batch).logits, rtol=0, atol=1e-10)


def listops_model(**fields: Any) -> NAC:
    sizes = {"modules": 5, "readouts": 2, "width": 8, "code_dim": 4, "signature_dim": 4}
    heads = {"heads": 2, "head_dim": 4, "read_heads": 2, "read_head_dim": 4}
    small = {**sizes, **heads, "rounds": 2}
    tokenizer = SequenceTokenizer(9, 8, max_length=30, seed=0)
    return NAC(NACConfig(**{**small, **fields}), tokenizer, 4).eval()


def symbols(size: int, length: int) -> tuple[Tensor, Tensor]:
    inputs = torch.randint(1, 9, (size, length))
    mask = torch.arange(length) < torch.randint(1, length + 1, (size, 1))
    return inputs * mask, mask


@pytest.mark.parametrize("mode", ["expected", "threshold"])
@pytest.mark.parametrize("frozen", [False, True], ids=["ordinary", "frozen"])
@torch.no_grad()
def test_exported_with_free_batch_and_length(mode: str, frozen: bool) -> None:
    model = listops_model(eval_mode=mode, bandwidth=0.5)
    module = freeze(model, mode) if frozen else Logits(model)
    free = {0: Dim("batch"), 1: Dim("length", max=30)}
    program = torch.export.export(
        module, symbols(3, 13), dynamic_shapes={"inputs": free, "mask": free}, strict=False
    )
    for size, length in ((1, 2), (7, 30), (4, 11)):
        inputs, mask = symbols(size, length)
        index = torch.zeros(size, dtype=torch.long)
        wanted = model(Batch(inputs, mask, index, index)).logits
        torch.testing.assert_close(program.module()(inputs, mask), wanted, rtol=0, atol=1e-5)


def test_kernels_stay_one_operator() -> None:
    torch.compiler.reset()
    draw = torch.Generator().manual_seed(0)
    graph = SignatureKernel()(torch.randn(20, 6, generator=draw), generator=draw)
    rows = graph.rows
    inputs = [torch.randn(2, 20, 3, 5, generator=draw).double().requires_grad_() for _ in range(3)]

    def score(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return fused_attention(2 * q, k, v, graph).square().sum()

    compiled = torch.compile(score, fullgraph=True, backend="aot_eager")
    for plain, other in zip(
        torch.autograd.grad(score(*inputs), inputs),
        torch.autograd.grad(compiled(*inputs), inputs),
        strict=True,
    ):
        torch.testing.assert_close(other, plain, rtol=0, atol=1e-12)
    padded = [torch.nn.functional.pad(x, (0, 3)).detach().requires_grad_() for x in inputs]
    weight = rows.log_weight.double().detach().requires_grad_()
    found = opcheck(
        attention_fused._operator,
        (*padded, weight, rows.rowptr, rows.sender, False, rows.longest, 0.5),
    )
    assert set(found.values()) == {"SUCCESS"}


@torch.no_grad()
def test_a_prepared_circuit_compiles_around_the_kernels() -> None:
    torch.compiler.reset()
    model, batch = make(backend="fused", bandwidth=0.3, rounds=2).eval(), batch_of([5, 3])
    circuit = model.prepare()
    assert circuit is not None
    for graph in (*circuit.graphs, circuit.readout_graph):
        assert graph.rows.longest > 0  # made before, as a compiler cannot
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    found = compiled(batch, circuit=circuit).logits
    torch.testing.assert_close(found, model(batch).logits, rtol=0, atol=1e-10)


@torch.no_grad()
def test_the_ordinary_model_becomes_onnx_with_free_batch_and_length() -> None:
    module = Logits(listops_model(bandwidth=0.5)).eval()
    file = OnnxFile()
    file.convert(*trace(module, *symbols(3, 13), 30))
    run = file.load(file.encode({}))
    for size, length in ((1, 2), (7, 30), (4, 11)):
        inputs, mask = symbols(size, length)
        torch.testing.assert_close(run(inputs, mask), module(inputs, mask), rtol=0, atol=1e-4)
