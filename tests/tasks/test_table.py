"""TableTask: splits, classes, order of batches, for any data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nacgraph.tasks import Batch, Data, DataError, DataReport, Table, TableTask
from nacgraph.tasks.base import TASKS
from nacgraph.tasks.splits import carve, words
from nacgraph.testing import assert_task
from nacgraph.training.build import build_task
from nacgraph.training.config import make_config

CLASSES = ("ant", "bee", "cat")


class Numbers(TableTask):
    """Numbers 0 … n - 1, the class being the remainder by three; row 13 may be damaged."""

    def __init__(self, sizes: dict[str, int] | None = None, bad: bool = False, **more: Any) -> None:
        super().__init__(**more)
        self.sizes, self.bad = sizes or {"train": 60}, bad
        self.reads = 0

    def read(self, path: Path | None, found: DataReport) -> Data:
        self.reads += 1
        splits = {}
        for name, n in self.sizes.items():
            rows = np.arange(n)
            if self.bad and name == "train":
                found.damaged("numbers.txt, row 13", "expected a number, got 'x'")
                rows = np.delete(rows, 13)
            splits[name] = Table(
                rows % 3,
                {"number": rows, "name": [f"n{k}" for k in rows]},
                {"parity": ["odd" if k % 2 else "even" for k in rows]},
            )
        return Data(splits, CLASSES, "numbers")

    def collate(self, table: Table, index: np.ndarray, rng: np.random.Generator | None) -> Batch:
        number = torch.from_numpy(table.columns["number"][index]).float()[:, None]
        if rng is not None:
            number = number + torch.from_numpy(rng.random(number.shape)).float() / 2
        mask = torch.ones(len(index), 1, dtype=torch.bool)
        return Batch(number, mask, torch.from_numpy(table.labels[index]), torch.from_numpy(index))

    def tokenizer(self, dim: int, seed: int = 0) -> nn.Module:
        return _Line(dim, seed)

    def dummy_batch(self, count: int, length: int, generator: torch.Generator) -> Batch:
        none = torch.zeros(count, dtype=torch.long)
        noise = torch.randn(count, 1, generator=generator)
        return Batch(noise, torch.ones(count, 1, dtype=torch.bool), none, none)


class _Line(nn.Module):
    def __init__(self, dim: int, seed: int) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(dim, generator=source))

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        return batch.inputs[:, :, None] * self.weight, batch.mask


def test_it_keeps_the_promises_of_a_task() -> None:
    assert_task(Numbers(batch_size=6))


def test_missing_splits_are_carved_alike_for_every_seed() -> None:
    one, other = Numbers(seed=0), Numbers(seed=7)
    for split in ("train", "val", "test"):
        mine, theirs = one.table(split), other.table(split)
        assert np.array_equal(mine.columns["number"], theirs.columns["number"])
        assert mine.columns["name"] == [f"n{k}" for k in mine.columns["number"]]
        assert mine.tags["parity"] == ["odd" if k % 2 else "even" for k in mine.columns["number"]]
    parts = [set(one.table(s).columns["number"].tolist()) for s in ("train", "val", "test")]
    assert [len(part) for part in parts] == [48, 6, 6]
    assert set.union(*parts) == set(range(60))
    # A tenth of each class.
    assert np.bincount(one.table("val").labels).tolist() == [2, 2, 2]
    assert one.reads == 1
    assert not np.array_equal(
        Numbers(data_seed=1).table("test").columns["number"], one.table("test").columns["number"]
    )
    # What the data has is left as it is.
    given_ = Numbers({"train": 40, "test": 5})
    assert (
        len(given_.table("test")) == 5
        and len(given_.table("val")) + len(given_.table("train")) == 40
    )


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), max_size=60), st.floats(0.05, 0.9), st.integers(0, 99))
def test_carve_takes_a_share_of_each_class(labels: list[int], share: float, seed: int) -> None:
    array = np.array(labels, np.int64)
    rest, part = carve(array, share, (seed,))
    assert sorted([*rest, *part]) == list(range(len(array)))
    for label in set(labels):
        n, taken = labels.count(label), int((array[part] == label).sum())
        assert taken == min(n - 1, max(1, round(share * n)))


def test_classes_can_be_chosen_and_left_out() -> None:
    chosen = Numbers(only_classes="cat, ant")
    assert chosen.classes == ("ant", "cat") and chosen.num_classes == 2
    table = chosen.table("train")
    assert np.array_equal(table.labels, (table.columns["number"] % 3) // 2)
    assert Numbers(without_classes=["bee"]).classes == ("ant", "cat")
    with pytest.raises(ValueError, match=r"without_classes: .*ant, bee, cat, got dog"):
        Numbers(without_classes="dog").prepare()
    assert words("a, b,,") == ("a", "b") == words(["a", "b"])


def test_a_run_and_other_data_agree_on_classes() -> None:
    part = Numbers(only_classes="bee,cat", whole_is_test=True)
    part.remap_classes(CLASSES)
    assert part.classes == CLASSES
    table = part.table("test")
    assert np.array_equal(table.labels, table.columns["number"] % 3)
    assert part.present("test") == [1, 2]
    assert part.tags("test")["label"][:2] == ["bee", "cat"]
    whole = Numbers(whole_is_test=True)
    whole.remap_classes(CLASSES)
    assert whole.present("test") is None and len(whole.table("test")) == 60
    with pytest.raises(ValueError, match="expected classes among ant, bee, as in the run, got cat"):
        Numbers().remap_classes(("ant", "bee"))
    with pytest.raises(ValueError, match="holds no train split"):
        whole.table("train")
    with pytest.raises(ValueError, match="splits train, val but no test split"):
        Numbers({"train": 9, "val": 9}, whole_is_test=True).prepare()


def test_an_epoch_sees_every_row_once_and_augments_by_step() -> None:
    task = Numbers({"train": 24, "val": 3, "test": 3}, batch_size=6, seed=3)
    batches = [task.train_batch(step) for step in range(8)]
    for epoch in (batches[:4], batches[4:]):
        assert sorted(torch.cat([b.index for b in epoch]).tolist()) == list(range(24))
    assert [b.index.tolist() for b in batches[:4]] != [b.index.tolist() for b in batches[4:]]
    batch = batches[0]
    assert torch.equal(batch.inputs, task.train_batch(0).inputs)
    noise = batch.inputs[:, 0] - batch.index
    assert (noise > 0).all() and (noise < 0.5).all()
    shares = [task.train_batch(0, rank, 3) for rank in range(3)]
    assert torch.equal(shares[1].inputs, batch.inputs[1::3])
    (evaluated,) = task.eval_batches("val")
    assert torch.equal(evaluated.inputs[:, 0], torch.tensor([0.0, 1.0, 2.0]))


def test_limits_choose_from_everywhere() -> None:
    task = Numbers({"train": 9, "val": 900, "test": 9}, batch_size=100)
    few = [i for batch in task.eval_batches("val", limit=50) for i in batch.index.tolist()]
    more = [i for batch in task.eval_batches("val", limit=100) for i in batch.index.tolist()]
    assert len(few) == 50 and set(few) < set(more) and max(few) > 700


def test_damage_stops_training_and_is_collected_by_a_check() -> None:
    with pytest.raises(DataError, match=r"numbers.txt, row 13: expected a number, got 'x'"):
        Numbers(bad=True).prepare()
    data, found = Numbers(bad=True).check()
    assert found.damage == ["numbers.txt, row 13: expected a number, got 'x'"]
    assert data is not None and len(data.splits["train"]) == 59


def test_errors_say_what_was_wanted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        Numbers(batch_size=0)
    with pytest.raises(FileNotFoundError, match="data: no file or folder"):
        Numbers(data=tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"data: no file .*a\.txt"):
        DataReport().read(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="at most the 48 training samples, got 49"):
        Numbers(batch_size=49).train_batch(0)
    with pytest.raises(ValueError, match="a multiple of the 2 processes, got 5"):
        Numbers(batch_size=5).train_batch(0, 0, 2)
    with pytest.raises(ValueError, match="split: expected one of train, val, test, got 'dev'"):
        Numbers().table("dev")
    with pytest.raises(ValueError, match="expected samples in every split, val has none"):
        Numbers({"train": 9, "val": 0, "test": 3}).prepare()


def test_parameters_of_a_task_come_from_task_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS._classes, "numbers", Numbers)

    def make(**values: Any) -> Any:
        return build_task(make_config(task="numbers", batch_size=4, seed=5, task_set=values))

    task = make(sizes={"train": 30}, without_classes=["ant"])
    assert (task.batch_size, task.seed, task.num_classes) == (4, 5, 2)
    # A class may be called 3, and be meant by a number.
    assert make(without_classes=3).without_classes == ("3",)
    for values, message in (
        ({"size": 1}, r"task.size: expected one of .*sizes.* got 'size' \(nearest: sizes\)"),
        ({"seed": 1}, "task.seed: expected as a field of the run, --seed"),
        ({"sizes": 3}, "sizes: expected KEY=VALUE pairs, got 3"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**values)
