"""The optimizer: AdamW, which parameters it decays, and the learning rate of every step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nacgraph.graph.kernel import SharedNoise

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def learning_rate(step: int, peak: float, warmup: int, steps: int) -> float:
    """Linear warm-up to ``peak`` over ``warmup`` steps, then a cosine down to 1 % of it."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def noise_generator(seed: int, step: int, rank: int = 0, world: int = 1) -> SharedNoise:
    """The edge noise of a step, the same in a resumed as in an unbroken run, over any number of
    processes."""
    # PyTorch's CPU generator looks at the low 32 bits of a seed only, so both are hashed into them.
    mixed = np.random.SeedSequence(seed, spawn_key=(step,)).generate_state(1)[0]
    noise = SharedNoise()
    noise.manual_seed(int(mixed))
    noise.rank, noise.world = rank, world
    return noise


def decays(model: nn.Module) -> dict[str, bool]:
    """Name of every learning parameter → whether weight decay applies to it.

    It does to matrices, except embeddings, positions and the descriptors of modules, whose
    length is not a measure of complexity.
    """
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}

    def decayed(name: str, p: Tensor) -> bool:
        descriptor = name.startswith("generator.") and name.endswith(("signatures", "codes"))
        return not (p.ndim < 2 or id(p) in embeddings or descriptor or "position" in name)

    return {n: decayed(n, p) for n, p in model.named_parameters() if p.requires_grad}


def make_optimizer(
    model: nn.Module, rate: float, weight_decay: float, signature_rate: float = 1.0
) -> torch.optim.AdamW:
    """AdamW over the learning parameters of ``model``: decayed, undecayed, and signatures.

    Every group carries the factor ``scale`` of its learning rate: ``signature_rate`` for the
    signatures, of which only directions count, 1 for all else.
    """
    decayed = decays(model)
    named = dict(model.named_parameters())
    signatures = {n for n in decayed if n.startswith("generator.") and n.endswith("signatures")}
    rest = [n for n in decayed if n not in signatures]
    groups = [
        ([n for n in rest if decayed[n]], weight_decay, 1.0),
        ([n for n in rest if not decayed[n]], 0.0, 1.0),
        (sorted(signatures), 0.0, signature_rate),
    ]
    # One pass over a parameter's numbers, not ten. On an accelerator the choice is PyTorch's:
    # fused, it would keep its counter of steps where the parameter is.
    fused = all(named[n].device.type == "cpu" for n in decayed)
    optimizer = torch.optim.AdamW(
        [
            {"params": [named[n] for n in names], "weight_decay": decay, "scale": scale}
            for names, decay, scale in groups
            if names
        ],
        lr=rate,
        fused=fused or None,
    )
    return optimizer


def clip_gradients(parameters: Sequence[Tensor], limit: float) -> float:
    """Scale the gradients down to a norm of ``limit`` (0: never); returns the norm that they had.

    The numbers are those of ``torch.nn.utils.clip_grad_norm_``, which takes twice as long: it
    sorts hundreds of tensors by device and type, and multiplies them also where the factor is 1.
    All gradients must be on one device.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return 0.0
    total = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    norm = float(total)
    if 0 < limit < norm + 1e-5:  # else the factor is 1
        torch._foreach_mul_(gradients, (limit / (total + 1e-6)).clamp(max=1.0))
    return norm


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's state as ``moment/parameter name`` → tensor."""
    return {
        f"{moment}/{name}": optimizer.state[p][moment]
        for name, p in model.named_parameters()
        if p in optimizer.state
        for moment in MOMENTS
    }


def restore_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Put back what :func:`optimizer_tensors` gave."""
    for name, p in model.named_parameters():
        if f"step/{name}" in tensors:
            state = {m: tensors[f"{m}/{name}"].clone() for m in MOMENTS}
            # AdamW keeps its step counter on the CPU, its moments where the parameter is.
            optimizer.state[p] = {m: t if m == "step" else t.to(p) for m, t in state.items()}
