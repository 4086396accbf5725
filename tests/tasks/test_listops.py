"""The ListOps task: batches, the curriculum, evaluation, baselines, files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nacgraph.tasks import ListOps, SequenceTokenizer, get_task
from nacgraph.tasks.listops.data import row_hashes
from nacgraph.tasks.listops.tsv import write_tsv

CURRICULUM = ((12, 10), (24, 25))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def make(folder: Path, **changes: object) -> ListOps:
    arguments: dict[str, object] = {
        "cache_dir": folder,
        "batch_size": 8,
        "min_length": 24,
        "max_length": 61,
        "train_size": 100,
        "val_size": 40,
        "test_size": 37,
        "stage_size": 60,
    }
    return ListOps(**{**arguments, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def task(folder: Path) -> ListOps:
    return make(folder, curriculum=CURRICULUM)


def same(a: object, b: object) -> bool:
    return all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("inputs", "mask", "labels"))


def test_it_is_registered() -> None:
    assert get_task("listops") is ListOps


def test_a_batch_depends_on_seed_and_step_alone(task: ListOps, folder: Path) -> None:
    steps = [0, 9, 10, 24, 25, 40, 3, 200]
    batches = [task.train_batch(step) for step in steps]
    fresh = make(folder, curriculum=CURRICULUM)
    for step, batch in reversed(list(zip(steps, batches, strict=True))):
        assert same(fresh.train_batch(step), batch)
    other = make(folder, curriculum=CURRICULUM, seed=1)
    assert not same(other.train_batch(25), task.train_batch(25))
    assert row_hashes(other.split("test")) == row_hashes(task.split("test"))


@pytest.mark.parametrize("world", [1, 2, 4, 8])
@pytest.mark.parametrize("step", [0, 15, 30])
def test_ranks_share_the_batch(task: ListOps, world: int, step: int) -> None:
    whole = task.train_batch(step)
    for rank in range(world):
        part = task.train_batch(step, rank, world)
        assert part.index.tolist() == whole.index[rank::world].tolist()
        assert part.labels.tolist() == whole.labels[rank::world].tolist()
        length = part.inputs.shape[1]
        assert torch.equal(part.inputs, whole.inputs[rank::world, :length])


def test_an_epoch_takes_every_sequence_at_most_once(task: ListOps) -> None:
    start, per_epoch = CURRICULUM[-1][1], 100 // 8
    epochs = [
        [i for s in range(per_epoch) for i in task.train_batch(start + e * per_epoch + s).index]
        for e in range(3)
    ]
    for epoch in epochs:
        assert len({int(i) for i in epoch}) == per_epoch * 8
    assert [int(i) for i in epochs[0]] != [int(i) for i in epochs[1]]


def test_batches_cut_by_symbols_depend_on_seed_and_step_alone(folder: Path) -> None:
    tasks = [make(folder, curriculum=CURRICULUM, batch_symbols=100) for _ in range(2)]
    steps = [0, 3, 9, 10, 24, 25, 60, 140]
    ahead = [tasks[0].train_batch(step) for step in steps]
    back = [tasks[1].train_batch(step) for step in reversed(steps)]
    assert all(same(a, b) for a, b in zip(ahead, reversed(back), strict=True))
    assert all(batch.inputs.numel() <= 100 or len(batch) == 1 for batch in ahead)
    seen = [int(i) for step in range(25, 25 + 300) for i in tasks[0].train_batch(step).index]
    first = seen[: 100 // 8 * 8]
    assert len(set(first)) == len(first) and set(seen) == set(range(100))
    with pytest.raises(ValueError, match="batch_symbols: expected 0 for 2 processes"):
        tasks[0].train_batch(0, 0, 2)


def test_lengths_grow_by_stage(task: ListOps) -> None:
    def lengths(steps: range) -> np.ndarray:
        return np.concatenate([task.train_batch(s).mask.sum(1).numpy() for s in steps])

    first, second, last = lengths(range(10)), lengths(range(10, 25)), lengths(range(25, 37))
    assert first.min() >= 4 and first.max() <= 12
    assert second.min() >= 4 and second.max() <= 24
    assert 0.1 < (second <= 12).mean() < 0.3  # a fifth is seen again
    assert last.min() >= 25 and last.max() <= 60


def test_stages_too_short_for_so_many_sequences_have_half_of_them(folder: Path) -> None:
    task = make(folder, curriculum=((4, 30), (5, 60)), stage_size=5000)
    seen = {tuple(row) for s in range(30) for row in task.train_batch(s).inputs.tolist()}
    assert len(seen) == 200  # of 4 operators and two digits
    later = [task.train_batch(s) for s in range(30, 60)]
    assert {int(n) for batch in later for n in batch.mask.sum(1)} == {4, 5}


def test_no_held_back_sequence_is_trained_on(folder: Path) -> None:
    changes = {"min_length": 3, "val_size": 300, "test_size": 300, "stage_size": 400}
    task = make(folder, curriculum=((6, 50), (20, 150)), **changes)
    held_back = {h for split in ("val", "test") for h in row_hashes(task.split(split))}
    seen = {
        bytes(row[mask].tolist())
        for batch in map(task.train_batch, range(200))
        for row, mask in zip(batch.inputs, batch.mask, strict=True)
    }
    secret = {task.split(split).row(i).tobytes() for split in ("val", "test") for i in range(300)}
    assert len(held_back) == len(secret) == 600 and not seen & secret


@settings(max_examples=40)
@given(st.integers(1, 6), st.sampled_from([None, 1, 5, 37, 1000]))
def test_evaluation_sees_each_sample_once(task: ListOps, world: int, limit: int | None) -> None:
    rows = task.split("test")
    found = [
        (int(i), int(label), tuple(inputs[mask].tolist()))
        for rank in range(world)
        for batch in task.eval_batches("test", rank, world, limit)
        for i, label, inputs, mask in zip(
            batch.index, batch.labels, batch.inputs, batch.mask, strict=True
        )
    ]
    wanted = range(min(limit or 37, 37))
    assert sorted(found) == [(i, int(rows.labels[i]), tuple(rows.row(i).tolist())) for i in wanted]


def test_evaluation_pads_little(task: ListOps) -> None:
    batches = list(task.eval_batches("val"))
    longest = [int(batch.mask.sum(1).max()) for batch in batches]
    assert longest == sorted(longest) and len(batches) == 5


def test_baselines_by_counting(task: ListOps) -> None:
    rows = task.split("val")
    labels = rows.labels.tolist()
    found = task.baselines("val")
    assert found["majority_accuracy"] == max(map(labels.count, labels)) / len(rows)
    by_root: dict[int, list[int]] = {}
    for i, label in enumerate(labels):
        by_root.setdefault(int(rows.row(i)[0]), []).append(label)
    right = sum(max(map(group.count, group)) for group in by_root.values())
    assert found["root_operator_accuracy"] == right / len(rows)
    assert found["majority_accuracy"] <= found["root_operator_accuracy"]


def test_it_says_which_data_it_is(folder: Path) -> None:
    assert "LRA's setting" in ListOps().describe()
    assert "501–1999, 96000/2000/2000" in ListOps().describe()
    assert "not its sizes" in ListOps(train_size=10).describe()
    assert "short sequences, not the LRA split" in make(folder).describe()


def test_loss_and_tokenizer(task: ListOps, folder: Path) -> None:
    batch = task.train_batch(0)
    assert task.loss(torch.zeros(8, 10), batch).item() == pytest.approx(math.log(10))
    tokens, mask = make(folder, stem_layers=2, window=5).tokenizer(12, seed=3)(batch)
    assert tokens.shape == (*batch.inputs.shape, 12) and torch.equal(mask, batch.mask)
    tokenizer = task.tokenizer(12)
    assert isinstance(tokenizer, SequenceTokenizer) and len(tokenizer.stem) == 0


def test_lra_files_are_trained_and_evaluated_on(task: ListOps, folder: Path) -> None:
    for split in ("train", "val", "test"):
        write_tsv(folder / f"basic_{split}.tsv", task.split(split))
    read = make(folder, data=folder, curriculum=CURRICULUM)
    read.prepare()
    assert same(read.train_batch(30), task.train_batch(30))
    assert str(folder) in read.describe()
    single = make(folder, data=str(folder / "basic_val.tsv"))
    assert row_hashes(single.split("test")) == row_hashes(task.split("val"))
    assert sum(len(batch) for batch in single.eval_batches("test")) == 40
    with pytest.raises(ValueError, match="single file"):
        single.train_batch(0)
    with pytest.raises(ValueError, match=r"basic_test\.tsv, line \d+: expected at most 29 symbols"):
        make(folder, data=folder, min_length=3, max_length=30).split("test")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        make(folder, data=folder / "nowhere")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
        ({"max_length": 25}, "max_length: expected at least 26, got 25"),
        ({"seed": -1}, "seed: expected at least 0"),
        ({"curriculum": ((12, 10), (12, 20))}, "curriculum: expected pairs"),
        ({"curriculum": ((12, 10), (20, 10))}, "curriculum: expected pairs"),
        ({"curriculum": ((3, 10),)}, "curriculum: expected pairs"),
        ({"curriculum": ((61, 10),)}, "curriculum: expected limits below max_length = 61"),
    ],
)
def test_wrong_arguments_are_refused(
    folder: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(folder, **changes)


def test_wrong_calls_are_refused(task: ListOps, folder: Path) -> None:
    with pytest.raises(ValueError, match="batch_size must be a multiple of the 3 processes, got 8"):
        task.train_batch(0, 0, 3)
    with pytest.raises(ValueError, match="rank must be from 0 to world - 1 = 1, got 2"):
        task.train_batch(0, 2, 2)
    with pytest.raises(ValueError, match="step must be at least 0"):
        task.train_batch(-1)
    with pytest.raises(ValueError, match="split must be one of"):
        next(iter(task.eval_batches("dev")))
    with pytest.raises(ValueError, match="limit must be at least 1"):
        next(iter(task.eval_batches("val", limit=0)))
    with pytest.raises(ValueError, match="batch_size 200 is more than the 100 sequences"):
        make(folder, batch_size=200).train_batch(0)


def test_the_longest_sequence_follows_the_curriculum() -> None:
    task = ListOps(min_length=3, max_length=101, curriculum=((30, 10), (60, 20)))
    assert [task.longest(step) for step in (0, 9, 10, 19, 20)] == [30, 30, 60, 60, 100]
