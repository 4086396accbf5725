"""What a trained circuit is like: analyze one, compare two, prune, embed, score on renditions.

Importing this package is light: what draws, tests or searches is imported when it is called.
"""

from __future__ import annotations

from nacgraph.analysis.analyze import Analysis, analyze
from nacgraph.analysis.compare import Comparison, compare
from nacgraph.analysis.populations.embedding import Embedding, embed
from nacgraph.analysis.pruning import prune_run
from nacgraph.analysis.pruning_curve import PruningCurve, pruning_curve
from nacgraph.analysis.renditions import Renditions, renditions

__all__ = [
    "Analysis",
    "Comparison",
    "Embedding",
    "PruningCurve",
    "Renditions",
    "analyze",
    "compare",
    "embed",
    "prune_run",
    "pruning_curve",
    "renditions",
]
