"""SKMDPAConv against ModAttention, a plain loop, and what a PyG user expects of a convolution."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data
from torch_geometric.nn import MessagePassing, Sequential, to_hetero

from nacgraph.graph.forms import SampledGraph
from nacgraph.nn import SKMDPA, ModAttention, SKMDPAConv
from nacgraph.nn.modfc import modulations

EDGES = torch.tensor([[0, 1, 2, 3, 3, 0, 2], [1, 2, 0, 0, 3, 3, 3]])  # node 4 hears nobody


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def make(*sizes: int, seed: int = 0, **options) -> SKMDPAConv:
    conv = SKMDPAConv(*sizes, generator=torch.Generator().manual_seed(seed), **options).double()
    if conv.out_proj.bias is not None:
        nn.init.normal_(conv.out_proj.bias, generator=torch.Generator().manual_seed(seed))
    return conv


def naive(
    conv: SKMDPAConv,
    x: tuple[Tensor, Tensor],
    edge_index: Tensor,
    code: tuple[Tensor, Tensor] | None,
    log_weight: Tensor | None,
) -> Tensor:
    """Node by node, head by head, K·e^A over its sum."""

    def apply(layer: nn.Module, y: Tensor, code: Tensor | None) -> Tensor:
        return layer(y) if code is None else layer(y, code)

    theirs, own = code or (None, None)
    heads, width = conv.heads, conv.head_channels
    query = apply(conv.query, x[1], own).view(-1, heads, width)
    key = apply(conv.key, x[0], theirs).view(-1, heads, width)
    value = apply(conv.value, x[0], theirs).view(-1, heads, width)
    message = torch.zeros_like(query)
    for i in range(len(query)):
        edges = (edge_index[1] == i).nonzero()[:, 0].tolist()
        for h in range(heads):
            weights = [
                torch.exp(query[i, h] @ key[edge_index[0, e], h] / width**0.5)
                * (1.0 if log_weight is None else log_weight[e].exp())
                for e in edges
            ]
            for e, weight in zip(edges, weights, strict=True):
                message[i, h] = message[i, h] + weight / sum(weights) * value[edge_index[0, e], h]
    return apply(conv.out_proj, message.flatten(1), own)


@given(
    seed=st.integers(0, 1000),
    codes=st.booleans(),
    weights=st.booleans(),
    bipartite=st.booleans(),
    edges=st.integers(0, 12),
)
def test_it_equals_the_loop(
    seed: int, codes: bool, weights: bool, bipartite: bool, edges: int
) -> None:
    senders, receivers = 5, 4 if bipartite else 5
    x = normal(senders, 6, seed=seed)
    pair = (x, normal(receivers, 3, seed=seed + 1)) if bipartite else (x, x)
    conv = make((6, 3) if bipartite else 6, 8, 2, 4 if codes else None, seed=seed)
    random = torch.Generator().manual_seed(seed)
    edge_index = torch.stack(  # with edges that are there twice
        [torch.randint(n, (edges,), generator=random) for n in (senders, receivers)]
    )
    log_weight = normal(edges, seed=seed) if weights else None
    code = (normal(senders, 4, seed=seed), normal(receivers, 4, seed=seed)) if codes else None
    wanted = naive(conv, pair, edge_index, code, log_weight)
    given_code = code if bipartite or code is None else code[0]
    if not bipartite and code is not None:
        wanted = naive(conv, pair, edge_index, (code[0], code[0]), log_weight)
    found = conv(pair if bipartite else x, edge_index, given_code, log_weight)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("samples", [1, 3])
def test_with_codes_it_is_the_attention_of_a_circuit(samples: int) -> None:
    random = torch.Generator().manual_seed(0)
    attention = ModAttention(12, 5, 3, 4, generator=random).double()
    conv = SKMDPAConv(12, 12, heads=3, code_channels=5).double()
    assert conv.load_state_dict(attention.state_dict())  # the same parts under the same names
    log_weight = torch.randn(7, 7, generator=random, dtype=torch.float64).requires_grad_()
    graph = SampledGraph(log_weight.sigmoid(), log_weight, torch.rand(7, 7, generator=random) < 0.4)
    x, code = normal(samples, 7, 12).requires_grad_(), normal(7, 5).requires_grad_()
    *inward, outward = modulations(code, *attention.layers)
    wanted = attention(*(x * gate for gate in inward), graph, outward)
    found = conv(x, *(lambda e, w: (e, code, w))(*graph.edges()))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), (x, code, log_weight), retain_graph=True),
        torch.autograd.grad(wanted.square().sum(), (x, code, log_weight)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("codes", [False, True])
def test_gradcheck(codes: bool) -> None:
    conv = make(4, 4, 2, 3 if codes else None)
    x, code, log_weight = normal(5, 4), normal(5, 3), normal(7)

    def run(x: Tensor, code: Tensor, log_weight: Tensor) -> Tensor:
        return conv(x, EDGES, code if codes else None, log_weight)

    assert gradcheck(run, [y.requires_grad_(y is not code or codes) for y in (x, code, log_weight)])


def test_relabelling_nodes_and_edges_relabels_the_answer() -> None:
    conv, x, code, log_weight = make(6, 8, 2, 4), normal(5, 6), normal(5, 4), normal(7)
    nodes, edges = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([6, 2, 0, 5, 1, 4, 3])
    wanted = conv(x, EDGES, code, log_weight)[nodes]
    moved = nodes.argsort()[EDGES][:, edges]
    found = conv(x[nodes], moved, code[nodes], log_weight[edges])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_an_isolated_node_gets_the_bias() -> None:
    conv = make(6, 8, 2)
    out = conv(normal(5, 6), EDGES)
    assert torch.equal(out[4], conv.out_proj.bias)
    assert (out[:4] - conv.out_proj.bias).abs().max() > 0.1
    none = conv(normal(5, 6), EDGES[:, :0])
    assert torch.equal(none, conv.out_proj.bias.expand(5, -1))
    assert not make(6, 8, 2, bias=False)(normal(5, 6), EDGES)[4].any()


def test_a_batch_of_graphs_is_each_graph_alone() -> None:
    conv = make(6, 8, 2, 4)
    graphs = [
        Data(x=normal(n, 6, seed=n), code=normal(n, 4, seed=n), edge_index=EDGES[:, :edges])
        for n, edges in ((5, 7), (6, 3), (4, 0))
    ]
    batch = Batch.from_data_list(graphs)
    together = conv(batch.x, batch.edge_index, batch.code)
    alone = torch.cat([conv(one.x, one.edge_index, one.code) for one in graphs])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_a_batch_axis_is_each_sample_alone() -> None:
    conv, x, log_weight = make(6, 8, 2), normal(3, 5, 6), normal(7)
    together, (_, alpha) = conv(x, EDGES, log_weight=log_weight, return_attention_weights=True)
    for one, out, weights in zip(x, together, alpha, strict=True):
        wanted, (_, wanted_alpha) = conv(
            one, EDGES, log_weight=log_weight, return_attention_weights=True
        )
        torch.testing.assert_close(out, wanted, rtol=0, atol=1e-12)
        torch.testing.assert_close(weights, wanted_alpha, rtol=0, atol=1e-12)


def test_edge_index_objects_answer_as_tensors_do() -> None:
    conv, x = make(6, 8, 2), normal(5, 6)
    wanted = conv(x, EDGES)
    for edges in (
        EdgeIndex(EDGES, sparse_size=(5, 5)),
        EdgeIndex(EDGES),
        EdgeIndex(EDGES, sparse_size=(5, 5)).sort_by("col").values,
    ):
        out, (seen, _) = conv(x, edges, return_attention_weights=True)
        torch.testing.assert_close(out, wanted, rtol=0, atol=1e-12)
        assert type(seen) is Tensor
    with pytest.raises(ValueError, match=r"edge_index: expected 5 senders .*, got \(6, 5\)"):
        conv(x, EdgeIndex(EDGES, sparse_size=(6, 5)))


def test_attention_weights_sum_to_one_and_follow_the_edge_weights() -> None:
    conv, x = make(6, 8, 2), normal(5, 6)
    log_weight = torch.zeros(7, dtype=torch.float64)
    log_weight[2] = -50.0  # of node 0's senders, 2 all but vanishes
    _, (edges, alpha) = conv(x, EDGES, log_weight=log_weight, return_attention_weights=True)
    assert torch.equal(edges, EDGES) and alpha.shape == (7, 2)
    total = alpha.new_zeros(5, 2).index_add(0, EDGES[1], alpha)
    torch.testing.assert_close(total, torch.tensor([[1.0, 1.0]] * 4 + [[0.0, 0.0]]).double())
    assert alpha[2].max() < 1e-15 and alpha[3].min() > 1 - 1e-12


def test_it_is_a_convolution_to_pyg() -> None:
    conv = SKMDPAConv((6, 3), 8, heads=2)
    assert isinstance(conv, MessagePassing)
    assert repr(conv) == "SKMDPAConv((6, 3), 8, heads=2)"
    assert make(6, 9, 3, head_channels=5).query.weight.shape == (15, 6)


def test_it_goes_where_pyg_s_convolutions_go() -> None:
    x, conv = normal(5, 6), make(6, 8, 2)
    chain = Sequential("x, edge_index", [(conv, "x, edge_index -> x"), nn.ReLU()]).double()
    assert torch.equal(chain(x, EDGES), conv(x, EDGES).relu())

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = SKMDPAConv((6, 6), 8, heads=2)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.conv(x, edge_index)

    kinds = [("paper", "cites", "paper"), ("author", "writes", "paper")]
    model = to_hetero(Model(), (["paper", "author"], [*kinds, ("paper", "by", "author")])).double()
    edges = {kind: EDGES for kind in [*kinds, ("paper", "by", "author")]}
    out = model({"paper": x, "author": normal(5, 6, seed=1)}, edges)
    assert out["paper"].shape == out["author"].shape == (5, 8)
    coded = make(6, 8, 2, 4)
    compiled = torch.compile(coded, fullgraph=True, backend="eager")
    code, log_weight = normal(5, 4), normal(7)
    assert torch.equal(compiled(x, EDGES, code, log_weight), coded(x, EDGES, code, log_weight))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SKMDPAConv(0, 8), "in_channels: expected a whole number >= 1, got 0"),
        (lambda: SKMDPAConv(-1, 8), "in_channels: expected a whole number >= 1, got -1"),
        (
            lambda: SKMDPAConv(1, 8, code_channels=4),
            "in_channels: expected a whole number >= 2, got 1",
        ),
        (lambda: SKMDPAConv(6, 8, 3), "heads: expected a divisor of out_channels 8"),
        (lambda: SKMDPAConv(6, 8, 0), "heads: expected a whole number >= 1, got 0"),
        (lambda: SKMDPAConv(6, 0), "out_channels: expected a whole number >= 1, got 0"),
        (lambda: SKMDPAConv(6, 8, code_channels=0), "code_channels: expected a whole number >= 1"),
        (lambda: SKMDPAConv(6, 8, head_channels=0), "head_channels: expected a whole number >= 1"),
        (lambda: SKMDPAConv((6, 6, 6), 8), "in_channels: expected a whole number or a pair"),
        (lambda: make(6, 8)(None, EDGES), "x: expected a tensor or a pair .*, got None"),
        (lambda: make(6, 8)((normal(5, 6), None), EDGES), "x: .*, got .*Tensor.*NoneType"),
        (lambda: make(6, 8)(normal(5, 6), [[0], [1]]), "edge_index: expected a tensor, got list"),
        (lambda: make(6, 8)(normal(5, 6), EDGES, log_weight=0.0), "log_weight: expected a tensor"),
        (
            lambda: make(6, 8, 2, 4)((normal(5, 6),) * 2, EDGES, (normal(5, 4), None)),
            "code: expected a tensor or a pair",
        ),
        (lambda: SKMDPA()(*[normal(5, 2, 4)] * 3, None), "edge_index: expected a tensor, got None"),
        (lambda: make(6, 8)(normal(5, 7), EDGES), r"x: expected shape \(N, 6\) .*got \(5, 7\)"),
        (lambda: make(6, 8)(normal(5, 6), EDGES.T), r"edge_index: expected shape \(2, E\)"),
        (lambda: make(6, 8)(normal(5, 6), EDGES.double()), "torch.int64, got .*float64"),
        (lambda: make(6, 8)(normal(5, 6), torch.eye(5).to_sparse()), "to_edge_index"),
        (
            lambda: make(6, 8)(normal(5, 6), EDGES, log_weight=normal(6)),
            r"log_weight: expected shape \(7,\), got \(6,\)",
        ),
        (
            lambda: make(6, 8)(normal(5, 6), EDGES, normal(5, 4)),
            "code: expected none, since code_channels is None, got codes",
        ),
        (
            lambda: make(6, 8, 2, 4)(normal(5, 6), EDGES),
            "code: expected 4 wide, since code_channels is 4, got none",
        ),
        (
            lambda: make((6, 6), 8, 2, 4)((normal(5, 6), normal(5, 6)), EDGES, normal(5, 4)),
            "code: expected a pair",
        ),
    ],
)
def test_errors_name_expected_and_got(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_node_that_does_not_exist_is_named() -> None:
    with pytest.raises(IndexError, match=r"'edge_index' .* larger than 2 \(got 3\)"):  # PyG's own
        make(6, 8)(normal(3, 6), EDGES)
