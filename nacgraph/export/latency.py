"""How fast a model and its export answer, measured in turn on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import median

import torch

from nacgraph.export.check import Sample, joined, logits_of
from nacgraph.export.formats import Runner
from nacgraph.models.nac import NAC

RUNS, SECONDS = 9, 10.0  # how often, or for how long at most, each latency is measured
BATCHES = (1, 16)  # of which latencies are measured


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread, as the exported file is run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def latencies(
    model: NAC, mode: str, run: Runner, samples: Sequence[Sample]
) -> list[dict[str, float]]:
    """Median wall seconds of a call of model and export, in turn, on batches of like length."""
    ordered = sorted(samples, key=lambda sample: sample[1].shape[1])
    found = []
    for size in sorted({min(size, len(ordered)) for size in BATCHES}):
        first = (len(ordered) - size) // 2  # those of middle length
        batch = joined(ordered[first : first + size])
        times = in_turn(partial(logits_of, model, mode, *batch), partial(run, *batch))
        found.append(
            {
                "batch": size,
                "length": batch[1].shape[1],
                "model_seconds": median(times[0]),
                "export_seconds": median(times[1]),
            }
        )
    return found


def in_turn(*calls: Callable[[], object]) -> list[list[float]]:
    """Wall seconds of each of several calls, made in turn so that a busy machine slows all."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:  # the first call of each compiles and allocates
        call()
    began = time.perf_counter()
    while len(times[0]) < RUNS and (not times[0] or time.perf_counter() - began < SECONDS):
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return times
