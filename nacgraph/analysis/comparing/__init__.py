"""Distances between the graphs of two circuits, and what they would be by chance."""

from __future__ import annotations

from nacgraph.analysis.comparing.graphs import check_links, compare_graphs, leiden_labels, matching
from nacgraph.analysis.comparing.latent import latent_positions

__all__ = [
    "check_links",
    "compare_graphs",
    "latent_positions",
    "leiden_labels",
    "matching",
]
