"""Settings that make every test repeatable, and the few fixtures that all rooms share."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")  # before anything imports matplotlib

import torch
from golden_place import GOLDEN
from hypothesis import settings

settings.register_profile("local", deadline=None)  # the first call of an operator may be slow
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# More do not help tensors of this size; beside other processes (pytest -n) each gets one.
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else min(2, os.cpu_count() or 1))


# Tensors computed by an independent implementation; they are not ours to ship. Wherever they are
# not, the plain loops of reference.py still are.
collect_ignore = [] if GOLDEN.is_dir() else ["nn/test_golden.py"]


def pytest_report_header() -> str:
    """Whether the golden tensors are compared with."""
    where = GOLDEN if GOLDEN.is_dir() else f"none in {GOLDEN}, tests/nn/test_golden.py is left out"
    return f"golden tensors: {where}"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Tests may draw their inputs with plain ``torch.randn``; the library never does."""
    torch.manual_seed(0)


@pytest.fixture
def generator() -> torch.Generator:
    """A generator in a known state, for library calls that want one."""
    return torch.Generator().manual_seed(0)
