"""Every execution of SKMDPA against a loop, and the folded read-in against the naive one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import naive_attention, naive_read_in
from torch import Tensor
from torch.autograd import gradcheck

import nacgraph.scatter as scatter
from nacgraph import ReadIn
from nacgraph.backends import Attention, choose
from nacgraph.kernel import SampledGraph, SignatureKernel


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
    gradients = torch.autograd.grad(out.pow(2).sum(), (*inputs, graph.log_weight))
    kept = gradients[-1].masked_fill(~graph.mask, 0.0)
    return [out, *gradients[:-1], kept]


@given(
    seed=st.integers(0, 10_000), batch=st.integers(1, 3), receivers=st.integers(1, 6),
    senders=st.integers(1, 6), heads=st.integers(1, 3), per_sample=st.booleans(),
    density=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_backends_equal_the_loop(
    seed: int, batch: int, receivers: int, senders: int, heads: int, per_sample: bool,
    density: float,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, receivers, senders) if per_sample else (receivers, senders)
    graph = random_graph(generator, shape, density, torch.float64)
    inputs = normals(generator, *((batch, n, heads, 4) for n in (receivers, senders, senders)))
    wanted = naive_attention(*inputs, graph)
    found = [run(Attention(name), graph, inputs) for name in ("scatter", "dense")]
    torch.testing.assert_close(found[0][0], wanted, rtol=0, atol=1e-12)
    for one, other in zip(*found, strict=True):
        assert torch.isfinite(one).all()
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_backends_agree_in_single_precision(generator: torch.Generator) -> None:
    signatures = torch.randn(64, 16, generator=generator, requires_grad=True)
    graph = SignatureKernel()(signatures, generator=generator)
    inputs = tuple(torch.randn(2, 64, 4, 8, generator=generator) for _ in range(3))
    one, two = (Attention(name)(*inputs, graph) for name in ("scatter", "dense"))
    torch.testing.assert_close(one, two, rtol=0, atol=1e-6)
    gradients = [torch.autograd.grad(x.mean(), signatures, retain_graph=True)[0]
                 for x in (one, two)]
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-8)


def test_torch_scatter_and_pytorch_agree(
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without torch_scatter installed both runs take PyTorch's path; with it, this compares.
    graph = random_graph(generator, (9, 7), 0.3, torch.float64)
    inputs = normals(generator, *((2, n, 2, 4) for n in (9, 7, 7)))
    here = run(Attention("scatter"), graph, inputs)
    monkeypatch.setattr(scatter, "torch_scatter", None)
    plain = run(Attention("scatter"), graph, inputs)
    for one, other in zip(here, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", ["scatter", "dense"])
def test_gradcheck(generator: torch.Generator, backend: str) -> None:
    graph = random_graph(generator, (3, 4), 0.6, torch.float64)
    inputs = normals(generator, *((1, n, 2, 2) for n in (3, 4, 4)))

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
    inputs = tuple(torch.randn(2, 5, 2, 4, generator=generator) for _ in range(3))
    plain = torch.nn.functional.scaled_dot_product_attention(
        *(x.transpose(1, 2) for x in inputs)
    ).transpose(1, 2)
    for backend in ("dense", "scatter"):
        torch.testing.assert_close(Attention(backend)(*inputs, graph), plain)


def test_auto_chooses_by_density(generator: torch.Generator) -> None:
    assert choose(random_graph(generator, (100, 100), 0.5, torch.float32)) == "dense"
    assert choose(random_graph(generator, (300, 300), 0.002, torch.float32)) == "scatter"
    with pytest.raises(ValueError, match="backend: wanted one of .*, got 'fast'"):
        Attention("fast")


def test_wrong_graph_is_named(generator: torch.Generator) -> None:
    x = torch.zeros(2, 4, 1, 3)
    for backend in ("scatter", "dense"):
        with pytest.raises(ValueError, match="from 4 senders to 4 receivers, got from 5 to 4"):
            Attention(backend)(x, x, x, random_graph(generator, (4, 5), 0.5, torch.float32))
        with pytest.raises(ValueError, match="wanted 2 graphs, one a sample, got 3"):
            Attention(backend)(x, x, x, random_graph(generator, (3, 4, 4), 0.5, torch.float32))


@given(
    seed=st.integers(0, 10_000), batch=st.integers(1, 3), modules=st.integers(1, 5),
    length=st.integers(1, 7), heads=st.integers(1, 3), masked=st.booleans(),
    shared=st.booleans(),
)
def test_folded_read_in_equals_the_naive_one(
    seed: int, batch: int, modules: int, length: int, heads: int, masked: bool, shared: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)

    layer = ReadIn(8, 6, 5, heads, 3, generator).double()
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
    layer = ReadIn(8, 6, 5, 2, 3, generator)
    tokens = torch.randn(2, 4, 6, generator=generator, requires_grad=True)
    mask = torch.tensor([[True] * 4, [False] * 4])
    states, codes = torch.randn(3, 8, generator=generator), torch.randn(3, 5, generator=generator)
    out = layer(states, codes, layer.norm_tokens(tokens), mask)
    out.sum().backward()
    assert torch.isfinite(out).all() and torch.isfinite(tokens.grad).all()
    assert (tokens.grad[1] == 0).all()
