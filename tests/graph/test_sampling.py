"""Sampled edges: the distribution is the dense sampler's, and nothing else is in the result."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from nacgraph.graph import sampling
from nacgraph.graph.edges import Edges, edge_log_weights
from nacgraph.graph.links import MODES, concrete_log_sample, log_link_probabilities, logit
from nacgraph.graph.sampling import sample_edges

CUTS = (None, -math.inf, -0.5, 0.3, 0.99)  # None: as chosen


def unit(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=dtype), dim=-1)


def dense(
    receivers: Tensor,
    senders: Tensor,
    bandwidth: float,
    temperature: float,
    min_weight: float,
    mode: str,
    loops: bool,
    noise: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Log weights and mask of all pairs, as SPEC 3 puts them; ``noise`` is u."""
    log_p = log_link_probabilities(receivers, senders, bandwidth)
    own = torch.eye(*log_p.shape[-2:], dtype=torch.bool) & loops
    least = math.log(0.5) if mode in ("threshold", "hard") else math.log(max(min_weight, 1e-300))
    if mode == "threshold":
        log_weight, mask = torch.zeros_like(log_p), log_p > least
    elif mode == "expected":
        log_weight, mask = log_p, log_p >= least
    else:
        assert noise is not None
        log_weight = concrete_log_sample(log_p, noise, temperature)
        mask = log_weight > least if mode == "hard" else log_weight >= least
        log_weight = log_weight - log_weight.detach() if mode == "hard" else log_weight
    best = F.one_hot(log_p.argmax(-1), log_p.shape[-1]).bool()
    mask = mask | own | (best & ~(mask | own).any(-1, keepdim=True))
    return log_weight.masked_fill(own, 0.0), mask


def link_rate(p: Tensor, temperature: float, min_weight: float, mode: str) -> Tensor:
    """Probability that the pair is an edge: K >= w iff logit u >= τ logit w - logit P."""
    bound = temperature * math.log(min_weight / (1 - min_weight)) if mode == "concrete" else 0.0
    return torch.sigmoid(logit(p.log()) - bound)


def as_mask(edges: Edges) -> Tensor:
    mask = torch.zeros(len(edges.rowptr) - 1, edges.num_senders, dtype=torch.bool)
    rows = torch.from_numpy(np.repeat(np.arange(len(mask)), np.diff(edges.rowptr)))
    mask[rows, edges.sender.long()] = True
    assert int(mask.sum()) == edges.num_edges  # none twice
    return mask.view(-1, edges.num_receivers, edges.num_senders)


def same(a: Edges, b: Edges) -> bool:
    noise = a.noise_logit is b.noise_logit is None or torch.equal(a.noise_logit, b.noise_logit)  # type: ignore[arg-type]
    return noise and torch.equal(a.rowptr, b.rowptr) and torch.equal(a.sender, b.sender)


@pytest.fixture(params=CUTS, ids=str)
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float | None:
    """Near and far pairs parted here; whichever it is, the distribution is the same."""
    if request.param is not None:
        monkeypatch.setattr(sampling, "choose_cut", lambda *_: request.param)
    return request.param


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("mode", "min_weight"), [("hard", 0.0), ("concrete", 0.2)])
def test_link_rate_of_every_pair(cut: float | None, mode: str, min_weight: float) -> None:
    draws, signatures = 4000, unit(20, 3, dtype=torch.float64)
    edges = sample_edges(signatures, signatures, 0.6, 0.7, min_weight, mode, 5, True, draws)
    p = log_link_probabilities(signatures, signatures, 0.6).exp()
    q = link_rate(p, 0.7, min_weight, mode).fill_diagonal_(1.0)
    found = as_mask(edges).double().mean(0)
    z = (found - q) / (q * (1 - q) / draws).sqrt().clamp_min(1e-9)
    assert z.abs().max() < 5
    away = z[~torch.eye(20, dtype=torch.bool)]
    assert abs(float(away.square().mean()) - 1) < 5 * math.sqrt(2 / len(away))
    assert q.min() < 0.1 and (q > 0.5).sum() > 30  # rare and frequent links are both tried


@pytest.mark.parametrize("mode", ["hard", "concrete"])
def test_noise_of_the_edges_is_the_dense_samplers(cut: float | None, mode: str) -> None:
    draws, angle = 3000, torch.tensor([0.0, 0.3, 0.9, 1.4, 2.2], dtype=torch.float64)
    signatures = torch.stack([angle.cos(), angle.sin()], -1)
    settings = (0.5, 0.5, 0.05)
    edges = sample_edges(signatures, signatures, *settings, mode, 3, True, draws)
    soft = edge_log_weights(signatures, signatures, edges, 0.5, 0.5, "concrete")
    u = torch.rand(draws, 5, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    _, mask = dense(signatures, signatures, *settings, mode, True, u)
    theirs, _ = dense(signatures, signatures, *settings, "concrete", True, u)
    for j in range(1, 5):  # pairs (0, j), ever farther apart
        ours = soft[(edges.receiver == 0) & (edges.sender == j)].sort().values
        other = theirs[mask[:, 0, j], 0, j].sort().values
        assert min(len(ours), len(other)) > 50
        points = torch.cat([ours, other])
        below = [torch.searchsorted(x, points, right=True) / len(x) for x in (ours, other)]
        distance = float((below[0] - below[1]).abs().max())  # Kolmogorov-Smirnov
        assert distance < 1.95 * math.sqrt(1 / len(ours) + 1 / len(other))  # 0.1 %


def ring(modules: int) -> Tensor:
    """Signatures evenly around a circle: no pair is so close that it always links."""
    angle = torch.arange(modules) * (2 * math.pi / modules)
    return torch.stack([angle.cos(), angle.sin()], -1)


def standardised(mask: Tensor) -> Tensor:
    """Links of every graph (graphs, pairs), with mean 0 and variance 1 over the graphs."""
    links = mask[:, ~torch.eye(mask.shape[-1], dtype=torch.bool)].double()
    return (links - links.mean(0)) / links.std(0)


def test_pairs_and_graphs_are_independent(cut: float | None) -> None:
    draws, signatures = 5000, ring(6)
    edges = sample_edges(signatures, signatures, 0.8, 0.5, 0.0, "hard", 9, True, draws)
    links = standardised(as_mask(edges))
    among = links.T @ links / draws  # pairs of the same row and of others
    assert among.fill_diagonal_(0).abs().max() < 5 / math.sqrt(draws)
    after = links[:-1].T @ links[1:] / draws  # one graph and the next
    assert after.abs().max() < 5 / math.sqrt(draws)


def test_seeds_are_independent() -> None:
    draws, signatures = 1000, ring(6)
    masks = [
        as_mask(sample_edges(signatures, signatures, 0.8, 0.5, 0.0, "hard", seed, True))
        for seed in range(draws)
    ]
    found = torch.cat(masks).double().mean(0)
    p = log_link_probabilities(signatures, signatures, 0.8).exp().fill_diagonal_(1.0)
    assert ((found - p).abs() <= 5 * (p * (1 - p) / draws).sqrt()).all()
    links = standardised(torch.cat(masks))
    assert (links[:-1].T @ links[1:] / draws).abs().max() < 5 / math.sqrt(draws)


def degree_scores(mask: Tensor, q: Tensor) -> Tensor:
    """For receivers and senders, how far degrees spread beyond the binomial's (0 on average)."""
    scores = []
    for axis in (0, 1):
        variance = (q * (1 - q)).sum(axis)
        z = (mask.double().sum(axis) - q.sum(axis)) / variance.sqrt()
        scores += [z.sum() / math.sqrt(len(z)), (z.square().sum() - len(z)) / math.sqrt(2 * len(z))]
    return torch.stack(scores)


@pytest.mark.parametrize(("mode", "bandwidth"), [("hard", 0.16), ("concrete", 0.1)])
def test_degrees_are_the_dense_samplers(mode: str, bandwidth: float) -> None:
    signatures = torch.cat([unit(600, 24, seed=1), unit(200, 24, seed=2) * 0.3])
    signatures[600:] += unit(1, 24, seed=3)  # a community, so that there are close pairs too
    signatures = F.normalize(signatures, dim=-1)
    edges = sample_edges(signatures, signatures, bandwidth, 0.5, 0.05, mode, 8, True)
    p = log_link_probabilities(signatures, signatures, bandwidth).double().exp()
    q = link_rate(p, 0.5, 0.05, mode).fill_diagonal_(0.0)
    u = torch.rand(800, 800, generator=torch.Generator().manual_seed(4))
    _, mask = dense(signatures, signatures, bandwidth, 0.5, 0.05, mode, True, u)
    for drawn in (as_mask(edges)[0], mask):
        assert degree_scores(drawn.clone().fill_diagonal_(False), q).abs().max() < 4


@pytest.mark.parametrize("mode", MODES)
def test_result_does_not_depend_on_blocks_or_threads(mode: str, threads: None) -> None:
    receivers, senders = unit(2, 301, 12), unit(2, 500, 12, seed=1)
    drawn, weights, slopes = [], [], []
    for count, block in ((1, None), (1, 1), (2, 7), (3, 300), (3, 1000)):
        torch.set_num_threads(count)
        edges = sample_edges(receivers, senders, 0.2, 0.5, 0.05, mode, 4, False, block=block)
        assert torch.get_num_threads() == count
        leaves = receivers.clone().requires_grad_(), senders.clone().requires_grad_()
        weight = edge_log_weights(*leaves, edges, 0.2, 0.5, mode)
        drawn.append(edges)
        weights.append(weight.detach())
        if mode != "threshold":
            slopes.append(torch.autograd.grad((weight * weight.detach().exp()).sum(), leaves))
    assert all(same(drawn[0], other) for other in drawn)
    assert all(torch.equal(weights[0], other) for other in weights)
    assert all(torch.equal(a, b) for other in slopes for a, b in zip(slopes[0], other, strict=True))


def test_seed_and_graph_make_the_edges() -> None:
    signatures = unit(50, 8)

    def draw(seed: int, graphs: int | None = None) -> Edges:
        return sample_edges(signatures, signatures, 0.5, 0.5, 0.01, "hard", seed, True, graphs)

    assert same(draw(1), draw(1)) and not same(draw(1), draw(2))
    assert draw(1).graphs is None and draw(1, 3).graphs == 3
    three = as_mask(draw(1, 3))
    assert not torch.equal(three[0], three[1]) and not torch.equal(three[1], three[2])
    assert torch.equal(three[:2], as_mask(draw(1, 2)))
    assert not same(draw(1), draw(2**64 - 1))


@settings(max_examples=40)
@given(
    samples=st.sampled_from([None, 1, 3]),
    num=st.integers(1, 40),
    others=st.integers(1, 70),
    width=st.integers(1, 9),
    bandwidth=st.floats(0.05, 3.0),
    mode=st.sampled_from(["expected", "threshold"]),
    loops=st.booleans(),
    seed=st.integers(0, 99),
)
def test_modes_without_noise_are_the_dense_mask(
    samples: int | None,
    num: int,
    others: int,
    width: int,
    bandwidth: float,
    mode: str,
    loops: bool,
    seed: int,
) -> None:
    lead = () if samples is None else (samples,)
    receivers = unit(*lead, num, width, seed=seed, dtype=torch.float64)
    senders = receivers if loops else unit(*lead, others, width, seed=seed + 100).double()
    senders = F.normalize(senders, dim=-1)
    settings = (bandwidth, 0.5, 0.2, mode)
    edges = sample_edges(receivers, senders, *settings, 0, loops, block=8)
    log_p = log_link_probabilities(receivers, senders, bandwidth)
    _, mask = dense(receivers, senders, *settings, loops)
    unclear = (log_p - math.log(0.5 if mode == "threshold" else 0.2)).abs() < 1e-9
    top = log_p.topk(min(2, log_p.shape[-1])).values
    unclear |= (top[..., :1] - top[..., -1:] < 1e-9) & (width == 1 or top.shape[-1] > 1)
    assert (unclear | (as_mask(edges).view(mask.shape) == mask)).all()
    assert edges.noise_logit is None and edges.graphs == samples
    assert all((row.diff() > 0).all() for row in edges.sender.split(edges.rowptr.diff().tolist()))
    weights = edge_log_weights(receivers, senders, edges, bandwidth, 0.5, mode)
    if mode == "expected":
        own = torch.eye(*mask.shape[-2:], dtype=torch.bool) & loops
        log_p = log_p.masked_fill(own, 0.0)
        flat = log_p.view(-1, log_p.shape[-1])
        rows = torch.arange(len(flat)).repeat_interleave(edges.rowptr.diff())
        torch.testing.assert_close(weights, flat[rows, edges.sender.long()], rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_self_links_and_lonely_read_outs(mode: str) -> None:
    far = torch.eye(40)
    among = sample_edges(far, far, 0.01, 0.5, 0.01, mode, 1, True)
    assert torch.equal(as_mask(among)[0], far.bool())
    leaf = far.clone().requires_grad_()
    weight = edge_log_weights(leaf, leaf, among, 0.01, 0.5, mode)
    assert (weight == 0).all()
    if mode != "threshold":
        assert (torch.autograd.grad(weight.sum(), leaf)[0] == 0).all()
    senders = unit(40, 30)
    receivers = F.normalize(senders[[7, 3, 30]] + 0.9 * unit(3, 30, seed=5), dim=-1)
    out = sample_edges(receivers, senders, 0.002, 0.5, 0.01, mode, 1, False)
    assert out.sender.tolist() == [7, 3, 30]
    assert torch.isfinite(edge_log_weights(receivers, senders, out, 0.002, 0.5, mode)).all()


@pytest.mark.parametrize("bandwidth", [1e-3, 0.3, 50.0])
def test_without_least_weight_every_pair_is_an_edge(bandwidth: float) -> None:
    signatures = unit(33, 5)
    signatures[3] = signatures[4]  # P = 1 up to rounding
    signatures[5] = -signatures[6]
    edges = sample_edges(signatures, signatures, bandwidth, 0.5, 0.0, "concrete", 1, True)
    assert as_mask(edges).all()
    weights = edge_log_weights(signatures, signatures, edges, bandwidth, 0.5, "concrete")
    assert torch.isfinite(weights).all() and (weights <= 0).all()
    own = edges.sender == edges.receiver
    u = torch.sigmoid(edges.noise_logit[~own].double()).sort().values  # type: ignore[index]
    even = (torch.arange(len(u)) + 0.5) / len(u)
    assert float((u - even).abs().max()) < 1.95 / math.sqrt(len(u))


@pytest.mark.parametrize("mode", ["hard", "concrete", "expected"])
@pytest.mark.parametrize("case", ["shared", "graphs", "per sample"])
def test_weights_and_gradients_are_the_dense_formula(mode: str, case: str) -> None:
    lead = (3,) if case == "per sample" else ()
    receivers, senders = (
        unit(*lead, n, 6, seed=n, dtype=torch.float64).requires_grad_() for n in (17, 23)
    )
    graphs = 3 if case == "graphs" else None
    edges = sample_edges(receivers, senders, 0.7, 0.4, 0.1, mode, 6, False, graphs)
    weight = edge_log_weights(receivers, senders, edges, 0.7, 0.4, mode)

    mask, noise = as_mask(edges), torch.full(as_mask(edges).shape, 0.5, dtype=torch.float64)
    if edges.noise_logit is not None:
        noise[mask] = torch.sigmoid(edges.noise_logit.double())
    every, _ = dense(receivers, senders, 0.7, 0.4, 0.1, mode, False, noise)
    expected = every.expand(mask.shape)[mask]
    torch.testing.assert_close(weight, expected, rtol=1e-12, atol=1e-12)
    upstream = torch.randn(len(weight), generator=torch.Generator().manual_seed(1)).double()
    ours = torch.autograd.grad((weight * upstream).sum(), (receivers, senders))
    theirs = torch.autograd.grad((expected * upstream).sum(), (receivers, senders))
    for a, b in zip(ours, theirs, strict=True):
        # The dense formula normalises, which drops the radial part.
        for s in (receivers, senders):
            if s.shape == a.shape:
                a = a - (a * s).sum(-1, keepdim=True) * s
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert ours[0].abs().max() > 0


@pytest.mark.parametrize("graphs", [None, 2])
@pytest.mark.parametrize("mode", ["concrete", "expected"])
def test_gradcheck(mode: str, graphs: int | None) -> None:
    raw = torch.randn(6, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    unit_length = F.normalize(raw, dim=-1)
    edges = sample_edges(unit_length, unit_length, 0.8, 0.5, 0.01, mode, 2, True, graphs)

    def weights(raw: Tensor) -> Tensor:
        signatures = F.normalize(raw, dim=-1)
        return edge_log_weights(signatures, signatures, edges, 0.8, 0.5, mode)

    assert gradcheck(weights, raw.requires_grad_())


def test_types() -> None:
    signatures, half = unit(30, 8), unit(30, 8).bfloat16()
    arguments = (0.5, 0.5, 0.01, "hard", 1, True)
    edges = sample_edges(signatures, signatures, *arguments)
    assert (edges.rowptr.dtype, edges.sender.dtype) == (torch.int64, torch.int32)
    array = np.asarray(signatures)
    assert same(edges, sample_edges(array, array, *arguments))
    rough = sample_edges(half, half, *arguments)
    for s, e in ((signatures, edges), (half, rough)):
        assert edge_log_weights(s, s, e, 0.5, 0.5, "concrete").dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert same(edges, sample_edges(signatures, signatures, *arguments))


def test_coarse_cosines_in_single_precision_make_the_same_edges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signatures, arguments = unit(300, 16), (0.2, 0.5, 0.01, "hard", 1, True)
    edges = sample_edges(signatures, signatures, *arguments)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    assert same(edges, sample_edges(signatures, signatures, *arguments))


def test_sixteen_thousand_modules() -> None:
    modules, signatures = 16_384, unit(16_384, 16)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    edges = sample_edges(signatures, signatures, 0.14, 0.5, 0.01, "hard", 1, True)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200 * 1024  # KiB; the dense sampler's tensors take a GiB each
    q = log_link_probabilities(signatures[:300], signatures, 0.14).double().exp()
    q[torch.arange(300), torch.arange(300)] = 1.0
    degree, variance = edges.rowptr.diff()[:300].double(), (q * (1 - q)).sum(-1)
    z = (degree - q.sum(-1)) / variance.sqrt()
    assert abs(float(z.sum())) < 4 * math.sqrt(300)
    assert abs(float(z.square().sum()) - 300) < 4 * math.sqrt(600)
    assert edges.num_edges > 8 * modules


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bandwidth": 0.0}, "bandwidth: expected a finite number > 0, got 0.0"),
        ({"bandwidth": math.inf}, "bandwidth: expected a finite number > 0, got inf"),
        ({"temperature": -1.0}, "temperature: expected a number > 0, got -1.0"),
        ({"min_weight": 1.0}, r"min_weight: expected a number in \[0, 1\), got 1.0"),
        ({"mode": "soft"}, "mode: expected one of .*, got 'soft'"),
        ({"seed": -1}, "seed: expected an integer >= 0, got -1"),
        ({"seed": None}, "seed: expected an integer >= 0, got None"),
        ({"graphs": 0}, "graphs: expected at least 1 or None, got 0"),
        ({"block": 0}, "block: expected at least 1, got 0"),
        ({"senders": torch.eye(5)[:4]}, "loops: expected as many .*, got 4 for 5"),
        ({"senders": torch.eye(4)}, r"senders: expected .*\(5, 5\).*, got \(4, 4\)"),
        ({"senders": torch.eye(5).double()}, "senders: expected .*float32, got .*float64"),
        ({"receivers": torch.eye(5)[None]}, "senders: expected the receivers' samples"),
        ({"receivers": torch.eye(5)[0]}, r"receivers: expected shape .*, got \(5,\)"),
        ({"receivers": torch.eye(5)[:0]}, r"receivers: expected shape .*, got \(0, 5\)"),
        (
            {"receivers": torch.eye(5) * 2},
            "receivers: expected vectors of unit length, got length 2",
        ),
        ({"receivers": torch.eye(5) * math.nan}, "receivers: .* got length nan"),
        ({"receivers": torch.eye(5).int()}, "receivers: expected floating point on the CPU"),
        (
            {"receivers": torch.eye(5)[None], "senders": torch.eye(5)[None], "graphs": 2},
            "graphs: expected 1 or None, got 2",
        ),
    ],
)
def test_bad_arguments_are_named(change: dict, message: str) -> None:
    good: dict = {
        "receivers": torch.eye(5),
        "senders": torch.eye(5),
        "bandwidth": 0.5,
        "temperature": 0.5,
        "min_weight": 0.01,
        "mode": "hard",
        "seed": 0,
        "loops": True,
    }
    sample_edges(**good)
    with pytest.raises(ValueError, match=message):
        sample_edges(**(good | change))


def test_weights_name_what_does_not_belong_to_the_edges() -> None:
    s = torch.eye(5)
    edges = sample_edges(s, s, 0.5, 0.5, 0.01, "expected", 0, True)
    for receivers, senders, mode, message in (
        (s[:4], s, "expected", r"receivers: expected \(5, S\) .*, got \(4, 5\)"),
        (s, s[:4], "expected", r"senders: expected \(5, S\) .*, got \(4, 5\)"),
        (s[None], s[None], "expected", "receivers: expected"),
        (s, s[:, :4], "expected", r"senders: expected the axes .*, got \(5, 4\)"),
        (s, s, "hard", "edges: expected edges with noise, since mode is 'hard'"),
        (s, s, "soft", "mode: expected one of"),
    ):
        with pytest.raises(ValueError, match=message):
            edge_log_weights(receivers, senders, edges, 0.5, 0.5, mode)
