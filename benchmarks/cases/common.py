"""What several cases share: graphs and signatures of an asked density, parts of a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacgraph.graph.forms import EdgeGraph, Rows, SampledGraph
from nacgraph.models.nac import NAC, NACConfig
from nacgraph.training.optim import make_optimizer, noise_generator
from tests.naive_model import PassThrough

CLASSES = 200  # as Tiny-ImageNet
RATE = 1e-6  # steps of full cost that leave the circuit, and so its density, where it was


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def forward_backward(
    call: Callable[[], Tensor], inputs: Sequence[Tensor], generator: torch.Generator
) -> dict[str, Callable[[], Any]]:
    """Parts ``forward`` and ``backward`` of a call; the gradient of its result is random and fixed.

    The answer of ``backward`` is the result followed by the gradients of ``inputs``.
    """
    state: dict[str, Tensor] = {}

    def forward() -> None:
        state["out"] = call()

    def backward() -> tuple[Tensor, ...]:
        out = state.pop("out")
        if "gradient" not in state:
            state["gradient"] = torch.randn(out.shape, generator=generator)
        return (out.detach(), *torch.autograd.grad(out, inputs, state["gradient"]))

    return {"forward": forward, "backward": backward}


def difference(answers: Mapping[str, Sequence[Tensor]], ours: str, rival: str) -> dict[str, Any]:
    """Largest difference of result and gradients, relative to the largest entry of each."""
    pairs = zip(answers[ours], answers[rival], strict=True)
    worst = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
    return {"largest_difference": worst}


def mask_of(modules: int, density: float, generator: torch.Generator) -> Tensor:
    """Links at random, each on its own; every module hears itself."""
    mask = torch.rand(modules, modules, generator=generator) < density
    return mask | torch.eye(modules, dtype=torch.bool)


def graphs_of(mask: Tensor, generator: torch.Generator) -> tuple[EdgeGraph, SampledGraph]:
    """The same graph as edges and as a mask, each with log weights that ask for a gradient."""
    log_weight = torch.rand(mask.shape, generator=generator).log()
    made = SampledGraph(log_weight, log_weight, mask).rows
    leaf = Rows(made.rowptr, made.sender, made.log_weight.clone().requires_grad_(), made.longest)
    size, unit = len(mask), torch.eye(len(mask))  # signatures, of which no case asks anything
    edges = EdgeGraph(leaf, size, size, None, unit, unit, 1.0, True)
    dense = log_weight.masked_fill(~mask, 0.0).requires_grad_()
    return edges, SampledGraph(log_weight, dense, mask)


@cache
def bandwidth_for(probability: float, width: int) -> float:
    r"""ε at which random signatures of this width link with this probability in the mean.

    The cosine c of two random directions has density :math:`\propto (1 - c^2)^{(S - 3)/2}`.
    """
    cosine = np.linspace(-1, 1, 20001)[1:-1]
    weight = (1 - cosine**2) ** ((width - 3) / 2)
    weight /= weight.sum()
    low, high = 1e-3, 1e3
    for _ in range(100):
        middle = math.sqrt(low * high)
        if float(weight @ np.exp(-(1 - cosine) / middle)) < probability:
            low = middle
        else:
            high = middle
    return middle


def circuit(sizes: Mapping[str, Any], seed: int, **fields: Any) -> NAC:
    """A NAC on tokens whose random signatures give the asked share of links (self-links apart)."""
    others = sizes["modules"] - 1
    if "degree" in sizes:
        probability = sizes["degree"] / others
    else:
        probability = (sizes["links"] * sizes["modules"] - 1) / others
    config = NACConfig(
        modules=sizes["modules"],
        readouts=8,
        width=sizes["width"],
        code_dim=sizes["width"],
        signature_dim=64,
        heads=sizes["heads"],
        head_dim=sizes["head_dim"],
        read_heads=1,
        read_head_dim=sizes["read_head_dim"],
        rounds=sizes["rounds"],
        read_every=0,
        **{"mode": "hard", "bandwidth": bandwidth_for(probability, 64), **fields},
    )
    return NAC(config, PassThrough(), CLASSES, seed=seed).train()


def tokens_of(sizes: Mapping[str, Any], seed: int) -> tuple[Tensor, Tensor]:
    """Random tokens (B, T, D) and labels (B,)."""
    generator = seeded(seed + 1)
    shape = (sizes["batch"], sizes["tokens"], sizes["width"])
    labels = torch.randint(CLASSES, (sizes["batch"],), generator=generator)
    return torch.randn(shape, generator=generator), labels


def training_step(
    model: nn.Module, logits: Callable[[torch.Generator], Tensor], labels: Tensor, seed: int
) -> dict[str, Callable[[], Any]]:
    """Parts ``forward``, ``backward`` and ``AdamW`` of a step; noise of step k from (seed, k)."""
    optimizer = make_optimizer(model, RATE, 0.05)
    state: dict[str, Any] = {"step": 0}

    def forward() -> None:
        state["loss"] = F.cross_entropy(
            logits(noise_generator(seed, state["step"])).float(), labels
        )
        state["step"] += 1

    def backward() -> None:
        state.pop("loss").backward()

    def adamw() -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return {"forward": forward, "backward": backward, "AdamW": adamw}


def measured_links(model: NAC, seed: int) -> dict[str, Any]:
    """How dense a graph drawn from the model's signatures is, and how sparse it was asked to be."""
    signatures = model.generator().processor_signatures
    with torch.no_grad():
        graph = model.circuit.kernel(signatures, mode=model.config.mode, generator=seeded(seed))
    heard = graph.senders_of_each().float().mean()
    return {
        "bandwidth": model.config.bandwidth,
        "density": graph.density,
        "mean_degree": float(heard) - 1,  # without itself
    }
