"""Attention along links: the fused backend against its twins, and where ``auto`` should switch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.cases.common import difference, forward_backward, graphs_of, mask_of, seeded
from benchmarks.harness import Built, Case, median
from nacgraph.graph.forms import EdgeGraph, SampledGraph
from nacgraph.nn.attention import BACKENDS, Attention

FUSED, SCATTER, DENSE, SDPA = "fused", "scatter", "dense", "dense, no mask gradient"
DENSITIES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
SCATTER_UP_TO = 0.1  # its messages grow with batch x links: beyond, they fill the memory


def inputs_of(batch: int, modules: int, heads: int, width: int, seed: int) -> list[Tensor]:
    generator, shape = seeded(seed), (batch, modules, heads, width // heads)
    return [torch.randn(shape, generator=generator).requires_grad_() for _ in range(3)]


def backend(name: str) -> Attention:
    """Raises ValueError where nacgraph has no such backend."""
    if name not in BACKENDS:
        raise ValueError(f"backend: expected one of {', '.join(BACKENDS)}, got {name!r}")
    return Attention(name)


def with_gradient(
    name: str, inputs: Sequence[Tensor], edges: EdgeGraph, dense: SampledGraph, seed: int
) -> dict[str, Callable[[], Any]]:
    """Parts of attention by this backend, gradient to q, k, v and the log weights."""
    execute, graph = backend(name), dense if name == DENSE else edges
    weight = dense.log_weight if name == DENSE else edges.rows.log_weight
    return forward_backward(lambda: execute(*inputs, graph), [*inputs, weight], seeded(seed + 4))


def without_gradient(inputs: Sequence[Tensor], graph: SampledGraph) -> Callable[[], Tensor]:
    """SDPA under a constant mask, which costs no U x U gradient, but does not train signatures."""
    bias = graph.log_weight.detach().masked_fill(~graph.mask, -math.inf)

    def call() -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in inputs)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2)

    return call


def build(
    want: tuple[str, ...],
    *,
    modules: int,
    width: int,
    heads: int,
    batch: int,
    links: float,
    seed: int,
) -> Built:
    """Gradients go to q, k, v and the log weights of one and the same graph, which is given."""
    inputs = inputs_of(batch, modules, heads, width, seed)
    mask = mask_of(modules, links, seeded(seed + 2))
    edges, dense = graphs_of(mask, seeded(seed + 3))
    parts = {}
    for name in want:
        if name == SDPA:
            call = without_gradient(inputs, dense)
            parts[name] = forward_backward(call, inputs, seeded(seed + 4))
        else:
            parts[name] = with_gradient(name, inputs, edges, dense, seed)

    def after(answers: dict[str, Any]) -> dict[str, Any]:
        if DENSE in answers:
            *others, weight = answers[DENSE]
            answers[DENSE] = (*others, weight[mask])  # in the order of the edges
        fewest = min(map(len, answers.values()))
        return difference({name: a[:fewest] for name, a in answers.items()}, *want)

    return Built(parts, {"density": edges.density}, after if len(want) == 2 else None)


def build_sweep(
    want: tuple[str, ...], *, modules: int, width: int, heads: int, batch: int, seed: int
) -> Built:
    """Every backend at every density, all in turn in one process."""
    inputs = inputs_of(batch, modules, heads, width, seed)
    parts = {}
    for density in DENSITIES:
        graphs = graphs_of(mask_of(modules, density, seeded(seed + 2)), seeded(seed + 3))
        for name in (FUSED, DENSE, SCATTER):
            if (label := labelled(name, density)) in want:
                parts[label] = with_gradient(name, inputs, *graphs, seed)
    return Built(parts)


def labelled(name: str, density: float) -> str:
    return f"{name} {100 * density:g} %"


def sweep_names() -> tuple[str, ...]:
    return tuple(
        labelled(name, density)
        for density in DENSITIES
        for name in (FUSED, DENSE, SCATTER)
        if name != SCATTER or density <= SCATTER_UP_TO
    )


def sweep_figures(points: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """``dense/fused U 64 5 %``: how many times as long; ``crossover U 64``: the share of links."""
    found: dict[str, float] = {}
    for point in points:
        size, ratios = point["sizes"]["modules"], []
        for density in DENSITIES:
            walls = {
                n: point["time"].get(labelled(n, density), {}).get("walls", ())
                for n in (FUSED, DENSE, SCATTER)
            }
            for rival in (DENSE, SCATTER):
                if walls[rival]:
                    pairs = zip(walls[rival], walls[FUSED], strict=True)
                    ratio = median([b / a for b, a in pairs])
                    found[f"{rival}/fused U {size} {100 * density:g} %"] = ratio
                    if rival == DENSE:
                        ratios.append(ratio)
        crossing = crossover(DENSITIES, ratios)
        if crossing is not None:
            found[f"crossover U {size}"] = crossing
    return found


def crossover(densities: Sequence[float], ratios: Sequence[float]) -> float | None:
    """The density at which dense / fused falls through 1, between points in logarithms."""
    for i in range(len(ratios) - 1):
        if ratios[i] >= 1 > ratios[i + 1]:
            high, low = math.log(ratios[i]), math.log(ratios[i + 1])
            share = high / (high - low)
            return math.exp(
                (1 - share) * math.log(densities[i]) + share * math.log(densities[i + 1])
            )
    return None


LARGE = {"modules": 1024, "width": 128, "heads": 8, "batch": 8, "links": 0.05}
HUGE = {**LARGE, "modules": 4096, "batch": 1, "links": 0.01}
QUICK = {"modules": 256, "batch": 2}
WARM = {"modules": 32, "batch": 2}


def against(name: str, rival: str, sizes: Mapping[str, Any], title: str, **more: Any) -> Case:
    return Case(
        name,
        f"fused attention vs {title}",
        build,
        (FUSED, rival),
        sizes,
        QUICK,
        WARM,
        memory=(FUSED, rival),
        **more,
    )


CASES = [
    against("attention_scatter", SCATTER, LARGE, "gather + scatter", barred_memory=True),
    against("attention_dense", DENSE, LARGE, "dense with mask gradient"),
    against("attention_dense_4096", DENSE, HUGE, "dense with mask gradient", budget=20),
    against("attention_scatter_4096", SCATTER, HUGE, "gather + scatter", budget=8, beside=True),
    against(
        "attention_sdpa", SDPA, LARGE, "dense SDPA without mask gradient", budget=8, beside=True
    ),
    Case(
        "attention_density",
        "fused, dense and scatter attention by share of links",
        build_sweep,
        sweep_names(),
        {"width": 128, "heads": 8},
        {},
        WARM,
        points=(
            {"modules": 64, "batch": 16},
            {"modules": 256, "batch": 8},
            {"modules": 1024, "batch": 2},
        ),
        quick_points=({"modules": 64, "batch": 4},),
        budget=16,
        metrics=sweep_figures,
        pairs=False,
    ),
]
