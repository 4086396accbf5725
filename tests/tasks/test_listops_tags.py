"""What is told of ListOps sequences, against trees taken apart by recursion."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from listops_reference import TREES, Tree, sequences, words

from nacgraph.tasks.listops.tags import nesting, tree_tags


def depth(tree: Tree) -> int:
    return 0 if isinstance(tree, int) else 1 + max(map(depth, tree[1]))


@given(st.lists(TREES.filter(lambda tree: not isinstance(tree, int)), min_size=1, max_size=5))
def test_tags_are_those_of_the_trees(trees: list[tuple]) -> None:
    rows = sequences(*map(words, trees))
    tags = tree_tags(rows)
    assert tags["root"] == [operator.removeprefix("[") for operator, _ in trees]
    assert tags["arguments"] == [str(len(arguments)) for _, arguments in trees]
    assert tags["depth"] == [str(depth(tree)) for tree in trees]
    for text, length in zip(tags["length"], rows.lengths, strict=True):
        low, high = map(int, text.split("–"))
        assert low <= length <= high or length > 2000
    assert nesting(rows).min() == 1  # no symbol is outside of its root
