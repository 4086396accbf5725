"""Circuits that differ from sample to sample, and what they go with."""

from __future__ import annotations

from nacgraph.analysis.populations.embedding import Embedding, embed
from nacgraph.analysis.populations.gathering import Population, gather, tag_words
from nacgraph.analysis.populations.points import embed_circuits
from nacgraph.analysis.populations.separation import components, separation, variation

__all__ = [
    "Embedding",
    "Population",
    "components",
    "embed",
    "embed_circuits",
    "gather",
    "separation",
    "tag_words",
    "variation",
]
