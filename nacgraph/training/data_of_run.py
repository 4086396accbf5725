"""The data of a run: found again by its content, and refused where it was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nacgraph.training.build import build_task
from nacgraph.training.folder import read_samples

if TYPE_CHECKING:
    from nacgraph.tasks import Task
    from nacgraph.training.config import RunConfig


def sample_digests(task: Task, split: str) -> np.ndarray | None:
    """A digest of what the model gets of every sample of a split, ascending uint64 (N).

    None where the task has no such split, or does not give it sample by sample.
    """
    from nacgraph.tasks.table import TableTask

    found = []
    try:
        if isinstance(task, TableTask) and "points" in (columns := task.table(split).columns):
            # Which points of a cloud the model gets, and in which order, hangs on its row.
            for cloud in columns["points"]:
                ordered = np.ascontiguousarray(cloud[np.lexsort(cloud.T)])
                found.append(hashlib.blake2b(ordered.tobytes(), digest_size=8).digest())
            return np.sort(np.frombuffer(b"".join(found), np.uint64))
        for batch in task.eval_batches(split):
            inputs, mask = batch.inputs.cpu().numpy(), batch.mask.cpu().numpy()
            padded = mask.shape == inputs.shape[:2]
            said = batch.condition, batch.condition_mask
            for row in range(len(batch)):
                hashed = hashlib.blake2b(digest_size=8)
                parts = [(inputs[row], mask[row] if padded else slice(None))]
                if said[0] is not None:
                    kept = slice(None) if said[1] is None else said[1][row].numpy()
                    parts.append((said[0][row].numpy(), kept))
                for values, kept in parts:
                    hashed.update(np.ascontiguousarray(values[kept]).tobytes())
                found.append(hashed.digest())
    except (ValueError, LookupError, AttributeError, TypeError, NotImplementedError):
        return None
    return np.sort(np.frombuffer(b"".join(found), np.uint64))


def same_samples(task: Task, seen: np.ndarray) -> bool:
    """Whether these are the digests of the samples that a task trains on."""
    found = sample_digests(task, "train")
    return found is not None and np.array_equal(found, seen)


def count_seen(task: Task, split: str, seen: np.ndarray) -> int:
    """How many samples of a split are among these digests."""
    asked = sample_digests(task, split)
    return 0 if asked is None else int(np.isin(asked, seen).sum())


def data_place(config: RunConfig, record: Mapping[str, Any]) -> dict[str, Any]:
    """Where the data of a run is: where it was, from whichever folder that was said."""
    given, absolute = config.task.parameters.get("data"), record.get("data_path")
    if given is None:
        return {}
    return {"data": absolute if absolute and Path(absolute).exists() else given}


def task_of_run(
    folder: Path, config: RunConfig, record: Mapping[str, Any], **arguments: Any
) -> tuple[Task, list[str]]:
    """The task of a run, perhaps over other data, with the run's classes and sizes; and remarks.

    Data is known by its content. The run's own, under whatever path, is divided as for training;
    any other has no sample that the run was trained on.

    Raises:
        ValueError: If the data has samples that the run, on data of files too, was trained on, or
            does not fit.
    """
    place, seen = data_place(config, record), read_samples(folder)
    if arguments.get("data") is None:
        task = _task(config, record, **{**arguments, **place})
        if place and seen is not None:
            found = count_seen(task, "test", seen[0])
            if found > seen[1]:
                raise ValueError(
                    f"data: {place['data']} changed since the run was made: its test split has "
                    f"{found} samples that the run was trained on, then {seen[1]}; give data "
                    "without them with --data"
                )
        return task, []
    given = Path(str(arguments["data"]))
    own = Path(str(place["data"])).resolve() if place else None
    if seen is None and own == given.resolve():
        return _task(config, record, **arguments), []
    if seen is None:
        task = _task(config, record, **arguments, whole_is_test=True)
        return task, [f"the run does not tell its training samples apart; {given} may have some"]
    with suppress(ValueError, OSError):  # data of other classes, or without a training split
        task = _task(config, record, **arguments)
        if same_samples(task, seen[0]):
            return task, [f"{given} is the data of the run: its own splits are taken"]
    task = _task(config, record, **arguments, whole_is_test=True)
    found = count_seen(task, "test", seen[0])
    text = f"{found} samples of {given} are ones that the run was trained on"
    if found and place:
        raise ValueError(
            f"data: {text}; give data without them, or leave --data out for the run's own test "
            "split"
        )
    return task, [text] if found else []  # short made-up samples come twice by chance


def _task(config: RunConfig, record: Mapping[str, Any], **arguments: Any) -> Task:
    task = build_task(config, **arguments)
    task.match_sizes(record["data_signature"])
    if record["classes"] is not None:
        task.remap_classes(record["classes"])
    return task
