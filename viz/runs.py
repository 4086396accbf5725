"""Pictures of training runs: learning curves, density, distance to the prior."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nacgraph.viz.plots import circuit_figure
from nacgraph.viz.style import COMMUNITY_COLOURS, INK, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["circuit_figure", "curves_figure", "read_metrics", "training_figure"]

Columns = Mapping[str, NDArray[np.float64]]
DASHES = ("-", "--", ":")
FEW = 6  # runs whose names fit among their curves


def read_metrics(path: Path | str) -> dict[str, NDArray[np.float64]]:
    """The columns of a run's ``metrics.csv``; an empty cell is NaN.

    Raises:
        ValueError: If the file is no table of numbers under one header.
    """
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    try:
        table = np.array([[float(cell or "nan") for cell in row] for row in rows])
        return dict(zip(header, table.reshape(-1, len(header)).T, strict=True))
    except ValueError as error:
        raise ValueError(f"{path}: expected rows of {len(header)} numbers ({error})") from error


@styled
def curves_figure(runs: Mapping[str, Columns], baselines: Mapping[str, float]) -> Figure:
    """Validation accuracy and training loss by step, for each run by name.

    Args:
        runs: Name to columns, as :func:`read_metrics` gives them.
        baselines: Accuracies drawn as level lines, by name.
    """
    figure = new_figure(11, 4.2)
    left, right = figure.subplots(1, 2)
    for k, (name, columns) in enumerate(runs.items()):
        turn, colour = divmod(k, len(COMMUNITY_COLOURS))  # once all colours are used, dashes
        look = {"color": COMMUNITY_COLOURS[colour], "linestyle": DASHES[turn % len(DASHES)]}
        seen = np.isfinite(columns["val_accuracy"])
        step = columns["step"]
        left.plot(step[seen], 100 * columns["val_accuracy"][seen], marker=".", **look)
        window = max(1, len(step) // 60)
        smooth = np.convolve(columns["task_loss"], np.ones(window) / window, mode="valid")
        right.plot(step[window - 1 :], smooth, label=name, **look)
    _levels(left, baselines)
    left.set(xlabel="step", ylabel="validation accuracy (%)")
    right.set(xlabel="step", ylabel="training loss (mean over 1/60 of a run)")
    if len(runs) > FEW:
        right.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    elif runs:
        right.legend()  # of both: losses fall, so its upper corner is free
    return figure


@styled
def training_figure(
    metrics: Columns | Path | str,
    modules: int | None = None,
    floor: float | None = None,
    baselines: Mapping[str, float] | None = None,
) -> Figure:
    """What training did to the circuit: five curves by step.

    Density or mean degree, distance to the prior with its floor, isolated modules, validation
    accuracy and the task's loss. A curve without a single number is left out.

    Args:
        metrics: Columns as :func:`read_metrics` gives them, or the path of a ``metrics.csv``.
        modules: U; with it the mean degree is shown as density, divided by U - 1.
        floor: The least prior distance that signatures reach, drawn as a level line.
        baselines: Accuracies drawn as level lines, by name.

    Raises:
        ValueError: If there is no column ``step``, columns differ in length, or nothing to show.
    """
    from matplotlib.ticker import MaxNLocator

    columns = read_metrics(metrics) if isinstance(metrics, (str, Path)) else metrics
    if "step" not in columns:
        raise ValueError(f"metrics: expected a column 'step', got {', '.join(columns) or 'none'}")
    step = np.asarray(columns["step"], dtype=float)
    dense = modules is not None and modules > 1
    curves = {
        "mean_degree": ("density", "mean degree / (U − 1)") if dense else ("mean degree", "links"),
        "prior_loss": ("prior distance", "matched loss"),
        "isolated": ("isolated modules", "modules"),
        "val_accuracy": ("validation accuracy", "%"),
        "task_loss": ("training loss", "task loss"),
    }
    scale = {"mean_degree": 1 / (modules - 1) if dense and modules else 1.0, "val_accuracy": 100.0}
    shown = {}
    for name in curves:
        values = np.asarray(columns.get(name, []), dtype=float)
        if len(values) and values.shape != step.shape:
            raise ValueError(f"metrics: expected {len(step)} rows of {name}, got {len(values)}")
        if np.isfinite(values).any():
            shown[name] = values * scale.get(name, 1.0)
    if not shown:
        raise ValueError(f"metrics: expected numbers in one of {', '.join(curves)}, got none")
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    figure = new_figure(3.7 * across, 2.7 * down)
    panels = figure.subplots(down, across, squeeze=False, sharex=True).ravel()
    for axes, (name, values) in zip(panels, shown.items(), strict=False):
        _curve(axes, step, values, noisy=name == "task_loss")
        axes.set(title=curves[name][0], ylabel=curves[name][1])
        if name == "prior_loss" and np.nanmin(values) > 0:
            axes.set_yscale("log")
        if name == "prior_loss" and floor is not None:
            _levels(axes, {f"reachable floor {floor:.2g}": floor}, 1, below=True)
            if floor > 0:  # room for its name
                axes.set_ylim(bottom=0.7 * min(floor, np.nanmin(values)))
        if name == "isolated":
            axes.set_ylim(-0.02 * max(1, np.nanmax(values)), max(1, np.nanmax(values)) * 1.05)
            axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        if name == "val_accuracy":
            _levels(axes, baselines or {})
    for k, axes in enumerate(panels):
        axes.set_visible(k < len(shown))
        # Those that have nothing below them say what the steps are.
        if len(shown) - across <= k < len(shown):
            axes.set_xlabel("step")
            axes.tick_params(labelbottom=True)
    return figure


def _curve(axes: Axes, step: NDArray[np.float64], values: NDArray[np.float64], noisy: bool) -> None:
    """The values; if they are noise on a trend, faint and with their running mean."""
    seen = np.isfinite(values)
    step, values = step[seen], values[seen]
    colour = COMMUNITY_COLOURS[0]
    window = len(step) // 40
    if not noisy or window < 3:
        axes.plot(step, values, color=colour, marker="." if len(step) < 40 else None)
        return
    axes.plot(step, values, color=colour, alpha=0.3, linewidth=0.7)
    mean = np.convolve(values, np.ones(window) / window, mode="valid")
    middle = np.convolve(step, np.ones(window) / window, mode="valid")
    axes.plot(middle, mean, color=colour, label=f"mean of {window} rows")
    axes.legend(loc="upper right")


def _levels(
    axes: Axes, levels: Mapping[str, float], scale: float = 100, below: bool = False
) -> None:
    for name, value in levels.items():
        axes.axhline(scale * value, linestyle=":", color=INK, linewidth=1)
        axes.annotate(
            name.replace("_", " "),
            (1, scale * value),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="top" if below else "bottom",
            fontsize=8,
            color=INK,
            xytext=(0, -2 if below else 1),
            textcoords="offset points",
        )
