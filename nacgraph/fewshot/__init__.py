"""Few-shot adaptation: a trained model learns new classes from a few samples of each."""

from __future__ import annotations

from nacgraph.fewshot.adapting import (
    PARTS,
    Recipe,
    adapt,
    answered,
    learning,
    parts_of,
    usual_rate,
)
from nacgraph.fewshot.episodes import Episode, Pool, digest, draw_episode, make_pool
from nacgraph.fewshot.experiment import FewShot, fewshot
from nacgraph.fewshot.jobs import Tuning

__all__ = [
    "PARTS",
    "Episode",
    "FewShot",
    "Pool",
    "Recipe",
    "Tuning",
    "adapt",
    "answered",
    "digest",
    "draw_episode",
    "fewshot",
    "learning",
    "make_pool",
    "parts_of",
    "usual_rate",
]
