"""This machine: processor, device, memory (tensors alive, held and free), heap, versions."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nacgraph.utils.check import check_choice

DECISIVE = ("torch", "torch_geometric", "pytorch_lightning", "numpy")
"""Packages whose versions decide the numbers of a run."""


class Live(TorchDispatchMode):
    """Counts the bytes of all tensors alive, and keeps the block sizes of the fullest moment.

    Args:
        known: Tensors that were there before and are not counted.
    """

    def __init__(self, known: Sequence[Tensor] = ()) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.now = self.peak = 0
        self.fullest: list[int] = []
        self._references: dict[int, Any] = {}
        self._known = [t.untyped_storage() for t in known]
        self._keys = {storage._cdata for storage in self._known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for each in (*args, out):  # arguments too: they may come from NumPy
            for tensor in each if isinstance(each, (list, tuple)) else (each,):
                if isinstance(tensor, Tensor):
                    self._hold(tensor.untyped_storage())
        if self.now > self.peak:
            self.peak, self.fullest = self.now, list(self.sizes.values())
        return out

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self.sizes and key not in self._keys:
            self.sizes[key] = storage.nbytes()
            self.now += storage.nbytes()
            self._references[key] = weakref.ref(storage, lambda _: self._drop(key))

    def _drop(self, key: int) -> None:
        self.now -= self.sizes.pop(key, 0)
        self._references.pop(key, None)


def peak_of(work: Callable[[], object]) -> int:
    """Peak bytes of PyTorch's and NumPy's arrays in ``work()``, those there before left out."""
    ours = not tracemalloc.is_tracing()
    if ours:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        with Live() as live:
            work()
        return live.peak + max(0, tracemalloc.get_traced_memory()[1] - before)
    finally:
        if ours:
            tracemalloc.stop()


def heap_fragments() -> bool:
    """Whether blocks come from glibc's heap as it is by default."""
    settings = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD")
    return platform.libc_ver()[0] == "glibc" and not any(os.environ.get(s) for s in settings)


def trimmed() -> int:
    """Resident bytes after freeing what can be freed: libraries, mostly."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    return resident()


def resident() -> int:
    """Resident bytes of this process (elsewhere than on Linux: their peak so far)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available() -> tuple[int | None, int | None]:
    """(total, free) bytes of memory that this process may use, container's limit included."""
    found: dict[str, int] = {}
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, value = line.split(":")
            found[name] = int(value.split()[0]) * 1024
    except (OSError, ValueError):
        return None, None
    total, free = found.get("MemTotal"), found.get("MemAvailable")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return total, free
    if limit.isdigit() and total is not None and free is not None and int(limit) < total:
        return int(limit), min(free, int(limit) - used)
    return total, free


def processor() -> dict[str, str]:
    """The entry of the first processor in /proc/cpuinfo; outside Linux only its name."""
    found = {"model name": platform.processor() or platform.machine()}
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return found
    return found | {
        k.strip(): v.strip() for k, _, v in (x.partition(":") for x in first.split("\n"))
    }


def hardware(device: torch.device | str) -> str:
    """Name of the hardware of a device: ``AMD EPYC, 2 threads``, or the accelerator's name."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    count = torch.get_num_threads()
    return f"{processor()['model name']}, {count} thread{'s' * (count > 1)}"


def device_of(name: str) -> str:
    """The device "cpu" or "cuda" that ``--device`` names, where auto is the GPU if there is one."""
    check_choice(("auto", "cpu", "cuda"), device=name)
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise ValueError("device: expected a CUDA device, got none; use cpu")
    return "cuda" if found and name != "cpu" else "cpu"


def versions(packages: Sequence[str] = DECISIVE) -> dict[str, str | None]:
    """Versions of nacgraph, Python and these packages; None of one that is not installed."""
    from nacgraph import __version__

    found: dict[str, str | None] = {"nacgraph": __version__, "python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
