"""Statistics against formulas, tables and enumeration."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nacgraph.utils.stats import (
    mean_and_error,
    mean_interval,
    paired_difference,
    sign_flip_p,
    wilson,
)


@given(n=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilson_interval(n: int, share: float) -> None:
    right = round(share * n)
    low, high = wilson(right, n)
    assert 0 <= low <= right / n <= high <= 1
    # It is where a test of the bound as the truth would just not reject.
    for bound in {low, high} - {0.0, 1.0}:
        z = abs(right / n - bound) / math.sqrt(bound * (1 - bound) / n)
        assert z == pytest.approx(1.959964, rel=1e-6)


def test_wilson_known_value_and_errors() -> None:
    assert wilson(10, 50) == pytest.approx((0.1124375, 0.3303711), abs=1e-6)
    for right, n in ((1, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="expected 0 <= right <= n"):
            wilson(right, n)


def test_a_paired_difference_is_student_s() -> None:
    found = paired_difference([0.5, 0.6, 0.7], [0.4, 0.55, 0.66])
    # d = .1, .05, .04: mean .063333, sd .032146, error .018559, t(2) = 3.4125.
    assert found.mean == pytest.approx(0.0633333, abs=1e-6)
    assert found.error == pytest.approx(0.018559, abs=1e-6)
    assert found.ci95 == pytest.approx((-0.016521, 0.143188), abs=1e-5)
    assert found.p == pytest.approx(0.0762, abs=1e-4)
    equal = paired_difference([1.0, 0.75], [0.5, 0.25])  # no spread, no test
    assert equal.p is None and equal.ci95 == (0.5, 0.5)
    with pytest.raises(ValueError, match="pairs: expected as many values, got 2 and 1"):
        paired_difference([1, 2], [1])


def test_a_single_value_has_no_spread() -> None:
    alone = mean_interval([0.5])
    assert (alone.n, alone.mean) == (1, 0.5)
    assert alone.sd is alone.error is alone.ci95 is alone.p is None
    assert alone.as_dict()["reason"] == "a single value has no spread"
    with pytest.raises(ValueError, match="values: expected at least one, got none"):
        mean_interval([])


def test_a_mean_goes_into_json() -> None:
    found = json.loads(json.dumps(mean_interval(np.array([0.5, 0.7, 0.6])).as_dict()))
    half = 4.302652729911275 * 0.1 / 3**0.5  # t of 2 degrees of freedom at 97.5 %
    assert found.pop("ci95") == pytest.approx([0.6 - half, 0.6 + half])
    assert found == pytest.approx({"n": 3, "mean": 0.6, "sd": 0.1})


def test_means_and_errors_of_many_rows() -> None:
    rows = np.array([[1.0, 2, 3, 6], [0, 0, 0, 0]])
    mean, error = mean_and_error(rows)
    np.testing.assert_allclose(mean, [3, 0])
    np.testing.assert_allclose(error, [np.sqrt(14 / 3) / 2, 0])
    assert error is not None and error[0] == pytest.approx(mean_interval(rows[0]).error)
    assert mean_and_error(np.ones((2, 1)))[1] is None


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=8))
def test_the_p_value_is_a_count_over_all_signs(differences: list[int]) -> None:
    signs = np.array(list(itertools.product((-1, 1), repeat=len(differences))))
    sums = np.abs(signs @ np.abs(differences))
    assert sign_flip_p(differences) == pytest.approx((sums >= abs(sum(differences))).mean())
