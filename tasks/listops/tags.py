"""Properties of ListOps sequences: for reports, never for a model."""

from __future__ import annotations

import numpy as np

from nacgraph.tasks.batching import Sequences
from nacgraph.tasks.listops.trees import SYMBOLS

_STEPS = (0, 10, 20, 50, 100, 200, 500, 750, 1000, 1250, 1500, 2000)  # of lengths


def nesting(rows: Sequences) -> np.ndarray:
    """Operators open at every symbol, their own among them: flat, (total) int64."""
    opening = (rows.tokens > 10) & (rows.tokens < len(SYMBOLS))
    closing = rows.tokens == len(SYMBOLS)
    # Every sequence closes all that it opens, so one sum serves all of them.
    return np.cumsum(opening.astype(np.int64)) - np.cumsum(closing) + closing


def tree_tags(rows: Sequences) -> dict[str, list[str]]:
    """ "root", "length", "depth", "arguments" of every sequence, as words."""
    starts, depth = rows.offsets[:-1], nesting(rows)
    # Arguments of the root: digits right within it, and operators that open there.
    digit, opening = rows.tokens <= 10, (rows.tokens > 10) & (rows.tokens < len(SYMBOLS))
    arguments = np.add.reduceat((digit & (depth == 1)) | (opening & (depth == 2)), starts)
    places = np.searchsorted(_STEPS, rows.lengths)
    return {
        "root": [SYMBOLS[token - 1].removeprefix("[") for token in rows.tokens[starts]],
        "length": [f"{_STEPS[k - 1] + 1}–{_STEPS[k]}" for k in places.clip(1, len(_STEPS) - 1)],
        "depth": [str(n) for n in np.maximum.reduceat(depth, starts)],
        "arguments": [str(n) for n in arguments],
    }
