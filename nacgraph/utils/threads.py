"""Small matrices on one thread: more gain nothing, and on a busy machine they wait ten times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

SMALL = 256  # modules


@contextmanager
def few_threads(n: int) -> Iterator[None]:
    """One thread for matrices of ``n`` x ``n`` while that is small; afterwards as before.

    Torch's own setting reaches its MKL, the controller the BLAS of NumPy and SciPy.
    """
    if n > SMALL:
        yield
        return
    before = torch.get_num_threads()
    with _controller().limit(limits=1, user_api="blas"):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@cache
def _controller() -> Any:
    return ThreadpoolController()  # looks through all loaded libraries: once is enough
