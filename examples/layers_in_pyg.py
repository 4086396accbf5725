"""The same two-layer PyTorch Geometric model with GATv2Conv and with SKMDPAConv.

Both classify the members of Zachary's karate club (34 people, 4 groups) from the friendships and
one known label a group: PyG's KarateClub, which needs no download. Only 30 members are left to be
classified, so a difference of a few per cent says nothing: this shows how the layers are called,
not which is better.

    python examples/layers_in_pyg.py            # 10 seeds, ten seconds
    python examples/layers_in_pyg.py --quick    # 2 seeds
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.datasets import KarateClub
from torch_geometric.nn import GATv2Conv
from torch_geometric.utils import add_self_loops

from nacgraph.nn import SKMDPAConv


class GAT(nn.Module):
    """Two layers of GATv2Conv, 4 heads of 8."""

    def __init__(self, data: Data, num_classes: int) -> None:
        super().__init__()
        self.first = GATv2Conv(data.num_features, 8, heads=4)
        self.second = GATv2Conv(32, num_classes, heads=1)

    def forward(self, data: Data) -> Tensor:
        x = self.first(data.x, data.edge_index).relu()
        return self.second(x, data.edge_index)


class SKMDPA(nn.Module):
    """The same with SKMDPAConv, 4 heads of 8."""

    def __init__(self, data: Data, num_classes: int) -> None:
        super().__init__()
        self.first = SKMDPAConv(data.num_features, 32, heads=4)
        self.second = SKMDPAConv(32, num_classes)

    def forward(self, data: Data) -> Tensor:
        edge_index, _ = add_self_loops(data.edge_index)  # which GATv2Conv does itself
        x = self.first(data.x, edge_index).relu()
        return self.second(x, edge_index)


MODELS: dict[str, Callable[[Data, int], nn.Module]] = {
    "GATv2Conv": GAT,
    "SKMDPAConv": SKMDPA,
}


def accuracy(make: Callable[[Data, int], nn.Module], seed: int, steps: int = 100) -> float:
    """Share of the members without a label that are put into their group."""
    torch.manual_seed(seed)
    dataset = KarateClub()
    data = dataset[0]
    model = make(data, dataset.num_classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    for _ in range(steps):
        logits = model(data)[data.train_mask]
        loss = nn.functional.cross_entropy(logits, data.y[data.train_mask])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = model.eval()(data).argmax(-1)
    unknown = ~data.train_mask
    return float((found == data.y)[unknown].double().mean())


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 seeds instead of 10")
    seeds = range(2 if parser.parse_args(arguments).quick else 10)
    means = {}
    for name, make in MODELS.items():
        found = torch.tensor([accuracy(make, seed) for seed in seeds])
        means[name] = float(found.mean())
        print(f"{name:10s} {means[name]:.3f} ± {found.std():.3f} over {len(seeds)} seeds")
    return means


if __name__ == "__main__":
    main()
