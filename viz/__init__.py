"""Pictures of priors and circuits. Each function returns a matplotlib Figure; nothing is shown."""

from __future__ import annotations

from nacgraph.viz.plots import draw_graph, heat_map, prior_figure
from nacgraph.viz.runs import circuit_figure, curves_figure, read_metrics

__all__ = [
    "circuit_figure",
    "curves_figure",
    "draw_graph",
    "heat_map",
    "prior_figure",
    "read_metrics",
]
