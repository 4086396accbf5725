"""Point clouds: the tokenizer, the circuit on a set, sampling, augmentation, generated solids."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nacgraph.models.nac import NAC, NACConfig
from nacgraph.tasks import Batch
from nacgraph.tasks.points import Points, PointTokenizer, clouds, solids
from nacgraph.tasks.points.off import surface_points
from nacgraph.tasks.tokenizers import TOKENIZERS
from nacgraph.testing import assert_task


def cloud_batch(points: torch.Tensor) -> Batch:
    mask = torch.ones(points.shape[:2], dtype=torch.bool)
    zeros = torch.zeros(len(points), dtype=torch.long)
    return Batch(points, mask, zeros, zeros)


def small_nac(seed: int = 0) -> NAC:
    config = NACConfig(
        modules=6,
        readouts=2,
        width=12,
        code_dim=8,
        signature_dim=8,
        heads=2,
        head_dim=4,
        read_heads=2,
        read_head_dim=4,
        rounds=2,
        read_every=1,
    )
    return NAC(config, PointTokenizer(12, num_bands=4, hidden=8), 5, seed=seed).eval()


@pytest.mark.parametrize(
    ("spacing", "bands"), [("log", [1.0, 2.0, 4.0, 8.0]), ("linear", [1.0, 10 / 3, 17 / 3, 8.0])]
)
def test_features_are_coordinates_sines_and_cosines(spacing: str, bands: list[float]) -> None:
    tokenizer = PointTokenizer(6, num_bands=4, max_frequency=8, spacing=spacing)
    points = torch.randn(2, 5, 3)
    found = tokenizer.features(points)
    angles = [np.pi * f * points[..., a] for a in range(3) for f in bands]
    expected = [points[..., a] for a in range(3)]
    expected += [angle.sin() for angle in angles] + [angle.cos() for angle in angles]
    torch.testing.assert_close(found, torch.stack(expected, -1), rtol=0, atol=1e-5)


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(0, 5), st.sampled_from([0, 7]), st.integers(0, 2**31 - 1))
def test_every_point_has_a_token_of_its_own(count: int, bands: int, hidden: int, seed: int) -> None:
    tokenizer = PointTokenizer(6, num_bands=bands, hidden=hidden).double()
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(3, count, 3, generator=generator, dtype=torch.float64) * 2 - 1
    tokens, mask = tokenizer(cloud_batch(points))
    assert tokens.shape == (3, count, 6) and mask.all()
    order = torch.randperm(count, generator=generator)
    moved, _ = tokenizer(cloud_batch(points[:, order]))
    torch.testing.assert_close(moved, tokens[:, order], rtol=0, atol=1e-12)
    alone, _ = tokenizer(cloud_batch(points[1:2, :1]))
    torch.testing.assert_close(alone[0, 0], tokens[1, 0], rtol=0, atol=1e-12)


def test_points_that_are_not_real_become_zeros_and_change_no_answer() -> None:
    model = small_nac().double()
    points = torch.rand(2, 9, 3, dtype=torch.float64)
    batch = cloud_batch(points)
    padded = cloud_batch(torch.cat([points, torch.full((2, 4, 3), 7.0)], 1))
    padded.mask[:, 9:] = False
    tokens, _ = model.tokenizer(padded)
    assert not tokens[:, 9:].any()
    with torch.no_grad():
        torch.testing.assert_close(model(padded).logits, model(batch).logits, rtol=0, atol=1e-10)


def test_a_circuit_answers_alike_whatever_the_order_of_points() -> None:
    model = small_nac().double()
    points = torch.rand(3, 40, 3, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        before = model(cloud_batch(points)).logits
        after = model(cloud_batch(points[:, torch.randperm(40)])).logits
        other = model(cloud_batch(points.flip(-1))).logits
    torch.testing.assert_close(after, before, rtol=0, atol=1e-12)
    assert (other - before).abs().max() > 1e-4  # it does look at the points


def test_a_sample_answers_alike_in_any_batch() -> None:
    model = small_nac().double()
    points = torch.rand(4, 16, 3, dtype=torch.float64)
    with torch.no_grad():
        whole = model(cloud_batch(points)).logits
        alone = model(cloud_batch(points[2:3])).logits
    torch.testing.assert_close(alone[0], whole[2], rtol=0, atol=1e-12)


def test_half_precision_points_are_read_in_the_weights_precision() -> None:
    tokenizer = PointTokenizer(6)
    half = (torch.rand(2, 8, 3) * 2 - 1).half()
    tokens, _ = tokenizer(cloud_batch(half))
    expected, _ = tokenizer(cloud_batch(half.float()))
    assert tokens.dtype == torch.float32 and torch.equal(tokens, expected)


def test_a_seed_and_the_settings_make_the_tokenizer_again() -> None:
    before = torch.random.get_rng_state()
    one = PointTokenizer(6, 3, 9.0, "linear", 5, seed=3)
    again = TOKENIZERS.get("PointTokenizer")(**one.settings)
    assert torch.equal(before, torch.random.get_rng_state())
    assert set(one.state_dict()) == set(again.state_dict())
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    other = PointTokenizer(6, 3, 9.0, "linear", 5, seed=4)
    assert not torch.equal(one.embed.weight, other.embed.weight)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_bands": -1}, "num_bands: expected a whole number >= 0, got -1"),
        ({"num_bands": 2.5}, "num_bands: expected a whole number >= 0, got 2.5"),
        ({"max_frequency": 0.5}, "max_frequency: expected a number >= 1, got 0.5"),
        ({"max_frequency": float("nan")}, "max_frequency: expected a number >= 1, got nan"),
        ({"max_frequency": "high"}, "max_frequency: expected a number >= 1, got 'high'"),
        ({"spacing": "square"}, "spacing: expected one of log, linear, got 'square'"),
        ({"hidden": -2}, "hidden: expected a whole number >= 0, got -2"),
        ({"count": 0}, "count: expected a whole number >= 1, got 0"),
        ({"count": 9.5}, "count: expected a whole number >= 1, got 9.5"),
        ({"solids": 2}, "solids: expected a whole number >= 3, got 2"),
        ({"jitter": -0.1}, "jitter: expected at least 0, got -0.1"),
        ({"scale": float("inf")}, "scale: expected at least 0, got inf"),
        ({"scale": "much"}, "scale: expected at least 0, got 'much'"),
        ({"rotate": "w"}, "rotate: expected one of none, x, y, z, got 'w'"),
        ({"resample": "maybe"}, "resample: expected true or false, got 'maybe'"),
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Points(**arguments)


def test_points_without_three_coordinates_are_refused() -> None:
    with pytest.raises(ValueError, match=r"points: expected shape .*, got \(2, 5, 2\)"):
        PointTokenizer(6)(cloud_batch(torch.rand(2, 5, 2)))


@settings(max_examples=25)
@given(st.integers(2, 30), st.floats(-300, 30), st.floats(-1e3, 1e3), st.integers(0, 2**31 - 1))
def test_clouds_come_to_the_unit_sphere(count: int, scale: float, shift: float, seed: int) -> None:
    shape = np.random.default_rng(seed).standard_normal((2, count, 3))
    found = clouds.normalised((shape + shift) * 10.0**scale)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1).max(1), 1, atol=1e-5)
    np.testing.assert_allclose(found, clouds.normalised(shape), atol=1e-5)


def test_generated_solids_are_a_function_of_their_seed() -> None:
    one, again = solids.generated(3, 8, 0), solids.generated(3, 8, 0)
    other = solids.generated(3, 8, 1)
    points = one.splits["train"].columns["points"]
    assert points.shape == (30, solids.POINTS, 3) and len(one.classes) == 10
    assert np.array_equal(points, again.splits["train"].columns["points"])
    assert not np.array_equal(points, other.splits["train"].columns["points"])
    assert np.bincount(one.splits["train"].labels).tolist() == [3] * 10
    assert "synthetic" in one.source
    assert solids.generated(3, 1500, 0).splits["train"].columns["points"].shape[1] == 1500


def test_surfaces_of_revolution_have_as_many_points_as_area() -> None:
    rng = np.random.default_rng(0)
    # A cone of radius 1 and slant √(1 + 9): base π, side π √10.
    base = solids._turned(20_000, rng, [(0, 0), (1, 0), (0, 3)])
    assert np.mean(base[:, 2] == 0) == pytest.approx(1 / (1 + 10**0.5), abs=0.015)
    disc = base[base[:, 2] == 0]
    inner = np.mean((disc[:, :2] ** 2).sum(1) < 0.25)
    assert inner == pytest.approx(0.25, abs=0.03)
    tube = solids.torus(20_000, np.random.default_rng(1))
    radius = np.hypot(tube[:, 0], tube[:, 1])
    height = tube[:, 2].max()
    outside = np.mean(radius > 1)
    assert outside == pytest.approx(0.5 + height / np.pi, abs=0.015)


def test_points_of_a_mesh_are_uniform_over_its_area() -> None:
    vertices = np.array([[0, 0, 0], [3, 0, 0], [3, 1, 0], [0, 1, 0], [9, 9, 9]], float)
    mesh = (vertices, np.array([[0, 1, 2], [0, 2, 3], [4, 4, 4]]))
    points = surface_points(mesh, 30_000, np.random.default_rng(0))
    assert (points[:, 2] == 0).all() and points.min() >= 0
    counts, *_ = np.histogram2d(points[:, 0], points[:, 1], [6, 4], [[0, 3], [0, 1]])
    assert counts.min() > 1100 and counts.max() < 1400  # 1250 ± 4 standard deviations


@pytest.fixture(scope="module")
def task() -> Points:
    return Points(batch_size=8, count=16, solids=10)


def test_the_task_keeps_the_promises_of_a_task() -> None:
    assert_task(Points(batch_size=8, count=16, solids=10, resample=True, rotate="z", jitter=0.01))


def test_the_splits_of_generated_solids_share_no_cloud(task: Points) -> None:
    tables = {name: task.table(name) for name in ("train", "val", "test")}
    assert [len(t) for t in tables.values()] == [80, 10, 10]
    rows = [cloud.tobytes() for t in tables.values() for cloud in t.columns["points"]]
    assert len(set(rows)) == 100
    assert task.baselines("test") == {"majority_accuracy": 0.1}
    assert "16 points each" in task.describe() and "synthetic" in task.describe()


def test_batches_are_a_function_of_seed_and_step(task: Points) -> None:
    same = Points(batch_size=8, count=16, solids=10)
    for step in (0, 5, 31):
        one, two = task.train_batch(step), same.train_batch(step)
        assert torch.equal(one.inputs, two.inputs) and torch.equal(one.labels, two.labels)
        assert one.inputs.dtype == torch.float32 and one.inputs.shape == (8, 16, 3)
        rows = torch.from_numpy(task.table("train").columns["points"])[one.index]
        assert torch.equal(one.inputs, rows)  # nothing is augmented unless asked for
    halves = [task.train_batch(3, rank, 2) for rank in (0, 1)]
    whole = task.train_batch(3)
    assert torch.equal(halves[0].inputs, whole.inputs[::2])
    assert torch.equal(halves[1].labels, whole.labels[1::2])


def test_resampling_draws_other_points_of_the_same_cloud_while_training() -> None:
    task = Points(batch_size=8, count=16, solids=4, resample=True)
    pool = task.table("train").columns["points"]
    assert pool.shape[1] == solids.POINTS
    drawn: dict[int, list[set]] = {}
    for step in range(3 * len(pool) // 8):  # three epochs
        batch = task.train_batch(step)
        again = task.train_batch(step)
        assert torch.equal(batch.inputs, again.inputs)
        for row, cloud in zip(batch.index.tolist(), batch.inputs.numpy(), strict=True):
            own = {p.tobytes() for p in cloud}
            assert len(own) == 16 and own <= {p.tobytes() for p in pool[row]}
            drawn.setdefault(row, []).append(own)
    assert all(sets[0] != sets[1] for sets in drawn.values() if len(sets) > 1)
    assert any(len(sets) > 1 for sets in drawn.values())
    first, second = (next(iter(task.eval_batches("val"))) for _ in range(2))
    assert torch.equal(first.inputs, second.inputs)
    plain = Points(batch_size=8, count=16, solids=4)  # and is tested on the same points
    assert torch.equal(first.inputs, next(iter(plain.eval_batches("val"))).inputs)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_rotation_keeps_the_axis_and_all_distances(axis: str) -> None:
    points = np.random.default_rng(0).standard_normal((4, 9, 3)).astype(np.float32)
    turned = clouds.rotated(points, axis, np.random.default_rng(1))
    kept = clouds.AXES.index(axis)
    assert np.array_equal(turned[..., kept], points[..., kept])
    for one, two in zip(points, turned, strict=True):
        np.testing.assert_allclose(one @ one.T, two @ two.T, atol=1e-5)
        assert np.linalg.det(np.linalg.lstsq(one, two, rcond=None)[0]) == pytest.approx(1, abs=1e-4)
        assert np.abs(one - two).max() > 0.01
    assert not np.allclose(
        np.linalg.lstsq(points[0], turned[0], rcond=None)[0],
        np.linalg.lstsq(points[1], turned[1], rcond=None)[0],
        atol=0.01,
    )


def test_augmentation_is_for_training_alone() -> None:
    plain = Points(batch_size=8, count=16, solids=4)
    loud = Points(batch_size=8, count=16, solids=4, rotate="z", jitter=0.01, scale=0.25)
    one, two = plain.train_batch(0), loud.train_batch(0)
    assert torch.equal(one.labels, two.labels) and not torch.allclose(one.inputs, two.inputs)
    ratio = two.inputs.norm(dim=-1).amax(1) / one.inputs.norm(dim=-1).amax(1)
    assert ratio.min() > 1 / 1.25 - 0.06 and ratio.max() < 1.25 + 0.06
    assert ratio.std() > 0.01
    for a, b in zip(plain.eval_batches("val"), loud.eval_batches("val"), strict=True):
        assert torch.equal(a.inputs, b.inputs)


def test_made_up_clouds_are_as_large_as_real_ones(task: Points) -> None:
    generator = torch.Generator().manual_seed(0)
    made, real = task.dummy_batch(8, 3, generator), task.train_batch(0)
    assert made.inputs.shape == real.inputs.shape and made.inputs.dtype == real.inputs.dtype
    assert made.mask.shape == real.mask.shape
    assert task.data_bytes() == 100 * 16 * 3 * 4


def test_more_points_than_there_are_is_refused(tmp_path) -> None:
    points = np.random.default_rng(0).standard_normal((6, 12, 3))
    np.savez(tmp_path / "a.npz", points=points, labels=np.arange(6) % 2)
    with pytest.raises(ValueError, match=r"count: expected at most the 12 points .*a\.npz, got 13"):
        Points(data=tmp_path / "a.npz", count=13).prepare()


@pytest.mark.parametrize(("preset", "count"), [("tiny", 128), ("small", 256), ("lra", 1024)])
def test_presets_name_fields_of_the_configuration(preset: str, count: int) -> None:
    from nacgraph.training.config import make_config

    config = make_config(task="points", preset=preset)
    assert Points(**config.task.parameters).count == count
