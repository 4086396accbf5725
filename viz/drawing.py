"""A circuit as a drawing: modules by force layout, links above a threshold, steady colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nacgraph.viz.layout import force_layout, probabilities, readout_layout
from nacgraph.viz.style import (
    INK,
    NEUTRAL,
    bare,
    community_colour,
    community_colours,
    count,
    label_array,
    new_figure,
    node_map,
    number,
    square,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

MANY = 4000  # links from which an SVG would be megabytes: they become a picture in it
NAMED = 12  # communities in a legend, the largest


@styled
def circuit_drawing(
    probability: Any,
    positions: Any = None,
    colour_by: Any = "degree",
    labels: Any = None,
    threshold: float = 0.5,
    readout_probability: Any = None,
    scale_label: str = "value",
    title: str | None = None,
) -> Figure:
    """The paper's Figure 6, left: modules by force layout, a line where P is above a threshold.

    Args:
        probability: Link probabilities P.
        positions: Places of the modules; by default :func:`force_layout` of P.
        colour_by: ``"degree"`` (expected, Σ P without the module itself), ``"community"`` (then
            ``labels`` is needed), or a number for each module, with NaN where there is none.
        labels: Community of each module, -1 for none.
        threshold: Links with P above it are drawn.
        readout_probability: Link probabilities R; the read-outs are then drawn as squares, with
            dotted lines to what they listen to (R above the threshold, or else the most likely).
        scale_label: What the numbers of ``colour_by`` are.
        title: Line above; by default the counts.

    Shapes:
        probability (U, U) · positions (U, 2) · labels (U,) · readout_probability (O, U)

    Raises:
        ValueError: If shapes do not agree, P is no probability, or a colouring is unknown.

    Source: Neural Attentive Circuits (NeurIPS 2022), figure 6.
    """
    matrix = probabilities("probability", square("probability", probability))
    places = force_layout(matrix) if positions is None else _placed(positions, len(matrix))
    figure = new_figure(6.4, 5.6)
    axes = figure.add_subplot()
    first, second = linked_pairs(matrix, threshold)
    ids = None if labels is None else label_array("labels", labels, len(matrix))
    values = _values(colour_by, matrix, ids)
    dots = draw_circuit(
        axes, places, (first, second), ids if values is None else None, values, len(matrix)
    )
    if values is None and ids is not None:
        _legend(axes, ids)
    elif values is not None:
        text = "expected degree" if isinstance(colour_by, str) else scale_label
        scale = figure.colorbar(dots, ax=axes, label=text, shrink=0.6, aspect=30)
        scale.outline.set_visible(False)
        seen = np.unique(values[np.isfinite(values)])
        if len(seen) == 1:
            scale.set_ticks(seen)
    if readout_probability is not None:
        _draw_readouts(axes, places, number(readout_probability), threshold)
    counts = f"{count(len(matrix), 'module')}, {count(len(first), 'link')}"
    axes.set_title(title or f"{counts} with P > {threshold:g}")
    return figure


def draw_circuit(
    axes: Axes,
    places: NDArray[np.float64],
    links: tuple[NDArray[np.int64], NDArray[np.int64]],
    labels: NDArray[np.int64] | None,
    values: NDArray[np.float64] | None,
    modules: int,
    size: float = 1.0,
) -> PathCollection:
    """Links (i, j) and modules on these axes, coloured by label or else by value.

    A link within a community has its colour; others are ink. ``size`` scales dots and lines.
    """
    from matplotlib.collections import LineCollection

    first, second = links
    many = len(first) > MANY
    plain = NEUTRAL if many else INK  # ink follows the page; a picture inside an SVG cannot
    if labels is None:
        colours = plain
    else:
        same = (labels[first] == labels[second]) & (labels[first] >= 0)
        inner = community_colours(labels[first])
        colours = [c if s else plain for c, s in zip(inner, same, strict=True)]  # type: ignore[assignment]
    # Many links would hide each other: the more there are, the fainter each.
    faint = float(np.clip(8 / max(1, len(first)) ** 0.5, 0.03, 0.55))
    segments = np.stack([places[first], places[second]], axis=1)
    axes.add_collection(
        LineCollection(
            segments, colors=colours, linewidths=0.9 * size, alpha=faint, zorder=1, rasterized=many
        )
    )
    area = size**2 * float(np.clip(5000 / modules, 7, 150))
    look: dict[str, Any] = {"s": area, "linewidths": 0.06 * area**0.5, "zorder": 3}
    if values is None:
        colour = NEUTRAL if labels is None else community_colours(labels)
        dots = axes.scatter(places[:, 0], places[:, 1], c=colour, edgecolors=INK, **look)
    else:
        seen = np.isfinite(values)
        low, high = (values[seen].min(), values[seen].max()) if seen.any() else (0.0, 1.0)
        if high - low < 1e-9:
            low, high = low - 0.5, high + 0.5
        if not seen.all():
            axes.scatter(places[~seen, 0], places[~seen, 1], c=NEUTRAL, edgecolors=INK, **look)
        # The largest on top: hubs are what one looks for.
        order = np.flatnonzero(seen)[np.argsort(values[seen], kind="stable")]
        dots = axes.scatter(
            places[order, 0],
            places[order, 1],
            c=values[order],
            cmap=node_map(),
            vmin=low,
            vmax=high,
            edgecolors=INK,
            **look,
        )
    bare(axes)
    # Room around them, also were all in one line.
    middle, reach = (places.max(0) + places.min(0)) / 2, np.ptp(places, axis=0) / 2
    reach = np.maximum(reach, max(0.6 * float(reach.max()), 0.1))
    axes.update_datalim([middle - reach, middle + reach])
    axes.margins(0.06)
    axes.autoscale_view()
    return dots


def linked_pairs(
    matrix: NDArray[np.float64], threshold: float = 0.5
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs i < j with P above the threshold."""
    first, second = np.nonzero(np.triu(matrix > threshold, 1))
    return first, second


def _values(
    colour_by: Any, matrix: NDArray[np.float64], labels: NDArray[np.int64] | None
) -> NDArray[np.float64] | None:
    """The numbers to colour by, or None to colour by community."""
    if isinstance(colour_by, str):
        if colour_by not in ("degree", "community"):
            raise ValueError(
                f"colour_by: expected 'degree', 'community' or numbers, got {colour_by!r}"
            )
        if colour_by == "degree":
            return matrix.sum(1) - np.diag(matrix)
        if labels is None:
            raise ValueError("labels: expected the community of each module, got none")
        return None
    values = number(colour_by)
    if values.shape != (len(matrix),):
        raise ValueError(f"colour_by: expected {len(matrix)} numbers, got shape {values.shape}")
    return values


def _placed(positions: Any, n: int) -> NDArray[np.float64]:
    places = number(positions)
    if places.shape != (n, 2):
        raise ValueError(f"positions: expected ({n}, 2), got shape {places.shape}")
    return places


def _legend(axes: Axes, labels: NDArray[np.int64]) -> None:
    from matplotlib.lines import Line2D

    ids, sizes = np.unique(labels[labels >= 0], return_counts=True)
    largest = np.sort(np.argsort(-sizes, kind="stable")[:NAMED])
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker="o",
            color=community_colour(ids[k]),
            label=f"{ids[k]} ({sizes[k]})",
        )
        for k in largest
    ]
    hidden = len(ids) - len(largest)
    heading = "community\n(modules)" + (f"\n{hidden} more" if hidden else "")
    if handles:
        axes.legend(
            handles=handles,
            title=heading,
            loc="center left",
            bbox_to_anchor=(1, 0.5),
            alignment="left",
            title_fontsize=9,
            handletextpad=0.2,
        )


def _draw_readouts(
    axes: Axes, places: NDArray[np.float64], heard: NDArray[np.float64], threshold: float
) -> None:
    from matplotlib.collections import LineCollection

    beside = readout_layout(places, heard)
    linked = heard > threshold
    linked[np.arange(len(heard)), heard.argmax(1)] = True  # the circuit always keeps this one
    reader, source = np.nonzero(linked)
    segments = np.stack([beside[reader], places[source]], axis=1)
    lines = LineCollection(segments, colors=INK, linewidths=0.9, linestyles=":", alpha=0.7)
    lines.set(zorder=2, label="read-out links")
    axes.add_collection(lines)
    squares = axes.scatter(
        beside[:, 0], beside[:, 1], marker="s", s=34, c=INK, linewidths=0, zorder=4
    )
    squares.set_label("read-outs")
    for k, (x, y) in enumerate(beside):
        axes.annotate(str(k), (x, y), textcoords="offset points", xytext=(5, 3), fontsize=8)
