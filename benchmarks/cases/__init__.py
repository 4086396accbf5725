"""All cases, in the order of the table."""

from __future__ import annotations

from benchmarks.cases import attention, gemm, growth, matching, read_in, step
from benchmarks.harness import Case

FAMILIES = (read_in, attention, step, gemm, growth, matching)
CASES: dict[str, Case] = {case.name: case for family in FAMILIES for case in family.CASES}
