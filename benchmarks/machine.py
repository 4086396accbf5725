"""What a measurement was made on, and how much memory a process took at most."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "torch",
    "numba",
    "numpy",
    "scipy",
    "torch_geometric",
    "torch_scatter",
    "perceiver-pytorch",
)


def describe(threads: int, seed: int) -> dict[str, Any]:
    """Processor, cores, versions, threads, seed, commit and load; nothing that names the host."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "threads": threads,
        "seed": seed,
        "commit": commit_of(ROOT),
        "load_before": [round(x, 2) for x in os.getloadavg()],
    }


def physical_cores() -> int:
    """Cores that this process may use: more threads than these slow arithmetic down."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spare_memory() -> int | None:
    """Bytes that can be had without pushing anybody else out, where the system says so."""
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return None


def bound_memory(share: float = 0.9) -> None:
    """An allocation beyond what is free then fails, with a message, instead of the machine."""
    spare = spare_memory()
    if spare is not None:
        limit = int(share * spare)
        resource.setrlimit(
            resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1])
        )


class Peak:
    """Peak resident memory since it was made, above what the process then held.

    Linux lets a process reset its high-water mark. Elsewhere ``ru_maxrss`` only ever grows, so
    whatever was freed before counts as there already.
    """

    def __init__(self) -> None:
        try:  # what was freed must go back, or what comes next hides in it
            ctypes.CDLL(None).malloc_trim(0)
        except (AttributeError, OSError):
            pass
        self.exact = _reset_high_water_mark()
        self.before = _status("VmRSS") if self.exact else _maxrss()

    def growth(self) -> int:
        """Bytes."""
        return max(0, (_status("VmHWM") if self.exact else _maxrss()) - self.before)


def _reset_high_water_mark() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return _status("VmHWM") > 0


def _status(name: str) -> int:
    for line in _lines("/proc/self/status"):
        if line.startswith(name + ":"):
            return 1024 * int(line.split()[1])
    return 0


def _maxrss() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _cpu() -> str:
    from nacgraph.utils.machine import processor

    return processor()["model name"]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def commit_of(checkout: Path) -> str | None:
    """The commit of a checkout, with "+changes" where the code is not what was committed."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=checkout, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", ".", ":!benchmarks/results")
        return git("rev-parse", "HEAD")[:12] + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
