"""Every execution of SKMDPA against a loop, and the folded read-in against the naive one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import naive_attention, naive_read_in
from torch import Tensor
from torch.autograd import gradcheck
from torch_geometric import EdgeIndex

from nacgraph import ReadIn
from nacgraph.graph.forms import FullGraph, SampledGraph
from nacgraph.graph.kernel import SignatureKernel
from nacgraph.nn.attention import Attention, choose
from nacgraph.nn.skmdpa import SKMDPA


def random_graph(
    generator: torch.Generator, shape: tuple[int, ...], density: float, dtype: torch.dtype
) -> SampledGraph:
    """A graph with empty rows, as pruning and read-outs may make them."""
    log_weight = torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()
    mask = torch.rand(shape, generator=generator) < density
    return SampledGraph(log_weight.sigmoid(), log_weight, mask)


def normals(generator: torch.Generator, *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Normal numbers in float64, to be differentiated by."""
    return tuple(
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in shapes
    )


def run(function, graph: SampledGraph, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    out = function(*inputs, graph)
    # The graph keeps its edges, and what leads to them, for the next layer: here the next backend.
    gradients = torch.autograd.grad(
        out.pow(2).sum(), (*inputs, graph.log_weight), retain_graph=True
    )
    kept = gradients[-1].masked_fill(~graph.mask, 0.0)
    return [out, *gradients[:-1], kept]


@given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 3),
    receivers=st.integers(1, 6),
    senders=st.integers(1, 6),
    heads=st.integers(1, 3),
    per_sample=st.booleans(),
    density=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_backends_equal_the_loop(
    seed: int,
    batch: int,
    receivers: int,
    senders: int,
    heads: int,
    per_sample: bool,
    density: float,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, receivers, senders) if per_sample else (receivers, senders)
    graph = random_graph(generator, shape, density, torch.float64)
    inputs = normals(generator, *((batch, n, heads, 4) for n in (receivers, senders, senders)))
    wanted = naive_attention(*inputs, graph)
    found = [run(Attention(name), graph, inputs) for name in ("fused", "scatter", "dense")]
    torch.testing.assert_close(found[0][0], wanted, rtol=0, atol=1e-12)
    for one, *others in zip(*found, strict=True):
        assert torch.isfinite(one).all()
        for other in others:
            torch.testing.assert_close(other, one, rtol=0, atol=1e-10)
    with torch.no_grad():  # dense attention then takes another way
        dense = Attention("dense")(*inputs, graph)
    torch.testing.assert_close(dense, wanted, rtol=0, atol=1e-12)


def test_backends_agree_in_single_precision(generator: torch.Generator) -> None:
    signatures = torch.randn(64, 16, generator=generator, requires_grad=True)
    graph = SignatureKernel()(signatures, generator=generator)
    inputs = tuple(torch.randn(2, 64, 4, 24, generator=generator) for _ in range(3))
    one, *others = (Attention(name)(*inputs, graph) for name in ("scatter", "dense", "fused"))
    (wanted,) = torch.autograd.grad(one.mean(), signatures, retain_graph=True)
    assert wanted.abs().max() > 0
    for other in others:
        torch.testing.assert_close(other, one, rtol=0, atol=1e-6)
        (found,) = torch.autograd.grad(other.mean(), signatures, retain_graph=True)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-8)


def test_skmdpa_takes_plain_edges(generator: torch.Generator) -> None:
    graph = random_graph(generator, (9, 7), 0.3, torch.float64)
    query, key, value = normals(generator, *((2, n, 2, 4) for n in (9, 7, 7)))
    wanted = SKMDPA()(query, key, value, graph)
    edge_index, log_weight = graph.edges()
    order = torch.randperm(len(log_weight), generator=generator)
    for edges in (edge_index[:, order], EdgeIndex(edge_index[:, order], sparse_size=(7, 9))):
        found = SKMDPA()(query, key, value, edges, log_weight[order])
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    alone = SKMDPA()(query[0], key[0], value[0], edge_index, log_weight)  # without a batch axis
    torch.testing.assert_close(alone, wanted[0], rtol=0, atol=1e-12)
    unit = SampledGraph(graph.probability, torch.zeros_like(graph.log_weight), graph.mask)
    plain = SKMDPA()(query, key, value, edge_index)  # no weight is a weight of one
    torch.testing.assert_close(plain, SKMDPA()(query, key, value, unit), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="log_weight: expected None, since a graph brings its own"):
        SKMDPA()(query, key, value, graph, log_weight)
    with pytest.raises(ValueError, match=r"log_weight: expected shape"):
        SKMDPA()(query, key, value, edge_index, log_weight[1:])


@pytest.mark.parametrize("package", ["", "raise OSError('built against another torch')"])
def test_no_torch_scatter_is_needed(package: str, tmp_path: Path) -> None:
    (tmp_path / "torch_scatter.py").write_text(package)
    code = """
import torch
from nacgraph.nn import SKMDPA
x, w = torch.arange(12.0).view(3, 2, 2).requires_grad_(), torch.zeros(3, requires_grad=True)
out = SKMDPA()(x, x, x, torch.tensor([[0, 1, 2], [1, 1, 0]]), w)
out.square().sum().backward()
print(torch.isfinite(w.grad).all().item(), torch.equal(out[0], x[2]), out[2].abs().sum().item())
"""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert result.stdout.split() == ["True", "True", "0.0"], result.stderr


@pytest.mark.parametrize("backend", ["fused", "scatter", "dense"])
def test_gradcheck(generator: torch.Generator, backend: str) -> None:
    graph = random_graph(generator, (3, 4), 0.6, torch.float64)
    inputs = normals(generator, *((1, n, 2, 4) for n in (3, 4, 4)))

    def attend(q: Tensor, k: Tensor, v: Tensor, w: Tensor) -> Tensor:
        return Attention(backend)(q, k, v, SampledGraph(graph.probability, w, graph.mask))

    assert gradcheck(attend, (*inputs, graph.log_weight))


def test_normalising_the_weights_changes_nothing(generator: torch.Generator) -> None:
    # SPEC 3: K̂ = K/(δ + ΣK) is constant over j inside a softmax over j.
    graph = random_graph(generator, (6, 6), 0.7, torch.float64)
    inputs = normals(generator, *[(2, 6, 2, 4)] * 3)
    kept = graph.log_weight.exp() * graph.mask
    normalised = graph.log_weight - (1e-3 + kept.sum(-1, keepdim=True)).log()
    other = SampledGraph(graph.probability, normalised, graph.mask)
    attend = Attention("dense")
    torch.testing.assert_close(attend(*inputs, graph), attend(*inputs, other))


def test_complete_graph_is_plain_attention(generator: torch.Generator) -> None:
    graph = SignatureKernel(float("inf"))(torch.randn(5, 3, generator=generator))
    inputs = tuple(torch.randn(2, 5, 2, 24, generator=generator) for _ in range(3))
    plain = torch.nn.functional.scaled_dot_product_attention(
        *(x.transpose(1, 2) for x in inputs)
    ).transpose(1, 2)
    for backend in ("dense", "scatter", "fused"):
        torch.testing.assert_close(Attention(backend)(*inputs, graph), plain)


@given(
    width=st.sampled_from([3, 4, 24]),
    single=st.booleans(),
    batch=st.integers(1, 3),
    heads=st.integers(1, 5),
    receivers=st.sampled_from([1, 7, 40]),
    seed=st.integers(0, 100),
)
@settings(max_examples=30)
def test_fused_equals_scatter_at_other_sizes(
    width: int, single: bool, batch: int, heads: int, receivers: int, seed: int
) -> None:
    # Many receivers and few heads, so that chunks of receivers have gradients of their own.
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(generator, (receivers, 30), 0.4, torch.float64)
    inputs = normals(generator, *((batch, n, heads, width) for n in (receivers, 30, 30)))
    wanted = run(Attention("scatter"), graph, inputs)
    if not single:
        found = run(Attention("fused"), graph, inputs)
        tolerance = {"rtol": 1e-10, "atol": 1e-10}
    else:
        small = [x.detach().float().requires_grad_() for x in (*inputs, graph.log_weight)]
        found = run(
            Attention("fused"), SampledGraph(small[3].sigmoid(), small[3], graph.mask), small[:3]
        )
        tolerance = {"rtol": 2e-4, "atol": 2e-4}
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, **tolerance)


def test_fused_depends_on_no_thread_count(generator: torch.Generator) -> None:
    graph = random_graph(generator, (300, 300), 0.3, torch.float32)
    inputs = tuple(
        torch.randn(2, 300, 8, 24, generator=generator).requires_grad_() for _ in range(3)
    )
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(run(Attention("fused"), graph, inputs))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_fused_in_low_precision_computes_in_single(generator: torch.Generator) -> None:
    graph = random_graph(generator, (20, 20), 0.5, torch.float32)
    inputs = tuple(torch.randn(2, 20, 2, 24, generator=generator) for _ in range(3))
    short = tuple(x.bfloat16() for x in inputs)
    found = Attention("fused")(*short, graph)
    wanted = Attention("fused")(*(x.float() for x in short), graph)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, wanted.bfloat16())


@given(
    seed=st.integers(0, 10_000),
    modules=st.integers(1, 9),
    heads=st.integers(1, 3),
    per_sample=st.booleans(),
    readouts=st.booleans(),
)
def test_expected_weights_need_no_tensor_over_pairs(
    seed: int, modules: int, heads: int, per_sample: bool, readouts: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, modules, 5) if per_sample else (modules, 5)
    (signatures,) = normals(generator, shape)
    (more,) = normals(generator, (*shape[:-2], 4, 5))
    kernel = SignatureKernel(1.0, mode="expected", min_weight=0.0)
    graph = kernel(more, signatures) if readouts else kernel(signatures)
    assert isinstance(graph, FullGraph)
    receivers = 4 if readouts else modules
    inputs = normals(generator, *((2, n, heads, 3) for n in (receivers, modules, modules)))
    plain = SampledGraph(graph.probability, graph.log_weight, graph.mask)
    results = []
    for one in (graph, plain):
        out = Attention("dense")(*inputs, one)
        gradients = torch.autograd.grad(out.pow(2).sum(), (*inputs, signatures), retain_graph=True)
        results.append([out, *gradients])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_auto_chooses_by_device_size_and_density(generator: torch.Generator) -> None:
    def graph(modules: int, density: float) -> SampledGraph:
        return random_graph(generator, (modules, modules), density, torch.float32)

    assert [choose(graph(300, density)) for density in (0.002, 0.9)] == ["fused", "fused"]
    assert [choose(graph(100, density)) for density in (0.4, 0.9)] == ["fused", "dense"]
    assert choose(graph(40, 0.1)) == "dense"
    with torch.no_grad():  # nothing is kept for a backward pass
        assert [choose(graph(300, density)) for density in (0.2, 0.9)] == ["fused", "dense"]
    # No compiled rows there, and nothing was measured there: see the README.
    assert [choose(graph(300, d), "cuda") for d in (0.002, 0.9)] == ["scatter", "dense"]
    assert choose(SignatureKernel(float("inf"))(torch.ones(3, 2))) == "dense"
    with pytest.raises(ValueError, match="backend: expected one of .*, got 'fast'"):
        Attention("fast")


def test_wrong_graph_is_named(generator: torch.Generator) -> None:
    x = torch.zeros(2, 4, 1, 3)
    for backend in ("fused", "scatter", "dense"):
        with pytest.raises(ValueError, match="from 4 senders to 4 receivers, got from 5 to 4"):
            Attention(backend)(x, x, x, random_graph(generator, (4, 5), 0.5, torch.float32))
        with pytest.raises(ValueError, match="expected 2 graphs, one a sample, got 3"):
            Attention(backend)(x, x, x, random_graph(generator, (3, 4, 4), 0.5, torch.float32))


@given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 3),
    modules=st.integers(1, 5),
    length=st.integers(1, 7),
    heads=st.integers(1, 3),
    masked=st.booleans(),
    shared=st.booleans(),
)
def test_folded_read_in_equals_the_naive_one(
    seed: int, batch: int, modules: int, length: int, heads: int, masked: bool, shared: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)

    layer = ReadIn(8, 6, 5, heads, 3, generator=generator).double()
    states = normal(modules, 8) if shared else normal(batch, modules, 8)
    codes, tokens = normal(modules, 5), normal(batch, length, 6)
    mask = None
    if masked:
        mask = torch.rand(batch, length, generator=generator) < 0.6
        mask[:, 0] = True
    wanted = naive_read_in(layer, states, codes, tokens, mask)
    found = layer.attend(states, codes, layer.norm_tokens(tokens), mask)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
    learned = [p for p in layer.parameters() if not any(p is q for q in layer.ffn.parameters())]
    inputs = [states, codes, tokens, *learned]
    pairs = zip(
        torch.autograd.grad(found.pow(2).sum(), inputs),
        torch.autograd.grad(wanted.pow(2).sum(), inputs),
        strict=True,
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_a_sample_without_tokens_is_finite(generator: torch.Generator) -> None:
    layer = ReadIn(8, 6, 5, 2, 3, generator=generator)
    tokens = torch.randn(2, 4, 6, generator=generator, requires_grad=True)
    mask = torch.tensor([[True] * 4, [False] * 4])
    states, codes = torch.randn(3, 8, generator=generator), torch.randn(3, 5, generator=generator)
    out = layer(states, codes, layer.norm_tokens(tokens), mask)
    out.sum().backward()
    assert torch.isfinite(out).all() and torch.isfinite(tokens.grad).all()
    assert (tokens.grad[1] == 0).all()
