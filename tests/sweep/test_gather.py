"""Results of finished runs: paths into them, and differences as shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from nacgraph.sweep.gather import pick, read_result
from nacgraph.sweep.tables import difference
from nacgraph.utils.stats import paired_difference


def test_paths_into_results(tmp_path: Path) -> None:
    data = {
        "runs": [{"mean": 0.5}],
        "series": [
            {"shots": 1, "adapt": "all", "mean": 0.1},
            {"shots": 4, "adapt": "all", "mean": 0.2},
            {"shots": 4, "adapt": "head", "mean": 0.3},
        ],
    }
    assert pick(data, "runs.0.mean") == [0.5]
    assert pick(data, "series[shots=4].mean") == [0.2, 0.3]
    assert pick(data, "series[shots=4,adapt=head].mean") == [0.3]
    for wrong in ("runs.1.mean", "series[shots=5].mean", "series[way=5]", "nothing"):
        with pytest.raises(ValueError, match="file.json: nothing at"):
            pick(data, wrong, "file.json")
    (tmp_path / "a.csv").write_text("keep,order,x\n0.5,degree,\n1,random,2\n", encoding="utf-8")
    rows = read_result(tmp_path / "a.csv")
    assert rows[0] == {"keep": 0.5, "order": "degree", "x": None}
    assert pick(rows, "[order=random].x") == [2.0]


def test_a_difference_is_shown_in_points() -> None:
    found = paired_difference([0.5, 0.6, 0.7], [0.4, 0.55, 0.66])
    assert difference(found) == "+6.3 (−1.7 to 14.3), p 0.076"
    assert difference(paired_difference([1.0], [0.5])) == "+50.0"
    assert difference(None) == ""
