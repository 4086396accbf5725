"""How far a circuit's link probabilities are from every prior, beside what could be expected."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from nacgraph.graph.links import link_probabilities
from nacgraph.priors import PRIORS, GraphPrior, get_prior, match, matched_loss, reachable_floor
from nacgraph.viz.statistics.values import Counter, Progress, Statistic, defined, spread, undefined

# Steps of L-BFGS for the floor: all of them while that is cheap. At 1024 modules 50 steps take 6 s
# a prior and end 1 to 7 % above those of 300, which take 9 to 30 s.
SMALL, STEPS, FEWER_STEPS = 200, 300, 50
# Untrained circuits of more modules than this hardly differ (sd 1e-4 of the mean): two are enough.
LARGE, FEWER_CIRCUITS = 512, 2
PARTS = ("raw", "matched", "floor", "untrained")


def prior_distances(
    probability: np.ndarray,
    bandwidth: float,
    signature_dim: int,
    *,
    kind: str = "mse",
    seed: int = 0,
    untrained: int = 4,
    priors: Mapping[str, GraphPrior] | None = None,
    progress: Progress | None = None,
) -> dict[str, dict[str, Statistic]]:
    """The prior loss of a circuit against priors.

    Args:
        probability: Link probabilities P, (U, U).
        bandwidth: Bandwidth ε of the circuit, for the floor and the untrained circuits.
        signature_dim: Width S of its signatures.
        kind: ``mse`` or ``kl``.
        seed: Of the matching and of the untrained signatures.
        untrained: Number of untrained circuits, of which beyond 512 modules two are taken.
        progress: Called with what was done and the fraction of all.

    Returns:
        For every prior that asks for any: ``raw``, the loss with modules as they are numbered;
        ``matched``, after matching; ``floor``, the least that signatures were found to reach
        (an upper bound, after ``steps`` steps); ``untrained``, the matched loss of circuits with
        random signatures, mean and ``sd``. Undefined below two modules, or where a prior does
        not do this many.

    Raises:
        ValueError: If the matrix is not square or the kind is unknown.
    """
    link = torch.as_tensor(np.asarray(probability, dtype=np.float64))
    if link.dim() != 2 or link.shape[0] != link.shape[1]:
        raise ValueError(f"probability: expected a square matrix, got shape {tuple(link.shape)}")
    n = len(link)
    if priors is None:
        priors = {name: get_prior(name) for name in PRIORS.names()}
    chosen = {name: prior for name, prior in priors.items() if not prior.is_none}
    if n > LARGE:
        untrained = min(untrained, FEWER_CIRCUITS)
    # The same untrained circuits for every prior: their differences are then the priors' own.
    strangers = [_untrained(n, signature_dim, bandwidth, seed, k) for k in range(untrained)]
    counter = Counter(progress, len(chosen) * (3 + untrained))
    result = {}
    for name, prior in chosen.items():
        try:
            if n < 2:
                raise ValueError(f"a circuit of {n} modules has no pairs")
            target = prior.edge_probabilities(n).double()
        except Exception as error:  # a stranger's broken prior must not hide the others
            why = str(error) if isinstance(error, ValueError) else f"prior {name} raised {error!r}"
            result[name] = {part: undefined(why) for part in PARTS}
            counter.step(f"prior {name}", 3 + untrained)
            continue
        result[name] = _distances(
            link, target, strangers, name, bandwidth, signature_dim, kind, seed, counter
        )
    return result


def _distances(
    link: Tensor,
    target: Tensor,
    strangers: list[Tensor],
    name: str,
    bandwidth: float,
    width: int,
    kind: str,
    seed: int,
    counter: Counter,
) -> dict[str, Statistic]:
    n = len(link)
    raw = matched_loss(link, target, torch.arange(n), kind).item()
    matched = matched_distance(link, target, kind, seed)
    counter.step(f"prior {name}: matched")
    steps = STEPS if n <= SMALL else FEWER_STEPS
    floor = reachable_floor(target, bandwidth, width, steps=steps, kind=kind)
    counter.step(f"prior {name}: floor", 2)
    losses = []
    for k, stranger in enumerate(strangers):
        losses.append(matched_distance(stranger, target, kind, seed))
        counter.step(f"prior {name}: untrained circuit {k + 1} of {len(strangers)}")
    return {
        "raw": defined(raw, kind=kind),
        "matched": defined(matched, kind=kind),
        "floor": defined(floor, kind=kind, steps=steps),
        "untrained": defined(
            float(np.mean(losses)), sd=spread(losses), circuits=len(losses), kind=kind
        )
        if losses
        else undefined("no untrained circuit was asked for"),
    }


def matched_distance(link: Tensor, target: Tensor, kind: str = "mse", seed: int = 0) -> float:
    """Loss between link probabilities (n, n) and a target (n, n) after matching from scratch."""
    return matched_loss(link, target, match(link, target, seed=seed, kind=kind), kind).item()


def _untrained(n: int, width: int, bandwidth: float, seed: int, k: int) -> Tensor:
    """P of random signatures: normal numbers, as the unconditional generator begins with."""
    key = int(np.random.SeedSequence([seed, k]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    generator = torch.Generator().manual_seed(key)
    signatures = torch.randn(n, width, generator=generator, dtype=torch.float64)
    return link_probabilities(signatures, signatures, bandwidth)
