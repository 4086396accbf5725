"""Learn which nodes belong together: GCNConv on a graph that nobody gave it.

200 sensors stand in ten rooms. All sensors of a room measure the same signal, each with noise of
its own; a second reading of every sensor, with other noise, is what the model has to predict.
Nothing says who stands where. A GCNConv that averages over the right neighbours removes most of the
noise, so the loss pulls the signatures of a room together: the rooms can be read off P > 1/2.

The data are generated here, and so that the graph matters: this shows that the graph is learned if
the task needs one, not that yours does.

    python examples/learn_the_graph.py            # 5 seeds, about a minute on one core
    python examples/learn_the_graph.py --quick    # one seed and 60 nodes, seconds
"""

from __future__ import annotations

import argparse
import time
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from nacgraph.nn import SignatureGraph


class Result(NamedTuple):
    """How well the links P > 1/2 are those of the hidden groups."""

    precision: float
    recall: float
    loss: float


class Denoiser(nn.Module):
    """One GCNConv, and the graph that it runs on."""

    def __init__(self, num_nodes: int) -> None:
        super().__init__()
        self.graph = SignatureGraph(num_nodes, signature_dim=16)
        self.conv = GCNConv(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        edges = self.graph()
        return self.conv(x, edges.edge_index, edges.edge_weight)


def learn(seed: int, num_nodes: int = 200, groups: int = 10, steps: int = 300) -> Result:
    """Train on fresh samples and compare the learned links with the groups."""
    torch.manual_seed(seed)
    group = torch.randperm(num_nodes) % groups
    model = Denoiser(num_nodes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps):
        signal = torch.randn(32, groups)[:, group].unsqueeze(-1)  # (samples, nodes, 1)
        first, second = (signal + torch.randn_like(signal) for _ in range(2))
        loss = (model(first) - second).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    linked = model.graph.to_data().edge_index
    right = int((group[linked[0]] == group[linked[1]]).sum())
    sizes = group.bincount()
    return Result(
        precision=right / max(1, linked.shape[1]),
        recall=right / int((sizes * (sizes - 1)).sum()),
        loss=loss.item(),
    )


def main(arguments: list[str] | None = None) -> list[Result]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, 60 nodes in 3 groups")
    quick = parser.parse_args(arguments).quick
    print("seed  precision  recall   loss  seconds")
    results = []
    for seed in range(1 if quick else 5):
        start = time.perf_counter()
        result = learn(seed, 60, 3, 150) if quick else learn(seed)
        seconds = time.perf_counter() - start
        precision, recall, loss = result
        print(f"{seed:4d}  {precision:9.3f}  {recall:6.3f}  {loss:5.3f}  {seconds:7.1f}")
        results.append(result)
    return results


if __name__ == "__main__":
    main()
