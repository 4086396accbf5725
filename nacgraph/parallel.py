"""Threads for compiled code that lets go of Python's lock."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import torch


def spread(work: Callable[[int, int], object], tasks: int, worth_threads: bool = True) -> None:
    """Call ``work(first, last)`` until every task from 0 to ``tasks`` - 1 was done, once.

    As many threads help as PyTorch may use. Which of them takes what is not fixed, so tasks must
    not share what they write. Threads are started for each call: a pool would not survive a fork.

    Args:
        work: Does the tasks first … last - 1.
        tasks: Number of tasks.
        worth_threads: False for work so small (below a millisecond) that threads would cost more.
    """
    threads = min(torch.get_num_threads(), tasks) if worth_threads else 1
    if threads <= 1:
        if tasks:
            work(0, tasks)
        return
    blocks = min(tasks, 4 * threads)  # several each, so that a slow thread holds nobody up
    numbers = itertools.count()
    errors: list[BaseException] = []

    def help_out() -> None:
        try:
            while not errors and (block := next(numbers)) < blocks:
                work(block * tasks // blocks, (block + 1) * tasks // blocks)
        except BaseException as error:
            errors.append(error)

    helpers = [threading.Thread(target=help_out, daemon=True) for _ in range(threads - 1)]
    for helper in helpers:
        helper.start()
    help_out()
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[0]
