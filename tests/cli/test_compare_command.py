"""``nacgraph compare``: equal graphs are at distance 0 however labelled, others are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_run import arguments

from nacgraph.analysis.compare import accuracy, read_links
from nacgraph.analysis.comparing import check_links, compare_graphs, latent_positions, leiden_labels
from nacgraph.analysis.comparing.graphs import degree_distance, matching, spectral_distance
from nacgraph.cli.compare import main
from nacgraph.cli.train import main as train
from nacgraph.graph.links import link_probabilities
from nacgraph.priors import get_prior


def random_links(n: int, seed: int = 0, bandwidth: float = 0.334) -> np.ndarray:
    rng = np.random.default_rng(seed)
    signatures = torch.from_numpy(rng.normal(size=(n, 8)))
    return check_links(link_probabilities(signatures, signatures, bandwidth).numpy(), "random")


def planted(n: int, groups: int) -> np.ndarray:
    return get_prior("planted_partition", groups=groups).edge_probabilities(n).numpy()


def relabelled(p: np.ndarray, seed: int = 3) -> np.ndarray:
    order = np.random.default_rng(seed).permutation(len(p))
    return p[order][:, order]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``a`` and ``b``, two seeds; ``copy``, a relabelled; ``more``, of other size."""
    base = tmp_path_factory.mktemp("runs")
    for name, changed in (("a", {"seed": 0}), ("b", {"seed": 1}), ("more", {"modules": 9})):
        out = str(base / name)
        assert train(arguments(base / "cache", "--out", out, steps=3, **changed)) == 0
    shutil.copytree(base / "a", base / "copy")
    with np.load(base / "a" / "circuit.npz", allow_pickle=False) as circuit:
        arrays = dict(circuit)
    arrays["link_probabilities"] = relabelled(arrays["link_probabilities"])
    np.savez(base / "copy" / "circuit.npz", **arrays)
    return base


def compared(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[dict[str, Any], str]:
    capsys.readouterr()
    code = main([str(each) for each in argv])
    said = capsys.readouterr()
    assert code == 0, said.err

    def refuse(name: str) -> None:
        raise AssertionError(name)

    return json.loads(said.out, parse_constant=refuse), said.err


def test_a_run_is_equal_to_itself_and_to_a_relabelled_copy(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for other in ("a", "copy"):
        found, said = compared(capsys, runs / "a", runs / other)
        assert found["matched_distance"]["value"] == pytest.approx(0, abs=1e-12)
        assert found["degree_distance"]["value"] == 0
        assert found["spectral_distance"]["value"] == pytest.approx(0, abs=1e-6)
        assert found["config"] == {}
        assert "no setting" in said and "mse" in said
    assert found["raw_distance"]["value"] > 1e-4


def test_two_seeds_differ(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, picture = tmp_path / "deep" / "c.json", tmp_path / "deeper" / "c.png"
    found, _ = compared(capsys, runs / "a", runs / "b", "--out", out, "--picture", picture)
    assert found == json.loads(out.read_text())
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert found["config"] == {"seed": [0, 1]}
    assert 0 < found["matched_distance"]["value"] <= found["raw_distance"]["value"]
    assert found["random_circuits"]["null_mean"] > 0
    summary = json.loads((runs / "b" / "summary.json").read_text())
    assert found["accuracy"][1]["value"] == summary["test_accuracy"]
    again, _ = compared(capsys, runs / "a", runs / "b")
    assert again == found
    other, _ = compared(capsys, runs / "a", runs / "b", "--seed", 5, "--nulls", 2)
    assert other["raw_distance"]["null_mean"] != found["raw_distance"]["null_mean"]


def test_unequal_sizes_leave_the_matched_distance_undefined(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "c.svg"
    found, said = compared(capsys, runs / "a", runs / "more", "--picture", picture)
    assert found["modules"] == [6, 9] and found["config"]["modules"] == [6, 9]
    for name in ("matched_distance", "raw_distance", "random_circuits"):
        assert found[name] == {"value": None, "reason": "the circuits have 6 and 9 modules"}
    assert found["communities"]["ari"]["value"] is None
    assert found["spectral_distance"]["value"] > 0
    assert found["latent_positions"]["value"] is None and "too few" in said
    assert "<svg" in picture.read_text()


def test_clear_errors(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*argv: object) -> str:
        capsys.readouterr()
        assert main([str(each) for each in argv]) == 2
        return capsys.readouterr().err

    assert "expected a run folder" in said(runs / "a", tmp_path)
    assert "seed: expected at least 0" in said(runs / "a", runs / "b", "--seed", -1)
    broken = tmp_path / "broken"
    shutil.copytree(runs / "a", broken)
    circuit = broken / "circuit.npz"
    whole = circuit.read_bytes()
    place = whole.index(b"link_probabilities.npy") + 100
    flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    for damaged in (whole[:-200], b"", b"no archive", flipped):
        circuit.write_bytes(damaged)
        assert "circuit.npz" in said(broken, runs / "a")
    np.savez(circuit, other=np.ones(3))
    assert "expected link_probabilities in it, got other" in said(broken, runs / "a")
    np.savez(circuit, link_probabilities=np.array([[1, object()]], dtype=object))
    assert "damaged" in said(broken, runs / "a")
    circuit.unlink()
    assert "finished training" in said(broken, runs / "a")


def test_runs_of_a_complete_graph_and_without_summary(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = tmp_path / "full"
    flags = arguments(
        runs / "cache", "--out", str(full), steps=2, model="perceiver_io", val_size=20
    )
    assert train(flags) == 0
    (full / "summary.json").unlink()
    found, said = compared(capsys, full, full)
    assert found["matched_distance"]["value"] == 0
    assert "complete graph" in found["random_circuits"]["reason"]
    assert "more than one community" in found["communities"]["ari"]["reason"]
    assert found["accuracy"][0] == accuracy(full)
    assert found["accuracy"][0]["value"] is None and "summary.json" in accuracy(full)["reason"]
    assert np.array_equal(read_links(full), np.ones((6, 6)))
    assert "–" in said


def test_communities_and_distances_survive_relabelling() -> None:
    a = planted(24, 4)
    found = compare_graphs(a, relabelled(a), nulls=4, kernel=(16, 0.334), bootstraps=5)
    assert found["matched_distance"]["value"] == pytest.approx(0, abs=1e-12)
    for name in ("ari", "ami", "nmi"):
        assert found["communities"][name]["value"] == pytest.approx(1)
    assert found["communities"]["counts"] == [4, 4]
    order = found["matched_distance"]["permutation"]
    assert sorted(order) == list(range(24))
    np.testing.assert_allclose(a[order][:, order], relabelled(a))
    assert found["random_circuits"]["z"] < -5
    json.dumps(found, allow_nan=False)
    mixed = random_links(24)
    found = compare_graphs(mixed, relabelled(mixed), nulls=0, bootstraps=5)
    assert found["communities"]["ari"]["value"] == pytest.approx(1)
    assert found["random_circuits"]["value"] is None and found["raw_distance"]["z"] is None


def test_both_directions_give_the_same_distance() -> None:
    a, b = random_links(15, 0), random_links(15, 1)
    there, back = matching(a, b), matching(b, a)
    assert there[1] == pytest.approx(back[1])
    order = there[0]
    apart = np.square(a[order][:, order] - b).sum() / (15 * 14)
    assert there[1] == pytest.approx(apart) and apart < np.square(a - b).sum() / (15 * 14)


def test_leiden_finds_planted_groups_and_leaves_the_lonely_alone() -> None:
    assert leiden_labels(planted(12, 3)).tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert leiden_labels(np.eye(3)).tolist() == [0, 1, 2]


def test_degree_and_spectral_distance_in_closed_form() -> None:
    full, none = np.ones((5, 5)), np.eye(7)
    assert degree_distance(full, np.ones((9, 9)))["value"] == 0  # both link to all others
    assert degree_distance(full, none)["value"] == 1
    # Laplacian of the complete graph: 0 once and n/(n - 1); without links all 0.
    assert spectral_distance(full, none)["value"] == pytest.approx(4 / 5 * 5 / 4)
    assert "single module" in degree_distance(np.ones((1, 1)), full)["reason"]
    assert "single module" in spectral_distance(full, np.ones((1, 1)))["reason"]


def test_latent_positions_tell_structures_apart() -> None:
    same = np.arange(40)
    grouped, chance = planted(40, 2), get_prior("erdos_renyi", p=0.4).edge_probabilities(40).numpy()
    differ = latent_positions(grouped, chance, same, bootstraps=50)
    assert differ["test"] == "latent_position_test" and differ["p"] < 0.05
    alike = latent_positions(grouped, grouped, same, bootstraps=50)
    assert alike["p"] > 0.05 and alike["value"] < differ["value"]
    before = np.random.get_state()[1].copy()
    assert latent_positions(grouped, grouped, same, bootstraps=50) == alike
    assert (np.random.get_state()[1] == before).all()  # nobody's global numbers are touched


def test_latent_distributions_for_unequal_sizes() -> None:
    found = latent_positions(planted(30, 2), planted(36, 2), None, bootstraps=50)
    assert found["test"] == "latent_distribution_test" and 0 < found["p"] <= 1
    assert found == latent_positions(planted(30, 2), planted(36, 2), None, bootstraps=50)


def test_latent_positions_without_a_test_have_a_reason() -> None:
    few = latent_positions(planted(6, 2), planted(6, 2), np.arange(6))
    assert few["value"] is None and "too few" in few["reason"]
    full, none = np.ones((10, 10)), np.eye(10)
    assert "all links" in latent_positions(full, planted(10, 2), np.arange(10))["reason"]
    assert "no links" in latent_positions(planted(10, 2), none, np.arange(10))["reason"]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.ones((0, 0)), "square"),
        (np.array([[1.0, 0.2], [0.7, 1.0]]), "symmetric"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "probabilities"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "probabilities"),
        (np.array([["a"]]), "link probabilities"),
    ],
)
def test_what_is_no_matrix_of_links_is_refused(matrix: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=f"p_a: expected .*{message}"):
        compare_graphs(matrix, np.ones((2, 2)))
