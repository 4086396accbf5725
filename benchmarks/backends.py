"""Scatter against dense attention by density of the graph: the rule behind ``backend="auto"``.

    python benchmarks/backends.py

Forward + backward, one process, A B A B, medians of CPU time; prints the ratio scatter / dense.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from nacgraph.backends import Attention
from nacgraph.kernel import SampledGraph


def seconds(attention: Attention, inputs: tuple[torch.Tensor, ...], graph: SampledGraph) -> float:
    start = time.process_time()
    attention(*inputs, graph).sum().backward()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    a = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    shape = (a.batch, a.modules, a.heads, a.width // a.heads)
    inputs = tuple(torch.randn(shape, generator=generator).requires_grad_() for _ in range(3))
    print(f"U {a.modules}, D {a.width}, H {a.heads}, B {a.batch}, fp32, "
          f"{torch.get_num_threads()} threads, torch {torch.__version__}")  # fmt: skip
    print("| links | scatter ms | dense ms | scatter / dense |\n|---|---|---|---|")
    for density in (0.002, 0.005, 0.01, 0.02, 0.05):
        log_weight = torch.randn(a.modules, a.modules, generator=generator).requires_grad_()
        mask = torch.rand(a.modules, a.modules, generator=generator) < density
        graph = SampledGraph(log_weight.sigmoid(), log_weight, mask)
        times: dict[str, list[float]] = {"scatter": [], "dense": []}
        for _ in range(a.runs + 1):  # the first of each warms up
            for name, found in times.items():
                found.append(seconds(Attention(name), inputs, graph))
        scatter, dense = (1e3 * statistics.median(x[1:]) for x in times.values())
        ratios = [s / d for s, d in list(zip(*times.values(), strict=True))[1:]]
        print(f"| {100 * density:g} % | {scatter:.0f} | {dense:.0f} "
              f"| {statistics.median(ratios):.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
