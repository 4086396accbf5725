"""Threads for compiled code that lets go of Python's lock."""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Callable
from functools import cache

import torch

_REGION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def spread(work: Callable[[int, int], object], tasks: int, worth_threads: bool = True) -> None:
    """Call ``work(first, last)`` until every task from 0 to ``tasks`` - 1 was done, once.

    As many threads help as PyTorch may use. Which of them takes what is not fixed, so tasks must
    not share what they write.

    Args:
        work: Does the tasks first … last - 1.
        tasks: Number of tasks.
        worth_threads: False for work so small (some 0.1 ms) that threads would cost more.
    """
    threads = min(torch.get_num_threads(), tasks) if worth_threads else 1
    if threads <= 1:
        if tasks:
            work(0, tasks)
        return
    blocks = min(tasks, 4 * threads)  # several each, so that a slow thread holds nobody up
    numbers = itertools.count()
    errors: list[BaseException] = []

    def help_out(_: object = None) -> None:
        try:
            while not errors and (block := next(numbers)) < blocks:
                work(block * tasks // blocks, (block + 1) * tasks // blocks)
        except BaseException as error:
            errors.append(error)

    pool = _pytorchs_pool()
    if pool is not None:
        pool(_REGION(help_out), None, threads, 0)
    else:
        _on_new_threads(help_out, threads)
    if errors:
        raise errors[0]


def _on_new_threads(help_out: Callable[[], None], threads: int) -> None:
    helpers = [threading.Thread(target=help_out, daemon=True) for _ in range(threads - 1)]
    for helper in helpers:
        helper.start()
    help_out()
    for helper in helpers:
        helper.join()


@cache
def _pytorchs_pool() -> Callable[..., None] | None:
    """``GOMP_parallel`` of the OpenMP library that PyTorch has loaded, if it is one that has it.

    Its threads spin for a few milliseconds after every operator and would compete with threads of
    our own for the same cores: with those, two threads were no faster than one.
    """
    try:
        with open("/proc/self/maps", encoding="utf-8") as maps:
            loaded = {line.split()[-1] for line in maps if "omp" in line.rsplit("/", 1)[-1]}
        paths = [p for p in sorted(loaded) if "/torch" in p and ".so" in p]
        pool = ctypes.CDLL(paths[0]).GOMP_parallel
    except (OSError, IndexError, AttributeError):
        return None
    pool.argtypes = [_REGION, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    pool.restype = None
    return pool
