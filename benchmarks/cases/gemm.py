"""The step's matrix products against the fastest matrix product that this machine does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils import flop_counter

from benchmarks.cases.common import circuit, seeded, tokens_of, training_step
from benchmarks.cases.step import QUICK, SIZES, WARM
from benchmarks.harness import Built, Case
from nacgraph.models.nac import NAC
from nacgraph.nn.attention import choose

OURS = "step"
SQUARE = (2048, 3072, 4096)
SHAPES = {**{f"mm {n}": (n, n, n) for n in SQUARE}, "mm 2560x384x1536": (2560, 384, 1536)}


def step_flops(model: NAC, batch: Any, labels: torch.Tensor, seed: int) -> dict[str, int]:
    """FLOPs by operator of one forward + backward, two for each multiply-add.

    PyTorch's counter knows neither its own attention on the CPU nor our fused kernel. The first is
    given the formula that the counter has for other devices. The second does, for each link, head
    and sample, 4·d in the forward pass (score, sum) and 10·d in the backward one (score again,
    gradients of weight, query, key and value).
    """
    aten = torch.ops.aten
    mapping: dict[Any, Callable[..., int]] = {
        aten._scaled_dot_product_flash_attention_for_cpu: _sdpa,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _sdpa_backward,
    }
    with flop_counter.FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        out = model(batch, seeded(seed))
        F.cross_entropy(out.logits, labels).backward()
    model.zero_grad(set_to_none=True)
    found = {str(op): int(n) for op, n in counter.get_flop_counts()["Global"].items()}
    c = model.config
    for graph, times in ((out.graph, c.rounds), (out.readout_graph, 1)):
        if choose(graph) == "fused":
            links = len(graph.rows.sender) * len(labels) * times  # one graph for the whole batch
            done = 14 * links * c.heads * c.head_dim
            found["fused attention"] = found.get("fused attention", 0) + done
    return found


def _sdpa(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    return flop_counter.sdpa_flop_count(query, key, value)


def _sdpa_backward(
    gradient: Sequence[int],
    query: Sequence[int],
    key: Sequence[int],
    value: Sequence[int],
    *_: Any,
    **__: Any,
) -> int:
    return flop_counter.sdpa_backward_flop_count(gradient, query, key, value)


def build(want: tuple[str, ...], *, seed: int, **sizes: Any) -> Built:
    """One step of ours, then one product of each shape, in turn."""
    tokens, labels = tokens_of(sizes, seed)
    model, batch = circuit(sizes, seed), (tokens, None)
    flops = step_flops(model, batch, labels, seed)
    parts: dict[str, Any] = {
        OURS: training_step(model, lambda generator: model(batch, generator).logits, labels, seed)
    }
    generator = seeded(seed)
    work = {OURS: sum(flops.values())}
    for name, (m, k, n) in SHAPES.items():
        a, b = (torch.randn(*shape, generator=generator) for shape in ((m, k), (k, n)))
        out = torch.empty(m, n)  # reused: a fresh one would time the system's page faults
        parts[name] = {"mm": lambda a=a, b=b, out=out: torch.mm(a, b, out=out)}
        work[name] = 2 * m * k * n
    return Built(parts, {"flops": work, "flops_by_operator": flops})


def fractions(points: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Rates in GFLOP/s, and the step's as a fraction of the best square product's."""
    point = points[0]
    flops, times = point["notes"]["flops"], point["time"]
    rates = {name: flops[name] / times[name]["wall"] / 1e9 for name in times}
    peak = max(rates[f"mm {n}"] for n in SQUARE)
    learning = times[OURS]["parts"]
    found = {f"gflops/{name}": rate for name, rate in rates.items()}
    passes = flops[OURS] / (learning["forward"] + learning["backward"]) / 1e9
    return {
        **found,
        "gflops/peak": peak,
        "fraction": rates[OURS] / peak,
        "fraction without AdamW": passes / peak,
    }


CASES = [
    Case(
        "gemm",
        "fraction of the measured GEMM peak, whole training step",
        build,
        (OURS, *SHAPES),
        SIZES,
        QUICK,
        WARM,
        metrics=fractions,
        pairs=False,
        budget=25,
    )
]
