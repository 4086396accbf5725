"""The bars: what must be shown, at which size. One table, read by the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bar:
    """A figure of a case that must be at least, or at most, a limit.

    Attributes:
        case: Name of the case.
        figure: Name of the figure, as :func:`benchmarks.harness.figures` and the cases' own
            ``metrics`` name them.
        what: What is compared.
        at: At which sizes.
        sense: "≥" or "≤".
        limit: The limit.
        unit: What follows the number.
    """

    case: str
    figure: str
    what: str
    at: str
    sense: str
    limit: float
    unit: str = "×"

    def met(self, value: float) -> bool:
        return value >= self.limit if self.sense == "≥" else value <= self.limit

    def miss(self, value: float) -> float:
        """By which factor a missed bar is missed, at least 1."""
        if self.met(value) or not value * self.limit:
            return 1.0
        return self.limit / value if self.sense == "≥" else value / self.limit


_STEP = "U 640, D 384, L 8, 784 tokens, B {}, 5 % of links"
_GROWTH = "U 512 … 16,384, D 128, mean degree 32"
_EDGES = "U 1024, D 128, H 8, B 8, 5 %"
BARS = (
    Bar("read_in", "speedup/naive", "folded read-in vs naive, time",
        "D 384, 1×64, 784 tokens, 256 modules, B 4", "≥", 80),
    Bar("read_in_memory", "peak_mib/folded", "folded read-in, memory",
        "the same, 640 modules", "≤", 128, " MiB"),
    Bar("attention_scatter", "speedup/scatter", "fused vs gather + scatter, time",
        _EDGES, "≥", 15),
    Bar("attention_scatter", "memory_share/scatter", "fused vs gather + scatter, memory",
        _EDGES, "≤", 1 / 20),
    Bar("attention_dense", "speedup/dense", "fused vs dense with mask gradient, time",
        _EDGES, "≥", 10),
    Bar("attention_dense_4096", "speedup/dense", "fused vs dense with mask gradient, time",
        "U 4096, D 128, H 8, B 1, 1 %", "≥", 50),
    Bar("step_naive", "speedup/naive", "whole step vs naive, same function, fp32",
        _STEP.format(2), "≥", 3.5),
    Bar("step_perceiver", "share/perceiver-pytorch", "whole step, share of Perceiver IO's time",
        _STEP.format(4), "≤", 1.10),
    Bar("step_bf16", "share/fp32", "bf16-mixed, share of fp32's time",
        _STEP.format(4), "≤", 0.65),
    Bar("gemm", "fraction", "fraction of the GEMM peak measured in the same run, fp32",
        _STEP.format(4), "≥", 0.75, ""),
    Bar("growth", "time exponent, all", "growth, time exponent", _GROWTH, "≤", 1.10, ""),
    Bar("growth", "memory exponent, all", "growth, memory exponent", _GROWTH, "≤", 1.10, ""),
    Bar("growth", "peak_gib", "16,384 modules train, peak memory", _GROWTH, "≤", 24, " GiB"),
    Bar("matching", "speedup/naive cost, cold Hungarian",
        "matching refresh, warm, vs naive cost + cold Hungarian, time",
        "U 1024, planted partition", "≥", 10),
    Bar("matching", "loss above naive", "the same, loss reached minus the naive one's",
        "U 1024, planted partition", "≤", 0, ""),
)  # fmt: skip


def judge(bar: Bar, results: Mapping[str, Mapping[str, Any]]) -> tuple[float | None, str]:
    """The figure that a bar is about, and "met", "missed, by how much", or why it is not judged."""
    result = results.get(bar.case)
    if result is None:
        return None, "not measured"
    value = result["figures"].get(bar.figure)
    if value is None:
        return None, "not measured"
    if result["quick"]:
        return value, "not judged (small sizes)"
    if bar.met(value):
        return value, "met"
    factor = bar.miss(value)
    return value, f"**missed** by a factor of {factor:.2f}" if factor > 1 else "**missed**"
