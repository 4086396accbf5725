"""Correlations over pairs of modules."""

from __future__ import annotations

import numpy as np
import pytest

from nacgraph.analysis.probing.similarity import correlations, cosines


def test_correlations_over_pairs() -> None:
    codes = np.random.default_rng(0).normal(size=(9, 3))
    near = cosines(codes)
    np.testing.assert_allclose(np.diag(near), 1)
    assert near[0, 1] == pytest.approx(
        codes[0] @ codes[1] / np.linalg.norm(codes[0]) / np.linalg.norm(codes[1])
    )
    bent = np.exp(3 * near)  # another scale, the same order
    found = correlations(near, bent)
    rows, columns = np.triu_indices(9, 1)
    pearson = np.corrcoef(near[rows, columns], bent[rows, columns])[0, 1]
    assert found["pearson"]["value"] == pytest.approx(pearson)
    assert found["spearman"]["value"] == pytest.approx(1)
    assert found["spearman"]["p"] == pytest.approx(1 / 200)
    assert correlations(near, -near)["pearson"]["value"] == pytest.approx(-1)
    other = np.random.default_rng(5).normal(size=(9, 9))
    assert correlations(near, other + other.T)["pearson"]["p"] > 0.05
    assert "pairs" in correlations(near[:2, :2], bent[:2, :2])["pearson"]["reason"]
