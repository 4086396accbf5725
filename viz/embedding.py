"""Circuits as points in a plane: the path of a run, or groups of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nacgraph.viz.style import (
    INK,
    community_colour,
    new_figure,
    node_map,
    number,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def embedding_figure(
    points: Mapping[float, Any],
    labels: Sequence[Any],
    label_name: str = "step",
) -> Figure:
    """The paper's Figure 6, right: circuits as points, one panel for each perplexity.

    Args:
        points: Places of the circuits by perplexity, as
            :func:`nacgraph.analysis.populations.embed_circuits` finds them. t-SNE can deceive:
            what holds at several perplexities may be believed.
        labels: What each circuit is. Numbers, as steps of a run, give a scale and a line through
            the points in order; words, as tasks or priors, give a colour each.
        label_name: What the labels are.

    Shapes:
        points[perplexity] (m, 2) · labels (m,)

    Raises:
        ValueError: If there is no perplexity, or one does not have a place for every label.

    Source: Neural Attentive Circuits (NeurIPS 2022), figure 6.
    """
    if not points:
        raise ValueError("points: expected at least one perplexity, got none")
    places_of = {perplexity: number(places) for perplexity, places in points.items()}
    for places in places_of.values():
        if places.shape != (len(labels), 2):
            raise ValueError(f"points: expected ({len(labels)}, 2), got shape {places.shape}")
    ordered = all(isinstance(label, (int, float, np.number)) for label in labels)
    figure = new_figure(3.7 * len(places_of) + 1.1, 3.7)
    panels = figure.subplots(1, len(places_of), squeeze=False)[0]
    for axes, (perplexity, places) in zip(panels, places_of.items(), strict=True):
        if ordered:
            dots = _path(axes, places, np.asarray(labels, dtype=float))
        else:
            _groups(axes, places, [str(label) for label in labels])
        axes.set(title=f"perplexity {perplexity:g}", xticks=[], yticks=[])
        axes.set(xlabel="t-SNE 1", ylabel="t-SNE 2")
        axes.margins(0.1)
    if ordered:
        scale = figure.colorbar(dots, ax=list(panels), label=label_name, shrink=0.8, aspect=30)
        scale.outline.set_visible(False)
    else:
        panels[-1].legend(title=label_name, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _path(axes: Axes, places: NDArray[np.float64], values: NDArray[np.float64]) -> Any:
    order = np.argsort(values, kind="stable")
    x, y = places[order].T
    axes.plot(x, y, color=INK, linewidth=0.8, alpha=0.4, zorder=1)
    return axes.scatter(
        x,
        y,
        c=values[order],
        cmap=node_map(),
        s=34,
        edgecolors=INK,
        linewidths=0.4,
        zorder=2,
    )


def _groups(axes: Axes, places: NDArray[np.float64], labels: list[str]) -> None:
    for k, name in enumerate(dict.fromkeys(labels)):
        mine = np.array([label == name for label in labels])
        colour = community_colour(k)
        axes.scatter(
            places[mine, 0],
            places[mine, 1],
            color=colour,
            s=34,
            edgecolors=INK,
            linewidths=0.4,
            label=name,
        )
