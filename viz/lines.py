"""Curves over seeds: the mean of each series with a band from the lowest to the highest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nacgraph.viz.style import COMMUNITY_COLOURS, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = Sequence[tuple[float, float]]


@styled
def lines_figure(
    series: Mapping[str, Sequence[Curve]], xlabel: str, ylabel: str, title: str | None = None
) -> Figure:
    """One line for each name: its mean over seeds, and a band over all of them.

    Args:
        series: Name → for each seed its points (x, y). Several y of one x and seed count as their
            mean; an x that not every seed has is left out.
        xlabel: What x is; "… %" shows fractions in percent, as for ``ylabel``.
        ylabel: What y is.
        title: Line above.

    Raises:
        ValueError: If there is no series, or one without a point that all its seeds have.
    """
    if not series:
        raise ValueError("series: expected at least one, got none")
    figure = new_figure(6.4, 4.2, title)
    axes = figure.subplots()
    scale = [100.0 if label.endswith("%") else 1.0 for label in (xlabel, ylabel)]
    for k, (name, curves) in enumerate(series.items()):
        seen = [_means(curve) for curve in curves]
        shared = sorted(set.intersection(*(set(each) for each in seen))) if seen else []
        if not shared:
            raise ValueError(
                f"series[{name!r}]: expected a point that all its seeds have, got none"
            )
        x = scale[0] * np.array(shared)
        y = scale[1] * np.array([[each[place] for place in shared] for each in seen])
        colour = COMMUNITY_COLOURS[k % len(COMMUNITY_COLOURS)]
        axes.plot(x, y.mean(0), marker="o", markersize=3.5, color=colour, label=name)
        if len(y) > 1:
            axes.fill_between(x, y.min(0), y.max(0), color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(axis="y")
    axes.legend()
    return figure


def _means(curve: Curve) -> dict[float, float]:
    found: dict[float, list[float]] = {}
    for x, y in curve:
        found.setdefault(x, []).append(y)
    return {x: float(np.mean(ys)) for x, ys in found.items()}
