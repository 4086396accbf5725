"""SignatureGraph: edges that any convolution takes, and that learn through its weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch_geometric.nn import GATv2Conv, GCNConv, GraphConv
from torch_geometric.utils import to_dense_adj, to_networkx

from nacgraph.graph.kernel import SignatureKernel
from nacgraph.nn import SignatureGraph, SKMDPAConv
from nacgraph.priors import MatchedLoss, get_prior


def make(num_nodes: int = 12, **options) -> SignatureGraph:
    return SignatureGraph(num_nodes, 4, generator=torch.Generator().manual_seed(0), **options)


@pytest.mark.parametrize("mode", ["expected", "concrete", "hard", "threshold"])
@pytest.mark.parametrize("self_loops", [False, True])
def test_the_edges_are_those_of_the_kernel(mode: str, self_loops: bool) -> None:
    graph = make(mode=mode, self_loops=self_loops)
    kernel = SignatureKernel(mode=mode)(
        graph.signatures, generator=torch.Generator().manual_seed(7)
    )
    edges = graph(generator=torch.Generator().manual_seed(7))
    mask = kernel.mask & ~torch.eye(12, dtype=torch.bool) if not self_loops else kernel.mask
    wanted = (kernel.log_weight.exp() * mask).T  # kernel: receiver, sender; PyG: sender, receiver
    found = to_dense_adj(edges.edge_index, edge_attr=edges.edge_weight, max_num_nodes=12)[0]
    torch.testing.assert_close(found, wanted)
    assert edges.edge_index.shape[1] == int(mask.sum())
    edge_index, log_weight = edges
    torch.testing.assert_close(log_weight.exp(), edges.edge_weight)
    assert (edge_index[0] == edge_index[1]).any() == self_loops


def test_the_probability_is_the_formula() -> None:
    graph = make(bandwidth=0.7)
    s = graph.signatures
    cosine = torch.nn.functional.cosine_similarity(s[:, None], s[None, :], dim=-1)
    torch.testing.assert_close(graph.probability(), torch.exp((cosine - 1) / 0.7))


@pytest.mark.parametrize(
    "conv",
    [
        lambda x, e: GCNConv(3, 2)(x, e.edge_index, e.edge_weight),
        lambda x, e: GraphConv(3, 2)(x, e.edge_index, e.edge_weight),
        lambda x, e: GATv2Conv(3, 2, edge_dim=1, add_self_loops=False)(
            x, e.edge_index, e.log_weight
        ),
        lambda x, e: SKMDPAConv(3, 2)(x, e.edge_index, log_weight=e.log_weight),
    ],
)
def test_any_convolution_moves_the_signatures(conv) -> None:
    graph = make()
    conv(torch.randn(12, 3), graph()).square().sum().backward()
    gradient = graph.signatures.grad
    assert torch.isfinite(gradient).all() and (gradient.norm(dim=1) > 0).all()


def test_training_draws_and_evaluation_does_not() -> None:
    graph = make(mode="hard")
    torch.manual_seed(1)
    one, other = graph(), graph()
    torch.manual_seed(1)
    assert torch.equal(graph().edge_index, one.edge_index)  # PyTorch's own generator
    assert one.edge_index.shape != other.edge_index.shape
    graph.eval()
    assert torch.equal(graph().edge_index, graph().edge_index)
    wanted = graph.probability().fill_diagonal_(0)
    assert graph().edge_index.shape[1] == int((wanted >= 0.01).sum())
    assert (graph(mode="threshold").edge_weight == 1).all()


def test_links_are_drawn_as_often_as_p_says() -> None:
    graph, random, draws = make(6, mode="hard"), torch.Generator().manual_seed(0), 4000
    count = torch.zeros(6, 6)
    for _ in range(draws):
        count[tuple(graph(generator=random).edge_index)] += 1
    wanted = graph.probability().detach().fill_diagonal_(0)
    error = (wanted * (1 - wanted) / draws).sqrt()
    assert ((count / draws - wanted).abs() < 5 * error + 1e-9).all()


def test_many_nodes_make_no_tensor_over_pairs() -> None:
    graph = SignatureGraph(600, 32, generator=torch.Generator().manual_seed(0))
    edges = graph()  # 360,000 pairs: drawn edge by edge
    assert edges.edge_index.shape[1] < 600 * 599 / 2
    assert (edges.edge_index[0] != edges.edge_index[1]).all()
    edges.edge_weight.sum().backward()
    assert graph.signatures.grad.any()


def test_its_links_as_data_and_as_networkx() -> None:
    graph = make(mode="expected")
    data = graph.to_data(threshold=0.2)
    link = graph.probability().detach().fill_diagonal_(0)
    assert data.num_nodes == 12 and data.edge_index.shape[1] == int((link > 0.2).sum()) > 0
    torch.testing.assert_close(data.edge_weight, link[tuple(data.edge_index)])
    drawn = to_networkx(data, edge_attrs=["edge_weight"], to_undirected=True)
    assert drawn.number_of_edges() == data.edge_index.shape[1] // 2


def test_a_prior_alone_shapes_the_graph() -> None:
    prior = get_prior("planted_partition", groups=3)
    graph, loss = SignatureGraph(24, generator=torch.Generator().manual_seed(0)), MatchedLoss(prior)
    optimizer = torch.optim.Adam(graph.parameters(), lr=0.1)
    values = []
    for _ in range(120):
        value = loss(graph.probability())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.1 * values[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_nodes": 0}, "num_nodes: expected at least 1, got 0"),
        ({"signature_dim": 0}, "signature_dim: expected at least 1, got 0"),
        ({"bandwidth": 0.0}, "bandwidth: expected a number > 0, got 0.0"),
        ({"mode": "soft"}, "mode: expected one of .*, got 'soft'"),
        ({"eval_mode": "soft"}, "mode: expected one of .*, got 'soft'"),
        ({"min_weight": 1.0}, "min_weight: expected"),
        ({"temperature": -math.inf}, "temperature: expected"),
    ],
)
def test_errors_name_expected_and_got(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SignatureGraph(**{"num_nodes": 5, **options})
