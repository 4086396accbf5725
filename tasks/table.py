"""Tasks whose splits are tables in memory: order of batches, splits, classes, for any modality."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from nacgraph.tasks.archives import opened
from nacgraph.tasks.base import Batch, Task, named
from nacgraph.tasks.batching import like_length_batches
from nacgraph.tasks.data_report import DataReport, told_left_out
from nacgraph.tasks.splits import SPLITS, Data, Table, carve, check_rank, same_text, words
from nacgraph.utils.check import check_at_least, check_choice

HELD_OUT = 0.1  # share of the rows of each class in a split that the data itself does not have


class TableTask(Task):
    """A task whose data fits in memory. Subclasses say how to read it and how to make a batch.

    A split that the data does not have is carved from what trains: a tenth of the rows of each
    class, chosen by ``data_seed``, so that runs with other seeds are tested on the same rows.

    Args:
        seed: Seed of the order of batches and of augmentation.
        batch_size: Samples a batch, over all ranks.
        data: File, folder or archive; None takes the embedded data.
        cache_dir: Where archives are unpacked and generated data is kept.
        data_seed: Seed of carved splits and of generated data.
        only_classes: Keep samples of these classes only (names, also comma-separated).
        without_classes: Leave out samples of these classes, as for few-shot tests on them.
        whole_is_test: Data without a test split of its own is one as a whole, as when a trained
            circuit is tried on data that it has never seen.

    Raises:
        FileNotFoundError: If ``data``, or a file that belongs to it, is not there.
        DataError: If something in it is damaged.
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        seed: int = 0,
        batch_size: int = 32,
        data: str | Path | None = None,
        cache_dir: str | Path | None = None,
        data_seed: int = 0,
        only_classes: str | Sequence[str] = (),
        without_classes: str | Sequence[str] = (),
        whole_is_test: bool = False,
    ) -> None:
        check_at_least(0, seed=seed, data_seed=data_seed)
        check_at_least(1, batch_size=batch_size)
        self.seed, self.batch_size, self.data_seed = seed, batch_size, data_seed
        self.data = None if data is None else Path(data)
        if self.data is not None and not self.data.exists():
            raise FileNotFoundError(f"data: no file or folder {self.data}")
        self.cache_dir = None if cache_dir is None else Path(cache_dir)
        self.only_classes, self.without_classes = words(only_classes), words(without_classes)
        self.whole_is_test = whole_is_test
        self._data: Data | None = None
        self._left_out = ""
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)

    # What a modality provides

    @abstractmethod
    def read(self, path: Path | None, found: DataReport) -> Data:
        """Read ``path``, archives already unpacked, or make the embedded data where it is None.

        Every file goes through ``found.read``, all damage to ``found.damaged``; after that call
        the reader goes on without the damaged sample.
        """

    @abstractmethod
    def collate(self, table: Table, index: np.ndarray, rng: np.random.Generator | None) -> Batch:
        """The rows ``index`` of a table as a batch; with ``rng``, augmented for training."""

    def as_batch(self, columns: Mapping[str, Any], count: int, first: int = 0) -> Batch:
        """Columns of ``count`` raw samples as a batch, collated as those of a split are."""
        table = Table(np.zeros(count, np.int64), columns)
        batch = self.collate(table, np.arange(count), None)
        return replace(batch, index=batch.index + first)

    def lengths(self, table: Table) -> np.ndarray | None:
        """Tokens of every row (N), for batches of similar length; None where all are equal."""
        return None

    # What all modalities share

    def prepare(self) -> None:
        """Read or make the data now."""
        self.load()

    def load(self) -> Data:
        """All splits, with the classes and splits that the arguments ask for; read once."""
        if self._data is None:
            found = DataReport()
            data = self.read(place := opened(self.data, self.cache_dir), found)
            found.account(place, self.cache_dir)
            self._left_out = told_left_out(self.data, found)
            self._data = self._divided(self._chosen(data))
        return self._data

    def check(self) -> tuple[Data | None, DataReport]:
        """Read everything, and collect what is damaged rather than stop at it."""
        found = DataReport(collect=True)
        try:
            data = self.read(place := opened(self.data, self.cache_dir), found)
        except (ValueError, OSError) as error:
            found.damage.append(str(error))
            return None, found
        found.account(place, self.cache_dir)
        return data, found

    @property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.load().classes

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def table(self, split: str) -> Table:
        """All samples of "train", "val" or "test"."""
        check_choice(SPLITS, split=split)
        tables = self.load().splits
        if split not in tables:
            raise ValueError(f"split: {self.load().source} holds no {split} split")
        return tables[split]

    def remap_classes(self, classes: Sequence[str]) -> None:
        """Number the classes as these are; the data need not have all of them."""
        data = self.load()
        if list(data.classes) == list(classes):
            return
        known = [same_text(name) for name in classes]  # runs of before did not have them in one
        if strange := [name for name in data.classes if same_text(name) not in known]:
            raise ValueError(
                f"data: expected classes among {named(classes)}, as in the run, got "
                f"{named(strange)}"
            )
        number = np.array([known.index(same_text(name)) for name in data.classes], np.int64)
        splits = {k: replace(t, labels=number[t.labels]) for k, t in data.splits.items()}
        self._data = replace(data, splits=splits, classes=tuple(classes))

    def tags(self, split: str) -> Mapping[str, Sequence[str]]:
        table = self.table(split)
        return {"label": [self.classes[k] for k in table.labels], **table.tags}

    def present(self, split: str) -> Sequence[int] | None:
        found = np.unique(self.table(split).labels).tolist()
        return None if len(found) == self.num_classes else found

    def train_batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """Rows ``rank::world`` of the batch of ``step``: a function of seed and step alone."""
        check_rank(rank, world)
        check_at_least(0, step=step)
        if self.batch_size % world:
            raise ValueError(
                f"batch_size: expected a multiple of the {world} processes, got {self.batch_size}"
            )
        table = self.table("train")
        if len(table) < self.batch_size:
            raise ValueError(
                f"batch_size: expected at most the {len(table)} training samples, "
                f"got {self.batch_size}"
            )
        epoch, place = divmod(step, len(table) // self.batch_size)
        # Made as a whole, since mixing pairs samples of the whole batch, then dealt out.
        rng = np.random.default_rng((self.seed, step, 1))
        return self.collate(table, self._epoch(epoch)[place], rng).rows(slice(rank, None, world))

    def _make_epoch(self, epoch: int) -> np.ndarray:
        table = self.table("train")
        lengths = self.lengths(table)
        if lengths is None:
            lengths = np.ones(len(table), np.int64)
        return like_length_batches(lengths, self.batch_size, (self.seed, epoch))

    def eval_batches(
        self, split: str, rank: int = 0, world: int = 1, limit: int | None = None
    ) -> Iterator[Batch]:
        """Batches of similar length; with ``limit``, of a fixed choice of that many samples."""
        check_rank(rank, world)
        if limit is not None and limit < 1:
            raise ValueError(f"limit: expected at least 1 or None, got {limit}")
        table = self.table(split)
        # Not the first ones: data on disk is often sorted by class.
        order = np.random.default_rng((self.data_seed, 2)).permutation(len(table))
        chosen = np.sort(order[:limit])
        lengths = self.lengths(table)
        if lengths is not None:
            chosen = chosen[np.argsort(lengths[chosen], kind="stable")]
        own = chosen[rank::world]
        for start in range(0, len(own), self.batch_size):
            yield self.collate(table, own[start : start + self.batch_size], None)

    def baselines(self, split: str) -> dict[str, float]:
        """Accuracy of the best constant guess, fitted on ``split`` itself."""
        counts = np.bincount(self.table(split).labels, minlength=self.num_classes)
        return {"majority_accuracy": float(counts.max() / counts.sum())}

    def describe(self) -> str:
        """One line: what was read, and how many samples each split has."""
        data = self.load()
        sizes = " / ".join(f"{len(data.splits[k]):,} {k}" for k in SPLITS if k in data.splits)
        left_out = f"; {self._left_out}" * bool(self._left_out)
        return f"{data.source}; {len(data.classes)} classes, {sizes}{left_out}"

    def _chosen(self, data: Data) -> Data:
        """The data of those classes that are asked for, numbered anew in the same order."""
        for option in ("only_classes", "without_classes"):
            if strange := [name for name in getattr(self, option) if name not in data.classes]:
                raise ValueError(
                    f"{option}: expected classes among {named(data.classes, 40)}, "
                    f"got {named(strange)}"
                )
        kept = [
            k
            for k, name in enumerate(data.classes)
            if (not self.only_classes or name in self.only_classes)
            and name not in self.without_classes
        ]
        if len(kept) == len(data.classes):
            return data
        number = np.full(len(data.classes), -1)
        number[kept] = np.arange(len(kept))
        splits = {}
        for name, table in data.splits.items():
            part = table.take(np.flatnonzero(np.isin(table.labels, kept)))
            splits[name] = replace(part, labels=number[part.labels])
        return Data(splits, tuple(data.classes[k] for k in kept), data.source)

    def _divided(self, data: Data) -> Data:
        """The data with all splits that can be had, and none of them empty."""
        splits = dict(data.splits)
        if self.whole_is_test and "test" not in splits:
            tables = list(splits.values())
            if len(tables) > 1:
                raise ValueError(
                    f"data: {data.source} holds the splits {', '.join(splits)} but no test split"
                )
            splits = dict.fromkeys(("val", "test"), tables[0])  # nothing is chosen on either
        elif "train" in splits:
            for key, name in enumerate(("test", "val")):
                if name not in splits:
                    rest, part = carve(splits["train"].labels, HELD_OUT, (self.data_seed, key))
                    splits[name] = splits["train"].take(part)
                    splits["train"] = splits["train"].take(rest)
        for name, table in splits.items():
            if not len(table):
                raise ValueError(f"data: expected samples in every split, {name} has none")
        return replace(data, splits=splits)
