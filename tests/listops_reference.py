"""Plain, slow ListOps: random nested trees, their value and their text, by recursion."""

from __future__ import annotations

import statistics

import numpy as np
from hypothesis import strategies as st

from nacgraph.tasks.batching import Sequences
from nacgraph.tasks.listops.trees import SYMBOLS, evaluate

OPERATORS = ("[MIN", "[MAX", "[MED", "[SM")
Tree = int | tuple

TREES = st.recursive(
    st.integers(0, 9),
    lambda inner: st.tuples(st.sampled_from(OPERATORS), st.lists(inner, min_size=1, max_size=10)),
    max_leaves=60,
)


def value(tree: Tree) -> int:
    if isinstance(tree, int):
        return tree
    operator, arguments = tree
    values = [value(argument) for argument in arguments]
    if operator == "[MED":
        return int(statistics.median(values))
    return {"[MIN": min, "[MAX": max, "[SM": lambda v: sum(v) % 10}[operator](values)


def words(tree: Tree) -> list[str]:
    if isinstance(tree, int):
        return [str(tree)]
    return [tree[0], *(word for argument in tree[1] for word in words(argument)), "X"]


def nested(tree: Tree) -> str:
    """LRA's text: every argument, and the end, is paired with all that comes before it."""
    if isinstance(tree, int):
        return str(tree)
    text = tree[0]
    for argument in tree[1]:
        text = f"( {text} {nested(argument)} )"
    return f"( {text} ] )"


def sequences(*rows: list[str]) -> Sequences:
    ids = [np.array([SYMBOLS.index(word) + 1 for word in row], np.uint8) for row in rows]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in ids], dtype=np.int64)])
    tokens = np.concatenate(ids)
    return Sequences(tokens, offsets, evaluate(tokens, offsets))
