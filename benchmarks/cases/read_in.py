"""The folded read-in against the naive one, which makes keys and values of (B, U, T, ·)."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.cases.common import difference, forward_backward, seeded
from benchmarks.harness import Built, Case
from nacgraph.nn.read_in import ReadIn
from tests import naive_model

OURS, NAIVE = "folded", "naive"


def build(
    want: tuple[str, ...],
    *,
    modules: int,
    tokens: int,
    width: int,
    batch: int,
    heads: int,
    head_dim: int,
    seed: int,
) -> Built:
    """Both with gradients to states, codes, tokens and all weights; without the ModFFN."""
    generator = seeded(seed)
    layer = ReadIn(width, width, width, heads, head_dim, generator=generator)
    states, codes, x = (
        torch.randn(*shape, generator=generator).requires_grad_()
        for shape in ((modules, width), (modules, width), (batch, tokens, width))
    )
    unused = {id(p) for p in layer.ffn.parameters()}
    inputs = [states, codes, x, *(p for p in layer.parameters() if id(p) not in unused)]
    calls = {
        OURS: lambda: layer.attend(states, codes, layer.norm_tokens(x), None),
        NAIVE: lambda: naive_model.read(layer, states, codes, x, None),
    }
    parts = {name: forward_backward(calls[name], inputs, seeded(seed + 1)) for name in want}

    def after(answers: dict[str, Any]) -> dict[str, Any]:
        return difference(answers, OURS, NAIVE)

    return Built(parts, after=after if len(want) == 2 else None)


SIZES = {"modules": 256, "tokens": 784, "width": 384, "batch": 4, "heads": 1, "head_dim": 64}
QUICK = {"modules": 32, "tokens": 256, "batch": 2}
WARM = {"modules": 4, "tokens": 8, "batch": 2}

CASES = [
    Case(
        "read_in",
        "folded read-in vs naive, forward + backward",
        build,
        (OURS, NAIVE),
        SIZES,
        QUICK,
        WARM,
        memory=(OURS, NAIVE),
        budget=25,
    ),
    Case(
        "read_in_memory",
        "folded read-in, memory of one forward + backward",
        build,
        (OURS,),
        {**SIZES, "modules": 640},
        {"modules": 64, "tokens": 256},
        WARM,
        memory=(OURS,),
        timed=False,
        barred_memory=True,
    ),
]
