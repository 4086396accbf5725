"""Pictures of runs: learning curves side by side, and a learned circuit beside its prior."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from nacgraph.viz.plots import INK, draw_graph, heat_map

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def read_metrics(path: Path | str) -> dict[str, np.ndarray]:
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
        raise ValueError(f"{path}: wanted rows of {len(header)} numbers ({error})") from error


def curves_figure(
    runs: Mapping[str, Mapping[str, np.ndarray]], baselines: Mapping[str, float]
) -> Figure:
    """Validation accuracy and training loss by step, for each run by name.

    Args:
        runs: Name to columns, as :func:`read_metrics` gives them.
        baselines: Accuracies drawn as level lines, by name.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained", dpi=150)
    left, right = figure.subplots(1, 2)
    for name, columns in runs.items():
        seen = np.isfinite(columns["val_accuracy"])
        step = columns["step"]
        left.plot(step[seen], 100 * columns["val_accuracy"][seen], marker=".", label=name)
        window = max(1, len(step) // 60)
        smooth = np.convolve(columns["task_loss"], np.ones(window) / window, mode="valid")
        right.plot(step[window - 1 :], smooth, label=f"{name}, mean of {window} rows")
    for name, value in baselines.items():
        shown = name.replace("_", " ")
        left.axhline(100 * value, linestyle=":", color=INK, linewidth=1)
        left.annotate(shown, (1, 100 * value), xycoords=("axes fraction", "data"),
                      ha="right", va="bottom", fontsize=8, color=INK)  # fmt: skip
    left.set(xlabel="step", ylabel="validation accuracy (%)")
    right.set(xlabel="step", ylabel="training loss")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def circuit_figure(title: str, link: Tensor, target: Tensor, permutation: Tensor) -> Figure:
    """Learned link probabilities in matched order beside the prior, and links with P > 0.5.

    Args:
        title: Line above the panels.
        link: Link probabilities P, (n, n).
        target: The prior's edge probabilities, (n, n).
        permutation: π of :func:`nacgraph.priors.match`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.5, 4.8), layout="constrained", dpi=110)
    figure.suptitle(title, color=INK)
    left, middle, right = figure.subplots(1, 3)
    matched = link[permutation][:, permutation]
    heat_map(left, target, "prior", bar=False)
    heat_map(middle, matched, "learned P, modules in matched order")
    graph = nx.from_numpy_array((torch.triu(matched, 1) > 0.5).int().cpu().numpy())
    draw_graph(right, graph, f"learned links with P > 0.5: {graph.number_of_edges()}")
    return figure
