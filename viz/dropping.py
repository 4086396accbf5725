"""What is left of a model when modules are dropped: accuracy and time by fraction kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nacgraph.viz.style import COMMUNITY_COLOURS, INK, column, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]

ORDERS = ("degree", "contribution", "random")  # in the order of the colours
NAMES = {
    "nac": "NAC",
    "perceiver_io": "Perceiver IO",
    "transformer": "Transformer",
    "linformer": "Linformer",
}


@styled
def dropping_figure(
    rows: Rows,
    majority: float | None = None,
    title: str | None = None,
    time_label: str = "milliseconds a batch",
) -> Figure:
    """The paper's Figure 5: accuracy, latency and speed-up by the fraction of modules kept.

    One line for each model and order; over several seeds it is their mean, with a band from the
    lowest to the highest, and for a single one the band is its confidence interval, if given.
    Time does not depend on which modules are left, so there is one line of it for each model, the
    median of its rows; the speed-up is against the same model at 100 %.

    Args:
        rows: ``model``, ``order``, ``keep`` in (0, 1], and what was measured: ``accuracy``,
            ``ci_low``, ``ci_high`` (fractions), ``milliseconds``, ``seed``. None is not drawn.
        majority: Accuracy of always saying the commonest class, a level line.
        title: Line above the panels.
        time_label: What ``milliseconds`` are of.

    Raises:
        ValueError: If there is no row, or a row has no model, order or keep within (0, 1].

    Source: Neural Attentive Circuits (NeurIPS 2022), figure 5.
    """
    if not rows:
        raise ValueError("rows: expected at least one, got none")
    for k, row in enumerate(rows):
        if missing := [key for key in ("model", "order", "keep") if row.get(key) is None]:
            raise ValueError(f"rows[{k}]: expected model, order and keep, got no {missing[0]}")
        if not 0 < float(row["keep"]) <= 1:
            raise ValueError(f"rows[{k}]: expected keep in (0, 1], got {row['keep']!r}")
    timed = np.isfinite(column(rows, "milliseconds")).any()
    figure = new_figure(12 if timed else 5.6, 4.1, title)
    panels = figure.subplots(1, 3 if timed else 1, squeeze=False)[0]
    _accuracy(panels[0], rows, majority)
    if timed:
        _latency(panels[1], panels[2], rows)
        panels[1].set_ylabel(time_label)
    kept = np.unique([float(row["keep"]) for row in rows])[::-1]
    for axes in panels:
        _fractions(axes, kept)
    handles, names = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower left", ncols=len(names) if timed else 1)
    return figure


def line_colour(model: str, order: str) -> str:
    """A colour for each order of NAC; one for all lines of another model."""
    if model == "nac":
        return COMMUNITY_COLOURS[ORDERS.index(order) if order in ORDERS else 5]
    return COMMUNITY_COLOURS[4]


def _accuracy(axes: Axes, rows: Rows, majority: float | None) -> None:
    for model, order in dict.fromkeys((str(r["model"]), str(r["order"])) for r in rows):
        mine = [r for r in rows if (r["model"], r["order"]) == (model, order)]
        points = _collected(mine)
        if not points:
            continue
        keep, mean, low, high = (100 * np.array(p) for p in zip(*points, strict=True))
        seeds = len({row.get("seed") for row in mine})
        label = f"{NAMES.get(model, model)}, {'at random' if order == 'random' else f'by {order}'}"
        label += f" ({seeds} seeds)" if seeds > 1 else ""
        colour = line_colour(model, order)
        dashes = "-" if model == "nac" else "--" if order == "random" else "-."
        axes.plot(keep, mean, dashes, marker="o", color=colour, label=label)
        axes.fill_between(keep, low, high, color=colour, alpha=0.15, linewidth=0)
    if majority is not None:
        axes.axhline(100 * majority, linestyle=":", linewidth=1, color=INK)
        axes.annotate(
            "majority class",
            (0.01, 100 * majority),
            va="bottom",
            fontsize=8,
            xycoords=("axes fraction", "data"),
        )
    axes.set(title="accuracy", ylabel="accuracy (%)")


def _collected(rows: Rows) -> list[tuple[float, float, float, float]]:
    """(keep, mean, low, high) from all to fewest modules."""
    keeps, accuracy = column(rows, "keep"), column(rows, "accuracy")
    low, high = column(rows, "ci_low"), column(rows, "ci_high")
    points = []
    for keep in np.unique(keeps)[::-1]:
        here = (keeps == keep) & np.isfinite(accuracy)
        values = accuracy[here]
        if len(values) > 1:
            points.append((keep, values.mean(), values.min(), values.max()))
        elif len(values):
            known = np.isfinite(low[here] + high[here]).all()
            interval = (low[here][0], high[here][0]) if known else (values[0], values[0])
            points.append((keep, values[0], *interval))
    return points


def _latency(time: Axes, speed: Axes, rows: Rows) -> None:
    for model in dict.fromkeys(str(row["model"]) for row in rows):
        mine = [row for row in rows if row["model"] == model]
        keeps, cost = column(mine, "keep"), column(mine, "milliseconds")
        seen = np.isfinite(cost)
        kept = np.unique(keeps[seen])[::-1]
        median = np.array([np.median(cost[seen & (keeps == keep)]) for keep in kept])
        if not len(kept):
            continue
        colour = line_colour(model, "degree")
        look: dict[str, Any] = {
            "marker": "o",
            "color": colour,
            "label": NAMES.get(model, model),
            "linestyle": "-" if model == "nac" else "--",
        }
        time.plot(100 * kept, median, **look)
        if kept[0] == 1.0:
            speed.plot(100 * kept, median[0] / median, **look)
            if len(kept) > 1:
                speed.annotate(
                    f"{median[0] / median[-1]:.1f} ×",
                    (100 * kept[-1], median[0] / median[-1]),
                    va="center",
                    textcoords="offset points",
                    xytext=(7, 0),
                    fontsize=9,
                    color=colour,
                    annotation_clip=False,
                )
    time.set(title="latency", ylabel="milliseconds")
    time.set_ylim(bottom=0)
    speed.set(title="speed-up", ylabel="times as fast as with all modules")
    speed.set_ylim(bottom=0)
    for axes in (time, speed):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="best", fontsize=8)


def _fractions(axes: Axes, kept: NDArray[np.float64]) -> None:
    """From 100 % on the left to few on the right, on a log scale: halving is one step."""
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.set_xscale("log")
    axes.set_xlim(100 * kept.max() * 1.12, 100 * kept.min() / 1.12)
    # Labels that would touch are left out; the marks stay.
    axes.xaxis.set_major_locator(FixedLocator((100 * kept).tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    names, last = [], np.inf
    for keep in kept:
        room = last / keep > (kept.max() / kept.min()) ** 0.09
        names.append(f"{100 * keep:.3g}" if room else "")
        last = keep if room else last
    axes.set_xticklabels(names)
    axes.set_xlabel("modules kept (%)")
