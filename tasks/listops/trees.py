"""LRA's ListOps trees: drawn, measured and evaluated by kernels that Numba compiles."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

SYMBOLS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "[MIN", "[MAX", "[MED", "[SM", "X")
"""Symbol ``k`` has token id ``k + 1``; id 0 is padding. ``X`` closes an operator (LRA's ``]``)."""
VOCABULARY = len(SYMBOLS) + 1
OPERATOR_PROBABILITY = 0.25
_PATIENCE = 100_000_000  # trees drawn at most for one call; a few seconds
_FEW = 20_000  # symbols
_DIGIT, _MIN, _MAX, _MED, _SM, _END = 1, 11, 12, 13, 14, 15


def _grow(
    rng: Any,
    shortest: int,
    longest: int,
    max_depth: int,
    max_args: int,
    count: int,
    patience: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw ``patience`` trees, or until ``count`` have a length in [shortest, longest]."""
    tokens = np.empty(count * longest, np.uint8)
    offsets = np.zeros(count + 1, np.int64)
    waiting = np.zeros(max_depth + 1, np.int64)  # arguments still to come, per open operator
    kept = 0
    for _ in range(patience):
        if kept == count:
            break
        start = offsets[kept]
        length, depth, least = 0, 0, 1  # `least`: what the tree measures if only digits follow
        while True:
            if depth + 1 < max_depth and rng.random() <= OPERATOR_PROBABILITY:
                arguments = rng.integers(2, max_args + 1)
                least += arguments + 1
                if least > longest:  # rejected in any case: no need to finish it
                    break
                tokens[start + length] = _MIN + rng.integers(0, 4)
                length += 1
                depth += 1
                waiting[depth] = arguments
                continue
            tokens[start + length] = _DIGIT + rng.integers(0, 10)
            length += 1
            while depth > 0:
                waiting[depth] -= 1
                if waiting[depth] > 0:
                    break
                tokens[start + length] = _END
                length += 1
                depth -= 1
            if depth == 0:
                break
        if depth == 0 and shortest <= length <= longest:
            kept += 1
            offsets[kept] = start + length
    return tokens[: offsets[kept]].copy(), offsets[: kept + 1]


def _evaluate(tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Value of every tree, or -1 where the symbols are no well-formed tree."""
    count = len(offsets) - 1
    labels = np.full(count, -1, np.int64)
    for row in range(count):
        first, last = offsets[row], offsets[row + 1]
        values = np.empty(last - first + 1, np.int64)
        base = np.empty(last - first + 1, np.int64)  # where the arguments of an operator start
        kinds = np.empty(last - first + 1, np.int64)
        top, depth, sound = 0, 0, True
        for position in range(first, last):
            token = np.int64(tokens[position])
            if depth == 0 and top > 0:  # something follows a finished tree
                sound = False
                break
            if token < _MIN:
                values[top] = token - _DIGIT
                top += 1
            elif token < _END:
                kinds[depth], base[depth] = token, top
                depth += 1
            else:
                if depth == 0 or top == base[depth - 1]:
                    sound = False
                    break
                depth -= 1
                arguments = values[base[depth] : top]
                kind = kinds[depth]
                if kind == _MIN:
                    value = arguments.min()
                elif kind == _MAX:
                    value = arguments.max()
                elif kind == _SM:
                    value = arguments.sum() % 10
                else:
                    ordered, size = np.sort(arguments), len(arguments)
                    value = (ordered[(size - 1) // 2] + ordered[size // 2]) // 2
                top = base[depth]
                values[top] = value
                top += 1
        if sound and depth == 0 and top == 1:
            labels[row] = values[0]
    return labels


@cache
def _compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """``kernel`` compiled by Numba, which is imported only here since that takes a second.

    The machine code is not kept on disk: sequences are, so that it is seldom needed twice.
    """
    import numba

    return numba.njit(nogil=True)(kernel)


def grow(
    seed: tuple[int, ...],
    count: int,
    shortest: int,
    longest: int,
    max_depth: int = 10,
    max_args: int = 10,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw ``count`` trees of LRA's ListOps distribution with a length in [shortest, longest].

    A node above ``max_depth`` is an operator with probability 0.25, else a digit; digits, the
    four operators, and 2 … ``max_args`` arguments are uniform. A digit has length 1, an operator
    2 plus the lengths of its arguments: the number of symbols, parentheses not counted. Trees
    outside the range are thrown away; the same tree may come twice.

    Args:
        seed: Entropy of the generator; the same seed gives the same trees.
        count: How many trees to keep.
        shortest: Least length kept, inclusive.
        longest: Greatest length kept, inclusive.
        max_depth: Depth at which every node is a digit; the root has depth 1.
        max_args: Most arguments of an operator.

    Returns:
        Flat token ids, uint8, and offsets (count + 1) int64: tree i is
        ``tokens[offsets[i]:offsets[i + 1]]``.

    Raises:
        ValueError: If no tree can have such a length, or hardly any has.

    Source: Long Range Arena (ICLR 2021), ListOps after Nangia and Bowman (2018).
    """
    check_lengths(shortest, longest, max_depth, max_args)
    rng = np.random.default_rng(seed)
    draw = _compiled(_grow)
    tokens, offsets = draw(rng, shortest, longest, max_depth, max_args, count, _PATIENCE)
    if len(offsets) <= count:
        raise ValueError(
            f"trees of {shortest} to {longest} symbols are too rare: {_PATIENCE:,} trees had "
            f"{len(offsets) - 1} of them, expected {count}"
        )
    return tokens, offsets


def check_lengths(shortest: int, longest: int, max_depth: int, max_args: int) -> None:
    """Raise ValueError unless some tree has a length in [shortest, longest]."""
    if max_depth < 1 or max_args < 2:
        raise ValueError(
            f"max_depth must be >= 1 and max_args >= 2, got {max_depth} and {max_args}"
        )
    greatest = 1
    for _ in range(max_depth - 1):
        greatest = 2 + max_args * greatest
    possible = longest >= shortest and longest >= 1 and shortest <= greatest
    if not possible or (shortest in (2, 3) and longest <= 3) or (shortest > 1 and max_depth == 1):
        raise ValueError(
            f"no tree of depth {max_depth} with 2 to {max_args} arguments has a length from "
            f"{shortest} to {longest}: lengths are 1, or 4 to {greatest}"
        )


def evaluate(tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Value (0–9) of every tree; -1 where the symbols are no well-formed tree.

    MED is the median cut down to an integer, SM the sum modulo 10.

    Args:
        tokens: Flat token ids, uint8.
        offsets: (count + 1) int64, tree i is ``tokens[offsets[i]:offsets[i + 1]]``.

    Returns:
        (count) int64.
    """
    # Compiling takes longer than a few sequences do.
    kernel = _evaluate if len(tokens) < _FEW else _compiled(_evaluate)
    return kernel(tokens, offsets)
