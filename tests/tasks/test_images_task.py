"""The images task: tokens, augmentation, batches."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_run import SIZES

from nacgraph.tasks.base import Batch
from nacgraph.tasks.images import Images, ImageTokenizer
from nacgraph.tasks.images.augment import Augmentation, augmented, mixed
from nacgraph.tasks.images.stem import reductions
from nacgraph.testing import assert_task


def batch(count: int, *shape: int) -> Batch:
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(count, *shape, generator=generator)
    return Batch(
        images,
        torch.ones(count, 1, dtype=torch.bool),
        torch.zeros(count).long(),
        torch.arange(count),
    )


@pytest.fixture(scope="module")
def digits() -> Images:
    return Images(batch_size=16)


def test_it_keeps_what_a_task_promises(digits: Images) -> None:
    assert_task(digits)
    assert_task(Images(batch_size=8, mixup=0.4, cutmix=1.0, erase=0.3, crop=1, smoothing=0.1))


@pytest.mark.parametrize(
    ("high", "wide", "tokens"),
    [(64, 64, 64), (32, 32, 64), (28, 28, 49), (8, 8, 64), (224, 224, 49), (4, 4, 16),
     (96, 96, 36), (17, 30, 135), (5, 90, 450)],
)  # fmt: skip
def test_about_eight_by_eight_tokens(high: int, wide: int, tokens: int) -> None:
    made = ImageTokenizer(high, wide, 3, 12, stem_width=4, position_width=5)
    out, mask = made(batch(2, 3, high, wide))
    assert out.shape == (2, tokens, 12) and mask.shape == (2, tokens) and mask.all()
    assert made.places == tokens


@given(st.integers(4, 600))
def test_the_map_comes_near_eight(side: int) -> None:
    left = side / math.prod(reductions(side))
    assert left <= 8 * 2**0.5 * 1.001 and (side <= 8 or left >= 8 / 2**0.5 * 0.999)


def test_tokens_of_a_sample_are_its_own_and_know_their_place() -> None:
    made = ImageTokenizer(16, 16, 1, 8, stem_layers=2, stem_width=8)
    whole = batch(5, 1, 16, 16)
    tokens, _ = made(whole)
    for k in range(5):
        torch.testing.assert_close(made(whole.rows(slice(k, k + 1)))[0][0], tokens[k])
    flat = Batch(torch.full((1, 1, 16, 16), 0.5), whole.mask[:1], *[whole.labels[:1]] * 2)
    middle = made(flat)[0][0].unflatten(0, (8, 8))[3:5, 3:5].flatten(0, 1)
    assert (middle[0] - middle[1:]).abs().amax(-1).min() > 0.01


def test_weights_follow_from_the_seed_and_gradients_reach_all() -> None:
    first, again, other = (ImageTokenizer(12, 12, 1, 8, 1, 8, seed=s) for s in (1, 1, 2))
    made = [list(each.parameters()) for each in (first, again, other)]
    for mine, same, apart in zip(*made, strict=True):
        assert torch.equal(mine, same)
        assert mine.dim() < 2 or not torch.equal(mine, apart)
    first(batch(3, 1, 12, 12))[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in first.parameters())
    rebuilt = ImageTokenizer(**json.loads(json.dumps(first.settings)))
    assert [p.shape for p in rebuilt.parameters()] == [p.shape for p in first.parameters()]


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected .* \(1, 12, 12\), got \(3, 12, 12\)"):
        ImageTokenizer(12, 12, 1, 8)(batch(2, 3, 12, 12))
    with pytest.raises(ValueError, match="stem_width: expected at least 1"):
        ImageTokenizer(12, 12, 1, 8, stem_width=0)


@settings(max_examples=25)
@given(
    st.integers(1, 7), st.sampled_from([1, 3]), st.floats(0, 2), st.floats(0, 2), st.floats(0, 0.9),
    st.integers(0, 1000),
)  # fmt: skip
def test_targets_sum_to_one_and_images_stay_images(
    count: int, channels: int, mixup: float, cutmix: float, smoothing: float, seed: int
) -> None:
    how = Augmentation(
        crop=2, flip=True, erase=0.5, mixup=mixup, cutmix=cutmix, smoothing=smoothing
    )
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 9, 7, channels), np.uint8)
    before = images.copy()
    changed = augmented(images, how, rng)
    assert changed.shape == images.shape and changed.dtype == np.uint8
    labels = rng.integers(0, 4, count)
    floats, targets = mixed((changed / 255).astype(np.float32), labels, 4, how, rng)
    assert 0 <= floats.min() and floats.max() <= 1.0001
    assert np.array_equal(images, before)
    if mixup or cutmix or smoothing:
        assert targets is not None and targets.dtype == np.float32
        np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-5)
        assert targets.min() >= 0
    else:
        assert targets is None


def test_a_pasted_box_counts_by_its_area() -> None:
    images = np.stack([np.full((10, 10, 1), k, np.float32) for k in range(6)])
    how = Augmentation(cutmix=1.0)
    found, targets = mixed(images, np.arange(6), 6, how, np.random.default_rng(0))
    assert targets is not None
    for k in range(6):
        shares = [(found[k] == j).mean() for j in range(6)]
        np.testing.assert_allclose(targets[k], shares, atol=1e-6)


def test_mixing_is_linear() -> None:
    images = np.eye(5, dtype=np.float32)[:, :, None, None]
    found, targets = mixed(images, np.arange(5), 5, Augmentation(mixup=1), np.random.default_rng(0))
    assert targets is not None
    np.testing.assert_allclose(found[:, :, 0, 0], targets, atol=1e-6)
    assert (targets.max(1) < 0.999).any()


def test_shifts_and_mirrors() -> None:
    image = np.arange(36, dtype=np.uint8).reshape(1, 6, 6, 1)
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")[0]
    windows = {padded[a : a + 6, b : b + 6].tobytes() for a in range(3) for b in range(3)}
    rng = np.random.default_rng(0)
    many = augmented(np.repeat(image, 200, 0), Augmentation(crop=1), rng)
    assert {each.tobytes() for each in many} == windows
    turned = augmented(np.repeat(image, 50, 0), Augmentation(flip=True), rng)
    assert {each.tobytes() for each in turned} == {image.tobytes(), image[:, :, ::-1].tobytes()}


@pytest.mark.parametrize("channels", [1, 3])
def test_randaugment_follows_from_its_generator(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12, channels), np.uint8)
    how = Augmentation(randaugment=2, magnitude=9)
    first, again, other = (augmented(images, how, np.random.default_rng(s)) for s in (1, 1, 2))
    assert first.shape == images.shape and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert (first != images).any((1, 2, 3)).mean() > 0.7


def test_only_training_batches_are_changed(digits: Images) -> None:
    task = Images(batch_size=16, crop=1, smoothing=0.1)
    train = task.train_batch(0)
    assert train.targets is not None and train.targets.max() == pytest.approx(0.91)
    assert torch.equal(train.targets.argmax(1), train.labels)
    for found in task.eval_batches("val", limit=20):
        assert found.targets is None
        wanted = digits.table("val").columns["images"][found.index] / np.float32(255)
        np.testing.assert_allclose(found.inputs.numpy(), wanted.transpose(0, 3, 1, 2), rtol=1e-6)
    logits = torch.randn(16, 10)
    plain = Batch(train.inputs, train.mask, train.labels, train.index)
    assert task.loss(logits, plain) == torch.nn.functional.cross_entropy(logits, train.labels)


def test_digits_are_not_mirrored_and_other_things_are(digits: Images) -> None:
    assert not digits.augmentation.flip and digits.augmentation.crop == 1
    assert Images(flip=True, crop=0).augmentation == Augmentation(flip=True)
    ones = Images(only_classes="1,2,7")
    assert not ones.augmentation.flip


def test_noise_is_as_large_as_data(digits: Images) -> None:
    made = digits.dummy_batch(3, 1, torch.Generator().manual_seed(0))
    real = digits.train_batch(0)
    assert made.inputs.shape[1:] == real.inputs.shape[1:] and len(made) == 3
    assert made.inputs.dtype == real.inputs.dtype and digits.data_bytes() == 1797 * 64


@pytest.mark.parametrize(
    ("given", "match"),
    [({"size": 3}, "size: expected 0 or at least 4"), ({"channels": 2}, "channels: expected 0, 1"),
     ({"stem_width": 0}, "stem_width"), ({"stem_layers": -1}, "stem_layers"),
     ({"mixup": -1.0}, "mixup: expected 0 to"), ({"erase": 1.5}, "erase: expected 0 to 1, got 1.5"),
     ({"smoothing": 1.0}, "smoothing"), ({"crop": -1}, "crop"), ({"randaugment": -1}, "randaug"),
     ({"magnitude": 11}, "magnitude: expected 0 to 10, got 11"), ({"batch_size": 0}, "batch_size")],
)  # fmt: skip
def test_arguments_out_of_range(given: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Images(**given)


@pytest.mark.parametrize("preset", Images.presets)
def test_presets_are_fields_of_a_run(preset: str) -> None:
    from nacgraph.training.config import make_config

    config = make_config(task="images", preset=preset)
    assert Images(**config.task.parameters).stem_layers == (2 if preset == "lra" else 1)


def test_few_shot_brings_other_images_to_the_size_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nacgraph.__main__ import main

    images = tmp_path / "shapes"
    rng = np.random.default_rng(0)
    for name in ("bar", "dot"):
        (images / name).mkdir(parents=True)
        for k in range(12):
            pixels = rng.integers(0, 255, (12, 12), np.uint8)
            Image.fromarray(pixels).save(images / name / f"{k}.png")
    sizes = {k: v for k, v in SIZES.items() if "size" not in k and "length" not in k}
    values = {**sizes, "steps": 2, "batch_size": 4, "prior": "none", "data": images}
    out = tmp_path / "run"
    assert (
        main(
            [
                "train",
                "--task",
                "images",
                "--out",
                str(out),
                "--task-set",
                "stem_width=4",
                *(f"--{k}={v}" for k, v in values.items()),
            ]
        )
        == 0
    )
    # Digits are 8 x 8; the run has seen 12 x 12.
    few = ["--ways", "3", "--shots", "1", "--queries", "2", "--episodes", "1", "--steps", "1"]
    assert main(["fewshot", str(out), "--dataset", "embedded", *few, "--adapt", "head"]) == 0
    assert "chance 33.3" in capsys.readouterr().out
