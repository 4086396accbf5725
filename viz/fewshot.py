"""Accuracy on new classes by the number of samples of each: the paper's Figure 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nacgraph.viz.dropping import NAMES
from nacgraph.viz.style import COMMUNITY_COLOURS, INK, column, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ORDER = (0, 4, 2, 1, 3, 6, 5, 7)  # colours of the series, those farthest apart first
BESIDE = 0.035  # octaves between neighbouring series, so that intervals do not cover each other
LINE = 0.055  # of the height: room of a label


@styled
def fewshot_figure(
    rows: Sequence[Mapping[str, Any]], chance: float | None = None, title: str | None = None
) -> Figure:
    """The paper's Figure 4: accuracy after few-shot adaptation, by shots on a log scale.

    Args:
        rows: ``model``, ``shots``, ``mean`` (a fraction) of each point and, where known, ``ci95``
            (low, high), ``adapt`` (what learned), ``kind`` (the model's type, for its name) and
            ``baseline`` (whether it is one: dashed).
        chance: Accuracy of guessing, a level line.
        title: Line above.

    Raises:
        ValueError: If there is no row, or one has no model, mean or shots of at least 1.

    Source: Neural Attentive Circuits (NeurIPS 2022), figure 4.
    """
    if not rows:
        raise ValueError("rows: expected at least one, got none")
    for k, row in enumerate(rows):
        if missing := [key for key in ("model", "shots", "mean") if row.get(key) is None]:
            raise ValueError(f"rows[{k}]: expected model, shots and mean, got no {missing[0]}")
        if not float(row["shots"]) >= 1:
            raise ValueError(f"rows[{k}]: expected shots of at least 1, got {row['shots']!r}")
    figure = new_figure(6.6, 4.2, title)
    axes = figure.add_subplot()
    series = list(dict.fromkeys((str(r["model"]), str(r.get("adapt", ""))) for r in rows))
    several = len({adapt for _, adapt in series}) > 1
    ends = []
    for k, (model, adapt) in enumerate(series):
        mine = [r for r in rows if (str(r["model"]), str(r.get("adapt", ""))) == (model, adapt)]
        name = NAMES.get(str(mine[0].get("kind", model)), str(mine[0].get("kind", model)))
        models = {m for m, _ in series if m != model}
        same = any(
            r.get("kind", r["model"]) == mine[0].get("kind", model)
            for r in rows
            if str(r["model"]) in models
        )
        label = (model if same else name) + (f", {adapt}" if several else "")
        colour = COMMUNITY_COLOURS[ORDER[k % len(ORDER)]]
        shift = 2 ** (BESIDE * (k - (len(series) - 1) / 2))
        ends.append((_series(axes, mine, colour, shift), label, colour))
    _axis(axes, np.unique([float(row["shots"]) for row in rows]))
    if chance is not None:
        axes.axhline(100 * chance, linestyle=":", linewidth=1, color=INK)
        axes.annotate(
            "chance",
            (0.01, 100 * chance),
            va="bottom",
            fontsize=8,
            xycoords=("axes fraction", "data"),
        )
        axes.set_ylim(bottom=min(axes.get_ylim()[0], 100 * chance - 1))
    _label(axes, ends)
    return figure


def _series(
    axes: Axes, rows: Sequence[Mapping[str, Any]], colour: str, shift: float
) -> tuple[float, float]:
    """One line with its intervals; returns its right end."""
    order = np.argsort(column(rows, "shots"), kind="stable")
    rows = [rows[k] for k in order]
    shots, mean = column(rows, "shots") * shift, 100 * column(rows, "mean")
    dashes = "--" if rows[0].get("baseline") else "-"
    axes.plot(shots, mean, dashes, marker="o", color=colour)
    bounds = [row.get("ci95") or (row["mean"], row["mean"]) for row in rows]
    low, high = (100 * np.array(side, dtype=np.float64) for side in zip(*bounds, strict=True))
    axes.errorbar(
        shots,
        mean,
        np.stack([mean - low, high - mean]),
        fmt="none",
        ecolor=colour,
        elinewidth=1.2,
        capsize=2.5,
    )
    return float(shots[-1]), float(mean[-1])


def _axis(axes: Axes, shots: NDArray[np.float64]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.set_xscale("log", base=2)
    axes.set_xlim(shots.min() / 1.15, shots.max() * 1.15)
    axes.xaxis.set_major_locator(FixedLocator(shots.tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{few:g}" for few in shots])
    axes.set(xlabel="shots (samples of each class)", ylabel="accuracy on new classes (%)")


def _label(axes: Axes, ends: Sequence[tuple[tuple[float, float], str, str]]) -> None:
    """Names at the right ends of the lines, pushed apart where they would touch."""
    low, high = axes.get_ylim()
    room = LINE * (high - low)
    last, right = -np.inf, axes.get_xlim()[1]
    for (_, height), name, colour in sorted(ends, key=lambda end: end[0][1]):
        last = max(height, last + room)
        axes.annotate(
            name,
            (right, last),
            color=colour,
            va="center",
            fontsize=9,
            textcoords="offset points",
            xytext=(6, 0),
            annotation_clip=False,
        )
    axes.set_ylim(low, high)
