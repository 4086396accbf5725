"""Network statistics of circuits and of any small graph: arrays in, plain Python objects out.

A statistic is ``{"value": ...}`` with what belongs to it (``sd``, ``null_mean``, ``z``, …), or
``{"value": None, "reason": ...}`` where it is not defined; it is never NaN, and 0 means 0.
"""

from __future__ import annotations

from nacgraph.viz.statistics.binary import (
    assortativity,
    clustering,
    components,
    core_numbers,
    degree_ccdf,
    degrees,
    density,
    gini,
    hubs,
    local_clustering,
    path_lengths,
    transitivity,
)
from nacgraph.viz.statistics.blocks import block_models
from nacgraph.viz.statistics.circuit import circuit_statistics
from nacgraph.viz.statistics.distances import matched_distance, prior_distances
from nacgraph.viz.statistics.nulls import (
    degree_preserving_null,
    lattice_null,
    null_graphs,
    small_world,
)
from nacgraph.viz.statistics.partitions import adjusted_rand, communities
from nacgraph.viz.statistics.tails import degree_tail
from nacgraph.viz.statistics.values import Statistic, defined, undefined
from nacgraph.viz.statistics.weighted import (
    algebraic_connectivity,
    modularity,
    spectral_embedding,
    spectral_gap,
    weighted_assortativity,
    weighted_clustering,
    weighted_path_lengths,
)

__all__ = [
    "Statistic",
    "adjusted_rand",
    "algebraic_connectivity",
    "assortativity",
    "block_models",
    "circuit_statistics",
    "clustering",
    "communities",
    "components",
    "core_numbers",
    "defined",
    "degree_ccdf",
    "degree_preserving_null",
    "degree_tail",
    "degrees",
    "density",
    "gini",
    "hubs",
    "lattice_null",
    "local_clustering",
    "matched_distance",
    "modularity",
    "null_graphs",
    "path_lengths",
    "prior_distances",
    "small_world",
    "spectral_embedding",
    "spectral_gap",
    "transitivity",
    "undefined",
    "weighted_assortativity",
    "weighted_clustering",
    "weighted_path_lengths",
]
