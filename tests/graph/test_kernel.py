"""Signature kernel: probabilities, samples, and what may go wrong near 0 and 1."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from nacgraph.graph.forms import BiasGraph, isolated, mean_degree
from nacgraph.graph.kernel import SharedNoise, SignatureKernel
from nacgraph.graph.links import (
    DEFAULT_BANDWIDTH,
    concrete_log_sample,
    link_probabilities,
    logit,
)


def test_probabilities_by_angle() -> None:
    s = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]], dtype=torch.float64)
    p = link_probabilities(s, s, DEFAULT_BANDWIDTH)
    least = math.exp(-2 / DEFAULT_BANDWIDTH)
    expected = torch.tensor(
        [[1, 0.05, least], [0.05, 1, 0.05], [least, 0.05, 1]], dtype=torch.float64
    )
    torch.testing.assert_close(p, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [0.0, 1e-30, 0.3, 1 - 1e-7, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 1e-3])
def test_finite_at_the_ends(p: float, temperature: float, dtype: torch.dtype) -> None:
    log_p = torch.tensor(p, dtype=dtype).clamp_min(1e-300 if dtype == torch.float64 else 1e-37)
    log_p = log_p.log().requires_grad_()
    for u in (2.0**-25, 0.5, 1 - 2.0**-24):
        log_k = concrete_log_sample(log_p, torch.tensor(u, dtype=dtype), temperature)
        (gradient,) = torch.autograd.grad(log_k, log_p)
        assert torch.isfinite(log_k) and log_k <= 0
        assert torch.isfinite(gradient)


@given(st.floats(1e-12, 1 - 1e-6))
def test_logit(p: float) -> None:
    got = logit(torch.tensor(p, dtype=torch.float64).log())
    assert float(got) == pytest.approx(math.log(p) - math.log1p(-p), rel=1e-6, abs=1e-6)


def test_gradcheck_of_the_concrete_sample(generator: torch.Generator) -> None:
    signatures = torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True)

    def weights(s: torch.Tensor) -> torch.Tensor:
        noise = torch.Generator().manual_seed(1)
        graph = SignatureKernel(mode="concrete", min_weight=0.0)(s, generator=noise)
        return graph.log_weight

    assert gradcheck(weights, (signatures,))


@pytest.mark.parametrize("mode", ["concrete", "hard"])
@pytest.mark.parametrize("temperature", [0.5, 0.05])
def test_empirical_link_rate_is_p(
    generator: torch.Generator, mode: str, temperature: float
) -> None:
    draws, signatures = 10_000, torch.randn(4, 3, generator=generator)
    kernel = SignatureKernel(1.0, temperature, mode, min_weight=0.5)
    graph = kernel(signatures, generator=generator, graphs=draws)
    p = graph.probability
    bound = 5 * (p * (1 - p) / draws).sqrt() + 1e-9  # five standard deviations
    assert ((graph.mask.float().mean(0) - p).abs() <= bound).all()
    assert p.min() < 0.5 < p.max()  # the bound is tried on both sides


def test_straight_through(generator: torch.Generator) -> None:
    signatures = torch.randn(6, 3, generator=generator, requires_grad=True)
    gradients = []
    for mode in ("hard", "concrete"):
        noise = torch.Generator().manual_seed(3)
        graph = SignatureKernel(1.0, mode=mode, min_weight=0.5)(signatures, generator=noise)
        if mode == "hard":
            assert torch.equal(graph.log_weight, torch.zeros(6, 6))
        total = graph.log_weight[graph.mask].sum()
        gradients.append(torch.autograd.grad(total, signatures)[0])
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() > 0


def test_min_weight_and_modes(generator: torch.Generator) -> None:
    signatures = torch.randn(20, 4, generator=generator)
    p = link_probabilities(signatures, signatures, 0.5)
    own = torch.eye(20, dtype=torch.bool)
    expected = SignatureKernel(0.5, mode="expected", min_weight=0.1)(signatures)
    assert torch.equal(expected.mask | own, (p >= 0.1) | own)
    threshold = SignatureKernel(0.5, mode="threshold")(signatures)
    assert torch.equal(threshold.mask, (p > 0.5) | own)
    assert not threshold.log_weight.requires_grad
    soft = SignatureKernel(0.5, mode="concrete", min_weight=0.2)(signatures, generator=generator)
    assert torch.equal(soft.mask | own, (soft.log_weight >= math.log(0.2)) | own)


def test_self_links_and_lonely_read_outs() -> None:
    far = torch.eye(5)
    kernel = SignatureKernel(0.01, mode="threshold")
    among = kernel(far)
    assert torch.equal(among.mask, torch.eye(5, dtype=torch.bool))
    assert isolated(among) == 5
    nearest = torch.tensor([[0.1, 0.0, 0.3, 0.0, 0.0]])
    out = kernel(nearest, far)
    assert out.mask.tolist() == [[False, False, True, False, False]]


def test_complete_graph(generator: torch.Generator) -> None:
    graph = SignatureKernel(math.inf)(torch.randn(4, 3, generator=generator))
    assert graph.complete and graph.mask.all() and (graph.probability == 1).all()
    assert mean_degree(graph.probability) == 3


def test_orthogonal_signatures_have_the_documented_density(generator: torch.Generator) -> None:
    # SPEC 3: at P = 0.05 and τ = 0.5, 5 % of links have K > 0.5, 14 % K > 0.1, 34 % K > 0.01.
    graph = SignatureKernel(mode="concrete", min_weight=0.0)(torch.eye(600), generator=generator)
    away = graph.log_weight[~torch.eye(600, dtype=torch.bool)].exp()
    shares = [float((away > k).float().mean()) for k in (0.5, 0.1, 0.01)]
    assert shares == pytest.approx([0.05, 0.14, 0.34], abs=0.01)


def test_edges_come_sorted_by_receiver(generator: torch.Generator) -> None:
    signatures = torch.randn(7, 3, generator=generator)
    graph = SignatureKernel(1.0, mode="hard")(signatures, generator=generator, graphs=3)
    edge_index, log_weight = graph.edges()
    assert (edge_index[1].diff() >= 0).all()
    assert len(log_weight) == int(graph.mask.sum()) == edge_index.shape[1]
    block = edge_index // 7
    assert torch.equal(block[0], block[1])  # no edge between samples
    rebuilt = torch.zeros(3, 7, 7, dtype=torch.bool)
    rebuilt[block[0], edge_index[1] % 7, edge_index[0] % 7] = True
    assert torch.equal(rebuilt, graph.mask)


def test_noise_belongs_to_the_generator() -> None:
    signatures, kernel = torch.eye(8), SignatureKernel()

    def draw(seed: int) -> torch.Tensor:
        return kernel(signatures, generator=torch.Generator().manual_seed(seed)).log_weight

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_errors() -> None:
    with pytest.raises(ValueError, match="mode: expected one of .*, got 'soft'"):
        SignatureKernel(mode="soft")
    with pytest.raises(ValueError, match="bandwidth: expected a number > 0, got 0"):
        SignatureKernel(0)
    with pytest.raises(ValueError, match="temperature"):
        SignatureKernel(temperature=-1)
    with pytest.raises(ValueError, match="min_weight"):
        SignatureKernel(min_weight=1.0)
    with pytest.raises(ValueError, match="senders: .* width 3, got 4"):
        link_probabilities(torch.zeros(2, 3), torch.zeros(2, 4), 1.0)


@pytest.mark.parametrize("modules", [5, 520])  # beyond 2^18 pairs only edges are drawn
def test_without_a_generator_the_noise_is_pytorchs(modules: int) -> None:
    kernel, signatures = SignatureKernel(mode="hard"), torch.randn(modules, 4)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    links = float(kernel(signatures).density)
    assert not torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert float(kernel(signatures).density) == links
    before = torch.get_rng_state()
    kernel(signatures, generator=torch.Generator().manual_seed(0))
    kernel(signatures, mode="threshold")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("modules", [6, 200])  # drawn as tensors over all pairs, and as edges
@pytest.mark.parametrize("own", [True, False])  # signatures of its own for each sample, or shared
@pytest.mark.parametrize("mode", ["concrete", "hard"])
def test_a_sample_gets_the_noise_of_its_place_in_the_batch(
    modules: int, own: bool, mode: str
) -> None:
    kernel, samples, world = SignatureKernel(0.5, mode=mode), 8, 2
    signatures = torch.randn(*([samples] if own else []), modules, 8)

    def drawn(rank: int, world: int) -> list[torch.Tensor]:
        noise = SharedNoise()
        noise.manual_seed(3)
        noise.rank, noise.world = rank, world
        given = signatures[rank::world] if own else signatures
        graphs = kernel.draws(2, given, generator=noise, graphs=samples // world)
        shared = kernel(torch.eye(4), generator=noise)
        weights = [BiasGraph.of(graph, torch.float32).bias for graph in graphs]
        return [*weights, BiasGraph.of(shared, torch.float32).bias]

    whole = drawn(0, 1)
    for rank in range(world):
        for share, all_of in zip(drawn(rank, world)[:2], whole[:2], strict=True):
            torch.testing.assert_close(share, all_of[rank::world])
        torch.testing.assert_close(drawn(rank, world)[2], whole[2])
