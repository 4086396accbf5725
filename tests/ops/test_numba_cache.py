"""Compiled kernels on disk: when they are used again, and where nothing can be kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nacgraph.ops.numba

# What a process prints: a kernel's result, how often it was read from disk, and compiled.
CODE = """
import numpy as np
from copied.outer import double_sum
print(double_sum(np.ones(3)), *(sum(c.values()) for c in (
    double_sum.stats.cache_hits, double_sum.stats.cache_misses)))
"""
INNER = "import numba\n@numba.njit(inline='always')\ndef scaled(x):\n    return {factor} * x\n"
OUTER = """
from copied.compile import njit
from copied.inner import scaled

@njit(cache=True)
def double_sum(x):
    total = 0.0
    for value in x:
        total += scaled(value)
    return total
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like ops/numba: our njit, a kernel, and another file that it inlines."""
    copied = tmp_path / "copied"
    copied.mkdir()
    shutil.copy(Path(nacgraph.ops.numba.__file__).with_name("compile.py"), copied)
    (copied / "__init__.py").touch()
    (copied / "inner.py").write_text(INNER.format(factor=2))
    (copied / "outer.py").write_text(OUTER)
    return copied


def run(folder: Path, code: str = CODE, **changed: str | None) -> str:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **changed}
    child = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder.parent,
        env={name: text for name, text in environment.items() if text is not None},
        text=True,
        capture_output=True,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout.strip()


def files(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_changed_inlined_file_compiles_the_kernel_again(folder: Path) -> None:
    assert run(folder) == "6.0 0 1"
    assert run(folder) == "6.0 1 0"  # from the disk
    (folder / "inner.py").write_text(INNER.format(factor=5))
    assert run(folder) == "15.0 0 1"
    assert run(folder) == "15.0 1 0"


def test_importing_writes_and_deletes_nothing(folder: Path) -> None:
    run(folder)
    (folder / "inner.py").write_text(INNER.format(factor=5))  # what is kept is stale now
    before = files(folder)
    run(folder, "import copied.outer")
    assert files(folder) == before


def test_where_nothing_can_be_kept_kernels_work(folder: Path) -> None:
    (folder / "__pycache__").touch()  # a file: no folder can be made there, even by root
    nowhere = str(folder / "inner.py" / "below-a-file")
    before = files(folder)
    for _ in range(2):
        assert run(folder, HOME=nowhere, XDG_CACHE_HOME=nowhere) == "6.0 0 1"
    assert files(folder) == before


def test_home_need_not_be_set(folder: Path) -> None:
    assert run(folder, HOME=None, XDG_CACHE_HOME=None) == "6.0 0 1"
    assert run(folder, HOME=None, XDG_CACHE_HOME=None) == "6.0 1 0"


def test_every_kernel_of_the_library_is_stamped() -> None:
    sources = Path(nacgraph.ops.numba.__file__).parent.glob("*.py")
    direct = [f.name for f in sources if "from numba import njit" in f.read_text("utf-8")]
    assert set(direct) <= {"numbers.py"}  # inlined everywhere, never kept by itself
