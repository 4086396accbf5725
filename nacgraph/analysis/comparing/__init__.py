"""Two circuits side by side: how far their graphs are apart, and what chance would make of it."""

from __future__ import annotations

from nacgraph.analysis.comparing.graphs import check_links, compare_graphs, leiden_labels, matching
from nacgraph.analysis.comparing.latent import latent_positions, undefined

__all__ = [
    "check_links",
    "compare_graphs",
    "latent_positions",
    "leiden_labels",
    "matching",
    "undefined",
]
