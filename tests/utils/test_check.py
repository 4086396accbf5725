"""Checks of arguments: what passes, and the message for what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nacgraph.utils.check import (
    check_at_least,
    check_choice,
    check_positive,
    check_probability,
    check_whole,
)


def test_what_is_in_range_passes() -> None:
    check_at_least(1, a=1, b=2.5, c=np.float32(1), d=np.int64(3))
    check_whole(0, a=0, b=7)
    check_positive(a=1e-300, b=3)
    check_probability(a=0, b=1, c=0.5)
    check_choice(("one", "two"), a="one", b="two")


@pytest.mark.parametrize(
    ("check", "first", "value", "message"),
    [
        (check_at_least, [1], 0, "x: expected at least 1, got 0"),
        (check_at_least, [1], float("nan"), "x: expected at least 1, got nan"),
        (check_at_least, [1], float("inf"), "x: expected at least 1, got inf"),
        (check_at_least, [0], "7", "x: expected at least 0, got '7'"),
        (check_at_least, [0], True, "x: expected at least 0, got True"),
        (check_whole, [1], 2.0, "x: expected a whole number >= 1, got 2.0"),
        (check_whole, [1], True, "x: expected a whole number >= 1, got True"),
        (check_positive, [], 0, "x: expected a number > 0, got 0"),
        (check_positive, [], float("nan"), "x: expected a number > 0, got nan"),
        (check_probability, [], 1.5, r"x: expected a probability in \[0, 1\], got 1.5"),
        (check_probability, [], None, r"x: expected a probability in \[0, 1\], got None"),
        (check_choice, [("rows", "graph")], "row", "expected one of rows, graph, got 'row'; did y"),
        (check_choice, [("rows", "graph")], None, "x: expected one of rows, graph, got None$"),
    ],
)
def test_what_is_out_of_range_is_named(
    check: Any, first: list[Any], value: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check(*first, x=value)
