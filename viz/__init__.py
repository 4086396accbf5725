"""Pictures of priors and circuits. Each function returns a matplotlib Figure; nothing is shown."""

from __future__ import annotations

from nacgraph.viz.plots import draw_graph, heat_map, prior_figure

__all__ = ["draw_graph", "heat_map", "prior_figure"]
