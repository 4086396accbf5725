"""How time and memory of a training step grow with the modules, at one mean degree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.cases.common import circuit, measured_links, tokens_of, training_step
from benchmarks.harness import Built, Case, exponent

OURS = "ours"


def build(want: tuple[str, ...], *, seed: int, **sizes: Any) -> Built:
    """Forward, backward and AdamW; no prior, which would want a target of U x U."""
    tokens, labels = tokens_of(sizes, seed)
    model = circuit(sizes, seed)
    parts = training_step(
        model, lambda generator: model((tokens, None), generator).logits, labels, seed
    )
    return Built({OURS: parts}, measured_links(model, seed))


def exponents(points: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of time and memory, over all sizes and over the upper half; the worse of both counts.

    At small sizes what does not grow (weights, Python) hides what does: the upper half shows it.
    """
    sizes = [point["sizes"]["modules"] for point in points]
    found: dict[str, float] = {}
    for name, values in (
        ("time", [point["time"][OURS]["wall"] for point in points]),
        ("memory", [point["memory"][OURS] for point in points]),
    ):
        half = len(sizes) // 2 if len(sizes) >= 4 else 0
        every, upper = exponent(sizes, values), exponent(sizes[half:], values[half:])
        found |= {f"{name} exponent, all": every, f"{name} exponent, upper half": upper}
        found[f"{name} exponent"] = max(every, upper)
    largest = max(points, key=lambda point: point["sizes"]["modules"])
    found["largest"] = largest["sizes"]["modules"]
    found["peak_gib"] = largest["memory"][OURS] / 2**30
    return found


CASES = [
    Case(
        "growth",
        "growth of a training step at mean degree 32",
        build,
        (OURS,),
        {
            "width": 128, "rounds": 4, "heads": 4, "head_dim": 32, "read_head_dim": 32,
            "tokens": 64, "batch": 1, "degree": 32,
        },
        {},
        {"modules": 64},
        memory=(OURS,),
        points=tuple({"modules": n} for n in (512, 1024, 2048, 4096, 8192, 16384)),
        quick_points=tuple({"modules": n} for n in (256, 1024)),
        calls=2,
        budget=12,
        rounds=(3, 9),
        metrics=exponents,
        barred_memory=True,
    )
]  # fmt: skip
