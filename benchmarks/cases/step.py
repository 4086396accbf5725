"""The whole training step: against its naive form, Perceiver IO, and itself in bfloat16."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cases.common import (
    CLASSES,
    circuit,
    measured_links,
    seeded,
    tokens_of,
    training_step,
)
from benchmarks.harness import Built, Case
from nacgraph.models.ladder import model_fields
from nacgraph.models.nac import NAC
from tests.naive_model import NaiveNAC, dense_links

OURS, CONCRETE, NAIVE = "ours", "ours, concrete", "naive"
HALF, SINGLE = "bf16-mixed", "fp32"
RIVAL, PACKAGE, PRESET = "perceiver-pytorch", "perceiver-pytorch as it comes", "our perceiver_io"


def perceiver_io(sizes: Mapping[str, Any], narrow: bool, seed: int) -> nn.Module:
    """The PyPI package's Perceiver IO of equal latents, width, depth and heads.

    Args:
        sizes: Those of the circuit.
        narrow: Give its feed-forward blocks our width. The package's are twice as wide as ours
            (it counts the width after GEGLU halves it, we before).
        seed: Seed of its weights.

    Raises:
        ImportError: If the package is not installed (it is a dev dependency).
    """
    from perceiver_pytorch import PerceiverIO

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PerceiverIO(
            depth=sizes["rounds"],
            dim=sizes["width"],
            queries_dim=sizes["width"],
            logits_dim=CLASSES,
            num_latents=sizes["modules"],
            latent_dim=sizes["width"],
            cross_heads=1,
            latent_heads=sizes["heads"],
            cross_dim_head=sizes["read_head_dim"],
            latent_dim_head=sizes["head_dim"],
            decoder_ff=True,
        )
        model.queries = nn.Parameter(torch.randn(8, sizes["width"]))
        for layer in model.modules() if narrow else ():
            inner = getattr(layer, "fn", None)  # of a PreNorm
            if type(inner).__name__ == "FeedForward":
                layer.fn = type(inner)(sizes["width"], mult=2)
    return model.train()


def build(want: tuple[str, ...], *, seed: int, **sizes: Any) -> Built:
    """Forward, backward and AdamW in fp32 (but for bf16-mixed) on random tokens."""
    tokens, labels = tokens_of(sizes, seed)
    batch = (tokens, None)
    models: dict[str, nn.Module] = {}
    parts, notes = {}, {}

    def logits(name: str) -> Callable[[torch.Generator], Tensor]:
        model = models[name]
        if name in (RIVAL, PACKAGE):
            return lambda generator: model(tokens, queries=model.queries).mean(1)
        if name == NAIVE:
            return lambda generator: model(batch, generator)
        if name == HALF:  # as Lightning's bf16-mixed does
            return lambda generator: _half(model, batch, generator)
        return lambda generator: model(batch, generator).logits

    for name in want:
        if name in (RIVAL, PACKAGE):
            models[name] = perceiver_io(sizes, name == RIVAL, seed)
        elif name == PRESET:
            models[name] = circuit(sizes, seed, **model_fields("perceiver_io"))
        elif name == CONCRETE:
            models[name] = circuit(sizes, seed, mode="concrete")
        else:
            model = circuit(sizes, seed)
            models[name] = NaiveNAC(model) if name == NAIVE else model
        parts[name] = training_step(models[name], logits(name), labels, seed)
        parameters = sum(p.numel() for p in models[name].parameters() if p.requires_grad)
        notes[f"parameters, {name}"] = parameters
        if name in (OURS, CONCRETE):
            links = measured_links(models[name], seed)
            notes |= {f"{key}, {name}": value for key, value in links.items()}

    def after(answers: dict[str, Any]) -> dict[str, Any]:
        return same_function(models[OURS], batch, seed) if NAIVE in want else {}

    return Built(parts, notes, after if OURS in want else None)


def _half(model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return model(batch, generator).logits


def same_function(model: NAC, batch: Any, seed: int) -> dict[str, Any]:
    """How far logits in single precision are from those of the naive form, same graph."""
    with torch.no_grad():
        out = model(batch, seeded(seed))
        links = dense_links(out.graph), dense_links(out.readout_graph)
        naive = NaiveNAC(model).run(batch, *links)
    return {"largest_difference": float((out.logits - naive).abs().max() / naive.abs().max())}


SIZES = {
    "modules": 640, "width": 384, "rounds": 8, "heads": 6, "head_dim": 64, "read_head_dim": 64,
    "tokens": 784, "links": 0.05, "batch": 4,
}  # fmt: skip
QUICK = {"modules": 128, "rounds": 2, "tokens": 128, "batch": 2}
WARM = {"modules": 32, "rounds": 1, "tokens": 16, "batch": 2}


def against(name: str, title: str, names: tuple[str, ...], **more: Any) -> Case:
    memory = more.pop("memory", names)
    sizes = {**SIZES, **more.pop("sizes", {})}
    return Case(name, title, build, names, sizes, QUICK, WARM, memory=memory, calls=2, **more)


CASES = [
    against(
        "step_naive",
        "whole training step vs naive, same function",
        (OURS, NAIVE, CONCRETE),
        sizes={"batch": 2},
        memory=(OURS, NAIVE),
        budget=40,
    ),
    against("step_perceiver", "whole training step vs Perceiver IO", (OURS, RIVAL), budget=35),
    against(
        "step_perceivers",
        "whole training step vs other forms of Perceiver IO",
        (OURS, PACKAGE, PRESET),
        memory=(PRESET,),
        budget=25,
        rounds=(2, 15),
        beside=True,
    ),
    against("step_bf16", "whole training step, bf16-mixed vs fp32", (HALF, SINGLE), budget=30),
]
