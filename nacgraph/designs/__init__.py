"""Circuits that differ by sample: which there are, and what they go with."""

from __future__ import annotations

from nacgraph.designs.gathering import Designs, gather, tag_words
from nacgraph.designs.separation import components, separation, variation

__all__ = ["Designs", "components", "gather", "separation", "tag_words", "variation"]
