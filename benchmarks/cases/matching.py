"""Refreshing the permutation between circuit and prior, against doing it afresh and naively."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from benchmarks.cases.common import seeded
from benchmarks.harness import Built, Case
from nacgraph.graph.links import DEFAULT_BANDWIDTH, link_probabilities
from nacgraph.priors.base import get_prior
from nacgraph.priors.matching import match, matched_loss
from nacgraph.priors.reachable import prior_signatures

OURS, NAIVE = "warm refresh", "naive cost, cold Hungarian"
CHUNK = 2**26  # numbers of the naive U x U x U tensor that exist at a time
STEPS, RATE = 10, 1e-2  # between two refreshes; the signatures' learning rate by default
WIDTH = 64  # of signatures
TASK = 3.0  # the task's part of the gradient, here noise, over the prior's


def naive_match(link: Tensor, target: Tensor) -> Tensor:
    """One assignment by the distances of rows, each of U numbers: U x U x U differences."""
    n = len(link)
    rows = max(1, CHUNK // n**2)
    cost = [(target[i : i + rows, None] - link[None]).square().sum(-1) for i in range(0, n, rows)]
    return torch.from_numpy(linear_sum_assignment(torch.cat(cost).numpy())[1])


def between_refreshes(target: Tensor, strayed: float, seed: int) -> tuple[Tensor, Tensor]:
    """Link probabilities ten steps after a refresh, and the permutation found at that refresh.

    Training has begun: signatures lie near the prior's, in an order of their own, half of their
    direction noise. The steps descend the prior's loss, with noise in place of the task's gradient.

    Args:
        target: The prior's.
        strayed: Share of modules that meanwhile took each other's places.
        seed: Of order and noise.
    """
    generator, n = seeded(seed), len(target)
    order = torch.randperm(n, generator=generator)
    near = F.normalize(prior_signatures(target, DEFAULT_BANDWIDTH, WIDTH)[0].float(), dim=-1)
    signatures = near[order] + torch.randn(n, WIDTH, generator=generator) * WIDTH**-0.5
    signatures.requires_grad_()

    def link() -> Tensor:
        return link_probabilities(signatures, signatures, DEFAULT_BANDWIDTH)

    permutation = match(link(), target, start=order.argsort())
    optimizer = torch.optim.AdamW([signatures], lr=RATE, weight_decay=0.0)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = matched_loss(link(), target, permutation)
        (gradient,) = torch.autograd.grad(loss, [signatures])
        noise = torch.randn(gradient.shape, generator=generator)
        signatures.grad = gradient + TASK * gradient.square().mean().sqrt() * noise
        optimizer.step()
    with torch.no_grad():
        movers = torch.randperm(n, generator=generator)[: int(strayed * n)]
        signatures[movers] = signatures[movers.roll(1)]
    return link().detach(), permutation


def build(want: tuple[str, ...], *, modules: int, strayed: float, seed: int) -> Built:
    """The refresh that training does, against a match that remembers nothing."""
    target = get_prior("planted_partition").edge_probabilities(modules).float()
    link, permutation = between_refreshes(target, strayed, seed)
    calls = {
        OURS: lambda: match(link, target, start=permutation),
        NAIVE: lambda: naive_match(link, target),
    }

    def loss(found: Tensor) -> float:
        return float(matched_loss(link.double(), target.double(), found))

    def after(answers: dict[str, Any]) -> dict[str, Any]:
        reached = {name: loss(answer) for name, answer in answers.items()}
        return {
            "loss": {**reached, "without a refresh": loss(permutation)},
            "modules whose part changed": int((answers[OURS] != permutation).sum()),
        }

    return Built({name: {"match": calls[name]} for name in want}, after=after)


def gaps(points: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """``loss above naive``: at most 0 where the warm refresh is no worse."""
    loss = points[0]["notes"]["loss"]
    return {
        "loss": loss[OURS],
        "naive loss": loss[NAIVE],
        "loss above naive": loss[OURS] - loss[NAIVE],
    }


CASES = [
    Case(
        name,
        f"matching refresh, warm{when}, vs naive cost + cold Hungarian",
        build,
        (OURS, NAIVE),
        {"modules": 1024, "strayed": strayed},
        {"modules": 256},
        {"modules": 64},
        memory=memory,
        budget=budget,
        metrics=gaps,
        beside=name != "matching",
    )
    for name, when, strayed, memory, budget in (
        ("matching", "", 0.0, (OURS, NAIVE), 25),
        ("matching_strayed", ", 5 % of modules out of place", 0.05, (), 15),
    )
]
