"""Spectral embedding of a circuit, and the block matrices of fitted block models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nacgraph.viz.style import (
    COLOURS,
    COMMUNITY_COLOURS,
    INK,
    NEUTRAL,
    community_colours,
    label_array,
    new_figure,
    number,
    square,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def spectral_figure(
    embedding: Any, labels: Any = None, values: Any = None, title: str | None = None
) -> Figure:
    """Modules at their latent positions: dimension 1 against 2, and 2 against 3 if there is one.

    Args:
        embedding: Latent positions, as of an adjacency spectral embedding.
        labels: Community of each module, for the colours.
        values: Singular values; drawn beside, those of the dimensions kept filled.
        title: Line above the panels.

    Shapes:
        embedding (U, d) · labels (U,) · values (m,)

    Raises:
        ValueError: If shapes do not agree or a position is not finite.
    """
    from matplotlib.ticker import MaxNLocator

    places = number(embedding)
    if places.ndim != 2 or not places.size:
        raise ValueError(f"embedding: expected (U, d), got shape {places.shape}")
    if not np.isfinite(places).all():
        raise ValueError("embedding: expected finite numbers, got NaN or infinity")
    n, dimensions = places.shape
    colours: Any = NEUTRAL
    if labels is not None:
        colours = community_colours(label_array("labels", labels, n))
    planes = [(k, k + 1) for k in range(min(2, dimensions - 1))] or [(0, 0)]
    panels = len(planes) + (values is not None)
    figure = new_figure(4.0 * panels, 3.7, title)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    area = float(np.clip(3000 / n, 8, 60))
    for panel, (across, up) in zip(axes, planes, strict=False):
        x, y = places[:, across], places[:, up]
        if across == up:  # one dimension alone: modules in order
            x, y = np.arange(n, dtype=float), places[:, 0]
        panel.scatter(x, y, c=colours, s=area, edgecolors=INK, linewidths=0.3)
        first = "module" if across == up else f"dimension {across + 1}"
        panel.set(xlabel=first, ylabel=f"dimension {up + 1}")
        panel.margins(0.08)
        panel.xaxis.set_major_locator(MaxNLocator(5, min_n_ticks=1))
    if values is not None:
        _scree(axes[-1], number(values).ravel(), dimensions)
    return figure


@styled
def block_figure(blocks: Mapping[str, Any], labels: Any = None, title: str | None = None) -> Figure:
    """Link probabilities between and within the blocks of fitted models, with their numbers.

    Args:
        blocks: Block matrices by model, as ``{"SBM": …, "DCSBM": …}``. Probabilities share the
            scale 0 to 1; a matrix with larger entries (DCSBM's) gets its own.
        labels: Community ids of the blocks, if they are not 0, 1, …: the marks take their colours.
        title: Line above the panels.

    Shapes:
        blocks[name] (k, k) · labels (k,)

    Raises:
        ValueError: If there is no matrix, or one is not square, finite and at least 0.
    """
    if not blocks:
        raise ValueError("blocks: expected at least one matrix, got none")
    matrices = {name: square(f"blocks[{name!r}]", matrix) for name, matrix in blocks.items()}
    for name, matrix in matrices.items():
        if matrix.min() < 0:
            raise ValueError(
                f"blocks[{name!r}]: expected numbers of at least 0, got {matrix.min()}"
            )
    figure = new_figure(4.4 * len(matrices), 3.8, title)
    panels = figure.subplots(1, len(matrices), squeeze=False)[0]
    for axes, (name, matrix) in zip(panels, matrices.items(), strict=True):
        k = len(matrix)
        ids = np.arange(k) if labels is None else label_array("labels", labels, k)
        top = 1.0 if matrix.max() <= 1 else float(matrix.max())
        image = axes.imshow(matrix, cmap=COLOURS, vmin=0, vmax=top)
        scale = figure.colorbar(image, ax=axes, shrink=0.85)
        scale.set_label("link probability" if top == 1.0 else "links expected")
        scale.outline.set_visible(False)
        axes.set_title(name)
        axes.set(xlabel="block", ylabel="block", xticks=range(k), yticks=range(k))
        axes.set_xticklabels(ids.tolist())
        axes.set_yticklabels(ids.tolist())
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        if k <= 10:
            for (i, j), value in np.ndenumerate(matrix):
                ink = "black" if value > 0.55 * top else "white"  # on the colour map, not the page
                axes.text(
                    j,
                    i,
                    f"{value:.2f}" if top == 1.0 else f"{value:.3g}",
                    color=ink,
                    ha="center",
                    va="center",
                    fontsize=8 if k <= 6 else 6,
                )
    return figure


def _scree(axes: Axes, values: Any, kept: int) -> None:
    at = np.arange(1, len(values) + 1)
    axes.plot(at, values, color=INK, linewidth=0.8, alpha=0.5, zorder=1)
    face = [COMMUNITY_COLOURS[0] if k <= kept else "none" for k in at]
    axes.scatter(at, values, c=face, edgecolors=COMMUNITY_COLOURS[0], s=22, zorder=2)
    axes.set(xlabel="dimension", ylabel="singular value", title=f"{kept} kept")
    axes.set_ylim(bottom=0)
