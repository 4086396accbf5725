"""``njit`` for this folder: a kernel on disk is fresh while no file of the folder has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """As ``numba.njit(**options)``; with ``cache=True`` the folder's digest is the freshness stamp.

    Numba takes the digest of the kernel's own file, but what it inlines comes from other files
    too. A stale entry is ignored, and replaced when the kernel is compiled again. Where no folder
    can be written, the kernel is compiled in every process.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            kernel = numba.njit(**options)(function)
        except RuntimeError:  # "cannot cache function": no folder to keep it in
            return numba.njit(**{**options, "cache": False})(function)
        if options.get("cache") and not numba.config.DISABLE_JIT:
            # Numba has no public way to say what a kernel depends on.
            kernel._cache._cache_file._source_stamp = _digest()
        return kernel

    return compiled


@cache
def _digest() -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()
