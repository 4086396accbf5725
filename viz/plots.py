"""Priors, and a circuit beside its prior: heat maps and sample graphs coloured by degree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nacgraph.viz.drawing import draw_circuit, linked_pairs
from nacgraph.viz.layout import force_layout
from nacgraph.viz.style import COLOURS, INK, bare, count, new_figure, node_map, number, styled

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nacgraph.priors import GraphPrior

CROWD = 150  # modules from which a heat map may have more entries than pixels


@styled
def priors_figure(
    priors: Sequence[str | GraphPrior] | Mapping[str, GraphPrior] | None = None,
    n: int = 64,
    seed: int = 0,
) -> Figure:
    """The paper's Figure 3: one sample of every prior, modules coloured by degree.

    All samples share one scale of degrees, so that hubs can be told from members of a clique.

    Args:
        priors: Names, or priors, or priors by the name shown; by default all that are registered.
        n: Modules of each sample.
        seed: Seed of the samples and of their layout.

    Raises:
        ValueError: If there is no prior to draw, or a name is unknown.

    Source: Neural Attentive Circuits (NeurIPS 2022), figure 3.
    """
    samples = {name: prior.sample(n, seed) for name, prior in _named(priors).items()}
    if not samples:
        raise ValueError("priors: expected at least one, got none")
    columns = min(len(samples), 3)
    rows = -(-len(samples) // columns)
    figure = new_figure(3.4 * columns + 0.9, 3.4 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    most = max((d for graph in samples.values() for _, d in graph.degree), default=1)
    for axes, (name, graph) in zip(panels, samples.items(), strict=False):
        dots = _draw_sample(axes, graph, seed, max(most, 1))
        links = count(graph.number_of_edges(), "link")
        axes.set_title(f"{name.replace('_', ' ')}: {links}")
    for axes in panels[len(samples) :]:
        axes.set_visible(False)
    _degree_scale(axes.figure, dots, list(panels[: len(samples)]))
    return figure


@styled
def prior_figure(title: str, target: Any, reachable: Any, graph: nx.Graph) -> Figure:
    """A prior's target, what signatures reach of it, and one sample graph, side by side.

    Args:
        title: Line above the panels.
        target: Edge probabilities, (n, n).
        reachable: Link probabilities reached, (n, n), in the same order.
        graph: A sample of the prior.
    """
    figure = new_figure(13.5, 4.6, title)
    left, middle, right = figure.subplots(1, 3)
    heat_map(left, target, "target T", bar=False)
    heat_map(middle, reachable, "reachable P")
    draw_graph(right, graph, f"a sample: {count(graph.number_of_edges(), 'link')}")
    return figure


@styled
def circuit_figure(
    title: str, link: Any, target: Any, permutation: Any, difference: bool = False
) -> Figure:
    """Learned link probabilities in matched order beside the prior, and links with P > 0.5.

    Args:
        title: Line above the panels.
        link: Link probabilities P, (n, n).
        target: The prior's edge probabilities T, (n, n).
        permutation: π of :func:`nacgraph.priors.match`.
        difference: Also draw \\|P − T\\|, on the same scale.

    Raises:
        ValueError: If shapes do not agree.
    """
    learned, wanted = number(link), number(target)
    order = number(permutation).astype(int)
    n = len(wanted)
    if wanted.shape != (n, n) or learned.shape != (n, n) or order.shape != (n,):
        raise ValueError(
            "link, target, permutation: expected (n, n), (n, n), (n,), got "
            f"{learned.shape}, {wanted.shape}, {order.shape}"
        )
    matched = learned[np.ix_(order, order)]
    panels = 4 if difference else 3
    figure = new_figure(4.4 * panels, 4.4, title)
    axes = figure.subplots(1, panels)
    heat_map(axes[0], wanted, "prior T", bar=False)
    heat_map(axes[1], matched, "learned P, modules in matched order", bar=not difference)
    if difference:
        apart = np.abs(matched - wanted)
        pairs = ~np.eye(n, dtype=bool)
        mean = f", mean square {(apart[pairs] ** 2).mean():.2g}" if n > 1 else ""
        heat_map(axes[2], apart, f"|P − T|{mean}", label="probability")
    links = linked_pairs(matched)
    degree = np.bincount(np.concatenate(links), minlength=n).astype(float)
    dots = draw_circuit(axes[-1], force_layout(matched.clip(0, 1)), links, None, degree, n)
    axes[-1].set_title(f"learned: {count(len(links[0]), 'link')} with P > 0.5")
    _degree_scale(figure, dots, axes[-1])
    return figure


def heat_map(
    axes: Axes, matrix: Any, title: str, bar: bool = True, label: str = "link probability"
) -> None:
    """Probabilities (n, m) from 0 to 1, an array or a tensor; ``bar`` adds the scale."""
    from matplotlib.ticker import MaxNLocator

    shown = number(matrix)
    # Many modules share a pixel: their mean says more than whichever falls on it.
    smooth = "antialiased" if max(shown.shape, default=0) > CROWD else "nearest"
    image = axes.imshow(shown, cmap=COLOURS, vmin=0, vmax=1, interpolation=smooth)
    axes.set_title(title, color=INK, fontsize=11)
    axes.set_xlabel("module")
    axes.spines[:].set_visible(False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    if bar:
        scale = axes.figure.colorbar(image, ax=axes, label=label, shrink=0.85)
        scale.outline.set_visible(False)


def draw_graph(axes: Axes, graph: nx.Graph, title: str, seed: int = 0) -> None:
    """A graph by force layout, modules coloured by degree, hubs drawn larger and on top."""
    dots = _draw_sample(axes, graph, seed, None)
    axes.set_title(title, color=INK, fontsize=11)
    _degree_scale(axes.figure, dots, axes)


def layout(graph: nx.Graph, seed: int = 0) -> NDArray[np.float64]:
    """Places (n, 2) by force layout, begun from the spectral one so that rings come out round."""
    import networkx as nx

    if len(graph) < 3:
        return np.array([[float(k), 0.0] for k in range(len(graph))]).reshape(-1, 2)
    rough = np.array([place for place in nx.spectral_layout(graph).values()])
    # Twins share their spectral place; apart by a little, forces can tell them from each other.
    rough += np.random.default_rng(seed).normal(scale=0.02, size=rough.shape)
    begin = dict(zip(graph, rough, strict=True))
    placed = nx.spring_layout(graph, pos=begin, iterations=100, seed=seed)
    return np.array([placed[node] for node in graph])


def _named(
    priors: Sequence[str | GraphPrior] | Mapping[str, GraphPrior] | None,
) -> dict[str, GraphPrior]:
    from nacgraph.priors import PRIORS, get_prior

    if isinstance(priors, Mapping):
        return dict(priors)
    if priors is None:
        every = {name: get_prior(name) for name in PRIORS.names()}
        return {name: prior for name, prior in every.items() if not prior.is_none}
    return {
        prior if isinstance(prior, str) else type(prior).__name__: (
            get_prior(prior) if isinstance(prior, str) else prior
        )
        for prior in priors
    }


def _draw_sample(axes: Axes, graph: nx.Graph, seed: int, most: int | None) -> Any:
    """Links and modules; ``most`` is the top of the scale of degrees, if others share it."""
    from matplotlib.collections import LineCollection

    place = layout(graph, seed)
    degree = np.array([graph.degree(node) for node in graph])
    index = {node: k for k, node in enumerate(graph)}
    links = [(place[index[a]], place[index[b]]) for a, b in graph.edges]
    # Many links would hide each other: the more there are, the fainter each.
    faint = float(np.clip(30 / max(1, len(links)) ** 0.8, 0.08, 0.6))
    axes.add_collection(LineCollection(links, colors=INK, linewidths=0.8, alpha=faint, zorder=1))
    order = np.argsort(degree, kind="stable")
    top = most or max(1, int(degree.max(initial=1)))
    size = 2200 / max(40, len(place)) * (0.6 + 1.4 * degree / top)
    dots = axes.scatter(
        place[order, 0],
        place[order, 1],
        c=degree[order],
        s=size[order],
        cmap=node_map(),
        vmin=0 if most else None,
        vmax=most,
        edgecolors=INK,
        linewidths=0.4,
        zorder=2,
    )
    bare(axes)
    axes.margins(0.07)
    return dots


def _degree_scale(figure: Any, dots: Any, axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    scale = figure.colorbar(dots, ax=axes, label="degree", shrink=0.85, aspect=30)
    scale.locator = MaxNLocator(6, integer=True, min_n_ticks=1)
    scale.outline.set_visible(False)
    scale.update_ticks()
