"""Episodes: a few samples of new classes to learn from, and others to answer."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from nacgraph.tasks import Batch
from nacgraph.tasks.splits import Table
from nacgraph.tasks.table import TableTask


@dataclass(frozen=True)
class Pool:
    """Samples of classes that pre-training has not seen.

    Attributes:
        task: Makes batches of the table.
        table: Samples of all splits, one after another; labels count ``classes``.
        classes: Names of the new classes.
        short: Names of new classes that were left out, since they have too few samples.
    """

    task: TableTask
    table: Table
    classes: tuple[str, ...]
    short: tuple[str, ...]


@dataclass(frozen=True)
class Episode:
    """One small problem: classify samples into ``classes`` after learning from ``support``.

    Labels are indices into ``classes``. The support of fewer shots is part of the support of more,
    and the queries are the same.
    """

    number: int
    classes: tuple[str, ...]
    support: Batch
    queries: Batch
    digest: str


def make_pool(task: TableTask, known: Collection[str], ways: int, samples: int) -> Pool:
    """The samples of those classes of a task that are not among ``known``.

    All splits are used, since pre-training has seen none of these classes.

    Args:
        task: Its data is read here.
        known: Classes of pre-training.
        ways: Least number of classes.
        samples: Samples needed of each; classes with fewer are left out.

    Raises:
        ValueError: If fewer than ``ways`` classes are left.
    """
    data = task.load()
    tables = list(data.splits.values())
    counts = sum(np.bincount(t.labels, minlength=len(data.classes)) for t in tables)
    new = [k for k, name in enumerate(data.classes) if name not in known]
    kept = [k for k in new if counts[k] >= samples]  # type: ignore[index]
    if len(kept) < ways:
        raise ValueError(
            f"ways: expected at least {ways} classes that pre-training has not seen, with "
            f"{samples} "
            f"samples each, got {len(kept)}: of {len(data.classes)} classes of this data, "
            f"{len(data.classes) - len(new)} are of pre-training (train with "
            f"--task.without_classes NAME,… to leave some out) and {len(new) - len(kept)} have too "
            "few samples"
        )
    number = np.full(len(data.classes), -1)
    number[kept] = np.arange(len(kept))
    parts = [t.take(np.flatnonzero(np.isin(t.labels, kept))) for t in tables]
    table = joined([replace(part, labels=number[part.labels]) for part in parts])
    short = tuple(data.classes[k] for k in new if k not in kept)
    return Pool(task, table, tuple(data.classes[k] for k in kept), short)


def joined(tables: Sequence[Table]) -> Table:
    """The rows of several tables, one after another, without their tags."""
    columns = {name: _joined([t.columns[name] for t in tables]) for name in tables[0].columns}
    return Table(np.concatenate([t.labels for t in tables]), columns)


def _joined(parts: list[Any]) -> Any:
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return [entry for part in parts for entry in part]


def draw_episode(
    pool: Pool, ways: int, shots: int, queries: int, seed: int, number: int
) -> Episode:
    """Episode ``number``: decided by the seed and its number alone.

    Args:
        pool: Where classes and samples come from.
        ways: Classes.
        shots: Samples of each class to learn from.
        queries: Other samples of each class, to answer.
        seed: Seed of all episodes.
        number: Number of the episode, from 0.

    Raises:
        ValueError: If a count is below one, or the pool is too small for it.
    """
    for name, value in (("ways", ways), ("shots", shots), ("queries", queries)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    if ways > len(pool.classes):
        raise ValueError(f"ways: expected at most the {len(pool.classes)} classes, got {ways}")
    rng = np.random.default_rng((seed, number))
    chosen = rng.permutation(len(pool.classes))[:ways]
    support_rows, query_rows = [], []
    for k in chosen:
        rows = rng.permutation(np.flatnonzero(pool.table.labels == k))
        if len(rows) < queries + shots:
            raise ValueError(
                f"class {pool.classes[k]}: expected {queries} + {shots} samples, got {len(rows)}"
            )
        query_rows.append(rows[:queries])
        support_rows.append(rows[queries : queries + shots])
    classes = tuple(pool.classes[k] for k in chosen)
    support, query = _batch(pool, support_rows), _batch(pool, query_rows)
    return Episode(number, classes, support, query, digest(classes, support, query))


def _batch(pool: Pool, rows: list[np.ndarray]) -> Batch:
    """The rows of every class as one batch, labelled by index, without augmentation."""
    labels = np.repeat(np.arange(len(rows)), [len(own) for own in rows])
    table = replace(pool.table.take(np.concatenate(rows)), labels=labels)
    return pool.task.collate(table, np.arange(len(labels)), None)


def digest(classes: Sequence[str], *batches: Batch) -> str:
    """Sixteen hexadecimal digits of an episode's content; equal episodes have equal digests."""
    found = hashlib.sha256("\0".join(classes).encode())
    for batch in batches:
        for field in fields(batch):
            tensor = getattr(batch, field.name)
            if tensor is not None:
                found.update(f"{field.name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
