"""Drawings: link probabilities as a heat map, a graph coloured by degree, a prior in one look.

Figures are made without pyplot, so that no window opens and no global state is left behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "viridis"
INK = "#333333"


def prior_figure(title: str, target: Tensor, reachable: Tensor, graph: nx.Graph) -> Figure:
    """A prior's target, what signatures reach of it, and one sample graph, side by side.

    Args:
        title: Line above the panels.
        target: Edge probabilities, (n, n).
        reachable: Link probabilities reached, (n, n), in the same order.
        graph: A sample of the prior.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.5, 4.8), layout="constrained", dpi=150)
    figure.suptitle(title, color=INK)
    left, middle, right = figure.subplots(1, 3)
    heat_map(left, target, "target T", bar=False)
    heat_map(middle, reachable, "reachable P")
    draw_graph(right, graph, f"a sample: {graph.number_of_edges()} links")
    return figure


def heat_map(axes: Axes, matrix: Tensor, title: str, bar: bool = True) -> None:
    """Link probabilities (n, n) from 0 to 1; ``bar`` adds the scale."""
    image = axes.imshow(matrix.detach().cpu().numpy(), cmap=COLOURS, vmin=0, vmax=1)
    axes.set_title(title, color=INK, fontsize=11)
    axes.set_xlabel("module")
    if bar:
        axes.figure.colorbar(image, ax=axes, label="link probability", shrink=0.85)


def draw_graph(axes: Axes, graph: nx.Graph, title: str, seed: int = 0) -> None:
    """A graph by force layout, modules coloured by degree, hubs drawn larger and on top."""
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import MaxNLocator

    place = layout(graph, seed)
    degree = np.array([graph.degree(node) for node in graph])
    index = {node: k for k, node in enumerate(graph)}
    links = [(place[index[a]], place[index[b]]) for a, b in graph.edges]
    # Many links would hide each other: the more there are, the fainter each.
    faint = float(np.clip(30 / max(1, len(links)) ** 0.8, 0.05, 0.6))
    axes.add_collection(LineCollection(links, colors=INK, linewidths=0.8, alpha=faint, zorder=1))
    order = np.argsort(degree, kind="stable")
    size = 2800 / max(40, len(place)) * (0.6 + 1.4 * degree / max(1, degree.max(initial=1)))
    dots = axes.scatter(
        place[order, 0],
        place[order, 1],
        c=degree[order],
        s=size[order],
        cmap=COLOURS,
        edgecolors="white",
        linewidths=0.4,
        zorder=2,
    )
    axes.set_title(title, color=INK, fontsize=11)
    axes.set_aspect("equal")
    axes.margins(0.05)
    axes.axis("off")
    scale = axes.figure.colorbar(dots, ax=axes, label="degree", shrink=0.85)
    scale.locator = MaxNLocator(6, integer=True)
    scale.update_ticks()


def layout(graph: nx.Graph, seed: int = 0) -> np.ndarray:
    """Places (n, 2) by force layout, begun from the spectral one so that rings come out round."""
    if len(graph) < 3:
        return np.array([[float(k), 0.0] for k in range(len(graph))]).reshape(-1, 2)
    rough = np.array([place for place in nx.spectral_layout(graph).values()])
    # Twins share their spectral place; apart by a little, forces can tell them from each other.
    rough += np.random.default_rng(seed).normal(scale=0.02, size=rough.shape)
    begin = dict(zip(graph, rough, strict=True))
    placed = nx.spring_layout(graph, pos=begin, iterations=100, seed=seed)
    return np.array([placed[node] for node in graph])
