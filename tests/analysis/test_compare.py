"""``compare`` from Python: runs, folders and arrays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from images_on_disk import untrained
from matplotlib.figure import Figure

from nacgraph.analysis import compare
from nacgraph.priors import get_prior
from nacgraph.training.folder import RunFolder
from nacgraph.training.run import load_run


def groups(n: int, count: int) -> np.ndarray:
    return get_prior("planted_partition", groups=count).edge_probabilities(n).numpy()


def test_arrays_are_compared_without_runs(tmp_path: Path) -> None:
    a = groups(12, 3)
    order = np.random.default_rng(0).permutation(12)
    found = compare(a, a[order][:, order], nulls=2)
    assert found["matched_distance"]["value"] == pytest.approx(0, abs=1e-12)
    assert found["raw_distance"]["value"] > 0.01
    assert found["runs"] == ["a", "b"] and found["config"] is None
    assert "no signature kernel" in found["random_circuits"]["reason"]
    text = repr(found)
    assert text.splitlines() == found.lines()
    assert "not known of arrays" in text and "ARI 1.000" in text
    assert json.loads(found.save(tmp_path / "x" / "c.json").read_text()) == dict(found)
    assert isinstance(found.figure(), Figure)


def test_a_run_and_its_folder_are_the_same(tmp_path: Path) -> None:
    folder = untrained(tmp_path / "a", task="images")
    link = groups(load_run(folder).config.modules, 2)
    RunFolder(folder).save_circuit({"link_probabilities": link})
    run = load_run(folder)
    found = compare(run, folder, nulls=0)
    assert found["matched_distance"]["value"] == pytest.approx(0, abs=1e-12)
    assert dict(compare(str(folder), run, nulls=0)) == dict(found)
    assert found["config"] == {} and found["runs"] == [str(folder)] * 2
    mixed = compare(run, groups(len(link), 3), nulls=0)
    assert mixed["config"] is None and mixed["matched_distance"]["value"] > 0


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    p = groups(6, 2)
    folder = untrained(tmp_path / "conditional", task="images", condition="inputs")
    RunFolder(folder).save_circuit({"link_probabilities": np.stack([p, p])})
    with pytest.raises(ValueError, match="all samples share, got a conditional one"):
        compare(folder, p)
    with pytest.raises(ValueError, match="seed: expected at least 0, got -1"):
        compare(p, p, seed=-1)
    with pytest.raises(ValueError, match="nulls: expected at least 0, got -2"):
        compare(p, p, nulls=-2)
    with pytest.raises(ValueError, match="b: expected a square matrix"):
        compare(p, p[:3])
    with pytest.raises(ValueError, match="expected a run folder"):
        compare(p, tmp_path)
