"""Learn how sensors are wired from their readings alone, and draw it.

The readings are scikit-learn's digits: 1,797 real scans by a grid of 8 x 8 light sensors. (They are
no time series; no package at hand ships a real one with more than a few channels.) The model sees
64 numbered sensors and not where they stand. It predicts each sensor from its neighbours in a
learned graph, never from itself. As neighbouring sensors see the same stroke, the links that it
learns are those of the grid, which we did not tell it.

    python examples/sensors.py                  # a few seconds; writes sensors.png
    python examples/sensors.py --out x.png --quick
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from nacgraph.nn import SignatureGraph

SIDE = 8
DRAWN = 0.3  # links of a higher P; with 0.5 there are a third as many, and as good


class Result(NamedTuple):
    """The learned links, and what they say of the grid.

    Attributes:
        links: Pairs of sensors, (2, L), by their number in the grid.
        probability: P of each, (L,).
        touching: Share of the links that join touching sensors.
        chance: The same share of all pairs of sensors.
        error: Mean squared error of the prediction; that of the mean is 1.
    """

    links: Tensor
    probability: Tensor
    touching: float
    chance: float
    error: float


class FromNeighbours(nn.Module):
    """Predicts a sensor as a weighed sum over its neighbours, with a scale of its own."""

    def __init__(self, num_nodes: int) -> None:
        super().__init__()
        self.graph = SignatureGraph(num_nodes, signature_dim=32, mode="expected")
        self.conv = GCNConv(1, 1, add_self_loops=False, bias=False)
        # A negative start would look for sensors that see the opposite, which digits have too.
        nn.init.ones_(self.conv.lin.weight)
        self.scale = nn.Parameter(torch.ones(num_nodes, 1))

    def forward(self, x: Tensor) -> Tensor:
        edges = self.graph()
        return self.scale * self.conv(x, edges.edge_index, edges.edge_weight)


def touching(links: Tensor) -> float:
    """Share of pairs (2, L) of sensors that touch in the grid, corners too."""
    rows, columns = links // SIDE, links % SIDE
    distance = torch.maximum((rows[0] - rows[1]).abs(), (columns[0] - columns[1]).abs())
    return float((distance == 1).double().mean())


def learn(steps: int = 600, seed: int = 0) -> Result:
    """Learn the graph from readings of all sensors that ever see anything."""
    torch.manual_seed(seed)
    readings = torch.from_numpy(load_digits().data).float()
    sensors = (readings.std(0) > 0.3).nonzero()[:, 0]  # the others are always dark
    readings = readings[:, sensors]
    readings = ((readings - readings.mean(0)) / readings.std(0)).unsqueeze(-1)
    model = FromNeighbours(len(sensors))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps):
        batch = readings[torch.randint(len(readings), (128,))]
        loss = (model(batch) - batch).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    data = model.graph.to_data(DRAWN)
    once = data.edge_index[0] < data.edge_index[1]
    return Result(
        links=sensors[data.edge_index[:, once]],
        probability=data.edge_weight[once],
        touching=touching(sensors[data.edge_index[:, once]]),
        chance=touching(sensors[torch.combinations(torch.arange(len(sensors))).T]),
        error=loss.item(),
    )


def draw(result: Result, file: Path) -> None:
    """The links on the grid, wider where P is higher."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 5.4), layout="constrained")
    for (one, other), p in zip(result.links.T.tolist(), result.probability.tolist(), strict=True):
        axes.plot(
            [one % SIDE, other % SIDE], [one // SIDE, other // SIDE], color="tab:blue", lw=4 * p
        )
    place = torch.arange(SIDE**2)
    axes.scatter(place % SIDE, place // SIDE, color="black", s=30, zorder=2)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.axis("off")
    axes.set_title(
        f"{result.links.shape[1]} learned links, {result.touching:.0%} between touching sensors\n"
        f"(of all pairs, {result.chance:.0%} touch)"
    )
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> Result:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("sensors.png"), help="the picture")
    parser.add_argument("--quick", action="store_true", help="200 steps")
    options = parser.parse_args(arguments)
    result = learn(200 if options.quick else 600)
    print(
        f"{result.links.shape[1]} links with P > {DRAWN}; {result.touching:.0%} of them join "
        f"touching sensors, of all pairs {result.chance:.0%}; error {result.error:.2f} (mean: 1)"
    )
    draw(result, options.out)
    print(f"drawn: {options.out}")
    return result


if __name__ == "__main__":
    main()
