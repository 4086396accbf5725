"""A population of circuits, one a sample: as points, and some of them drawn side by side."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nacgraph.viz.drawing import draw_circuit, linked_pairs
from nacgraph.viz.layout import force_layout, probabilities
from nacgraph.viz.style import INK, NEUTRAL, community_colour, new_figure, number, square, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GROUPS = 10  # words with a colour of their own, the commonest; the others share one
LETTERS = 36  # of a line above a circuit
LINES = 3


@styled
def population_figure(
    points: Mapping[float, Any], words: Sequence[str], name: str = "tag", title: str | None = None
) -> Figure:
    """The paper's Figure 6, right: circuits in a plane, coloured by what their samples are.

    Args:
        points: Places of the circuits by perplexity, one panel each, as
            :func:`nacgraph.analysis.populations.embed_circuits` finds them.
            t-SNE can deceive: what holds at several of them may be believed.
        words: What each sample is.
        name: What the words are.
        title: Line above.

    Shapes:
        points[perplexity] (m, 2) · words (m,)

    Raises:
        ValueError: If there is no panel, or one has not m places.

    Source: Neural Attentive Circuits (NeurIPS 2022), figure 6.
    """
    if not points:
        raise ValueError("points: expected at least one perplexity, got none")
    m = len(words)
    counts = Counter(words)
    kept = sorted(word for word, _ in counts.most_common(GROUPS))
    figure = new_figure(3.6 * len(points) + 1.6, 3.9, title)
    panels = figure.subplots(1, len(points), squeeze=False)[0]
    for axes, (perplexity, given) in zip(panels, points.items(), strict=True):
        places = number(given)
        if places.shape != (m, 2):
            raise ValueError(f"points: expected ({m}, 2), got shape {places.shape}")
        _dots(axes, places, list(words), kept)
        axes.set(title=f"perplexity {perplexity:g}", xticks=[], yticks=[])
        axes.set(xlabel="t-SNE 1", ylabel="t-SNE 2")
        axes.margins(0.06)
    handles, labels = panels[0].get_legend_handles_labels()
    panels[-1].legend(
        handles,
        labels,
        title=name,
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        alignment="left",
        title_fontsize=9,
        handletextpad=0.2,
    )
    return figure


def _dots(axes: Axes, places: Any, words: list[str], kept: list[str]) -> None:
    area = float(np.clip(6000 / len(words), 9, 34))
    look: dict[str, Any] = {"s": area, "linewidths": 0.3, "edgecolors": INK}
    # Drawn in one go, in a fixed random order, so that no group lies on top of another.
    ranks = [kept.index(word) if word in kept else -1 for word in words]
    order = np.random.default_rng(0).permutation(len(words))
    colours = [community_colour(rank) for rank in ranks]
    axes.scatter(places[order, 0], places[order, 1], c=[colours[k] for k in order], **look)
    for rank, word in enumerate(kept):
        axes.scatter(
            [],
            [],
            color=community_colour(rank),
            label=f"{word} ({words.count(word)})",
            s=34,
            linewidths=0.3,
            edgecolors=INK,
        )
    if -1 in ranks:
        axes.scatter([], [], color=NEUTRAL, label=f"others ({ranks.count(-1)})", s=34)


@styled
def circuits_figure(
    links: Sequence[Any],
    titles: Sequence[str],
    words: Sequence[str],
    columns: int = 3,
    threshold: float = 0.5,
    title: str | None = None,
) -> Figure:
    """The paper's Figure 6, left: the circuits of some samples, under what each was given.

    Modules lie by force layout, each circuit's from that of the mean of all, so that they can be
    compared; the colour is the expected degree, lines are links with P above the threshold.

    Args:
        links: Link probabilities of each circuit.
        titles: What each was given.
        words: The group of each; circuits stand in the order given, a new group on a new row.
        columns: Circuits in a row.
        threshold: Links with P above it are drawn.
        title: Line above; by default what is drawn.

    Shapes:
        links (m, U, U) · titles, words (m,)

    Raises:
        ValueError: If there is no circuit, they differ in size, or a list has another length.
    """
    if not len(links):
        raise ValueError("links: expected at least one circuit, got none")
    size = len(links[0])
    matrices = [probabilities("links", square("links", p, size)) for p in links]
    for name, given in (("titles", titles), ("words", words)):
        if len(given) != len(matrices):
            raise ValueError(f"{name}: expected {len(matrices)}, got {len(given)}")
    rows: list[list[int]] = []
    for k, word in enumerate(words):
        if not rows or words[rows[-1][0]] != word or len(rows[-1]) == columns:
            rows.append([])
        rows[-1].append(k)
    what = f"lines: P > {threshold:g} · colour: expected degree, each circuit by its own scale"
    figure = new_figure(3.1 * columns, 3.3 * len(rows) + 0.3, title or what)
    panels = figure.subplots(len(rows), columns, squeeze=False)
    middle = force_layout(np.mean(matrices, axis=0))
    for line, members in zip(panels, rows, strict=True):
        for axes in line[len(members) :]:
            axes.set_visible(False)
        for axes, k in zip(line, members, strict=False):
            matrix = matrices[k]
            places = force_layout(matrix, start=middle)
            pairs = linked_pairs(matrix, threshold)
            degrees = matrix.sum(1) - np.diag(matrix)
            draw_circuit(axes, places, pairs, None, degrees, size, size=0.7)
            axes.set_title(_heading(titles[k]), fontsize=8)
            axes.set_xlabel(f"{words[k]} · {len(pairs[0])} links", fontsize=8)
    return figure


def _heading(text: str) -> str:
    """At most three lines."""
    lines = textwrap.wrap(text, LETTERS) or [""]
    return "\n".join(
        lines if len(lines) <= LINES else [*lines[: LINES - 1], f"{lines[LINES - 1]} …"]
    )
