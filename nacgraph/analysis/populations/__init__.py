"""Circuits that differ by sample: which there are, and what they go with."""

from __future__ import annotations

from nacgraph.analysis.populations.gathering import Population, gather, tag_words
from nacgraph.analysis.populations.separation import components, separation, variation

__all__ = ["Population", "components", "gather", "separation", "tag_words", "variation"]
