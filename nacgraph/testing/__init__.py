"""Public checks for people who write parts of their own: call them from your tests."""

from __future__ import annotations

from nacgraph.testing.circuits import assert_generator, assert_propagator, assert_read_in
from nacgraph.testing.plugins import assert_prior, assert_task

__all__ = [
    "assert_generator",
    "assert_prior",
    "assert_propagator",
    "assert_read_in",
    "assert_task",
]
