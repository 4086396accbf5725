"""What can be known of ListOps by looking so deep: the best guess when subtrees are only guessed.

    python benchmarks/listops_depths.py

Operators and digits down to depth d are known; a subtree below is known by its operator alone, and
counts as a random value of such subtrees. The most frequent outcome of 400 draws is the guess. A
model at the accuracy of depth d does as if it knew the tree to that depth.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from nacgraph.tasks import ListOps
from nacgraph.tasks.batching import Sequences
from nacgraph.tasks.listops.trees import SYMBOLS

DRAWS, TREES, DEPTHS = 400, 600, 7
OPERATORS = {
    "[MIN": lambda v: v.min(0),
    "[MAX": lambda v: v.max(0),
    "[SM": lambda v: v.sum(0) % 10,
    "[MED": lambda v: np.median(v, axis=0).astype(np.int64),
}


def tree_of(row: np.ndarray) -> tuple:
    """Nested (operator, arguments), digits as numbers."""
    open_: list[tuple] = [("", [])]
    for token in row.tolist():
        symbol = SYMBOLS[token - 1]
        if symbol.isdigit():
            open_[-1][1].append(int(symbol))
        elif symbol == SYMBOLS[-1]:
            done = open_.pop()
            open_[-1][1].append(done)
        else:
            open_.append((symbol, []))
    return open_[0][1][0]


def values(tree, depth: int, pool: dict, rng: np.random.Generator) -> np.ndarray:
    """Draws of the value of a tree that is known to ``depth``."""
    if isinstance(tree, int):
        return np.full(DRAWS, tree)
    if depth == 0:
        return rng.choice(pool[tree[0]], DRAWS)
    return OPERATORS[tree[0]](np.stack([values(t, depth - 1, pool, rng) for t in tree[1]]))


def collect(tree, pool: dict) -> int:
    """The tree's value; those of all its subtrees go into ``pool`` by operator."""
    if isinstance(tree, int):
        return tree
    value = int(OPERATORS[tree[0]](np.array([[collect(t, pool)] for t in tree[1]]))[0])
    pool.setdefault(tree[0], []).append(value)
    return value


def ladder(rows: Sequences, seed: int = 0) -> list[dict]:
    """Accuracy by depth, over all sequences and by root operator."""
    rng, pool = np.random.default_rng(seed), {}
    trees = [tree_of(rows.row(k)) for k in range(len(rows))]
    assert [collect(tree, pool) for tree in trees[:TREES]] == rows.labels[:TREES].tolist()
    found = []
    for depth in range(DEPTHS):
        guesses = np.array([np.bincount(values(t, depth, pool, rng)).argmax() for t in trees])
        hits, roots = guesses == rows.labels, np.array([tree[0][1:] for tree in trees])
        by = {root: round(float(hits[roots == root].mean()), 4) for root in sorted(set(roots))}
        found.append({"depth": depth, "accuracy": round(float(hits.mean()), 4), **by})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--min-length", type=int, default=500)
    parser.add_argument("--max-length", type=int, default=2000)
    parser.add_argument("--cache-dir")
    given = parser.parse_args()
    task = ListOps(
        min_length=given.min_length, max_length=given.max_length, cache_dir=given.cache_dir
    )
    for line in ladder(task.split("val")):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
