"""What signatures can reach of a prior: the closed form, the floor, and a fit from random.

At a bandwidth and a width not every target can be reached: no link probability lies below
e^(-2/bandwidth), many modules cannot all be far from each other, and a cosine matrix of rank
``width`` is not any matrix. A prior loss is worth reading only beside this floor.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nacgraph.kernel import DEFAULT_BANDWIDTH, link_probabilities
from nacgraph.priors.matching import MatchedLoss, matched_loss

RANDOM_STARTS = 2  # of the floor, beside the closed form


class Fit(NamedTuple):
    """Signatures (n, S), their permutation π (n,), and the matched loss that they reach."""

    signatures: Tensor
    permutation: Tensor
    loss: float


def lowest_probability(bandwidth: float) -> float:
    """e^(-2/bandwidth): the link probability of opposite signatures, the lowest there is."""
    return math.exp(-2 / bandwidth)


def prior_signatures(target: Tensor, bandwidth: float, width: int) -> tuple[Tensor, float]:
    r"""Signatures whose link probabilities are near the target, in closed form.

    The cosines wanted are :math:`C = 1 + \varepsilon \log T`, not below -1. Their nearest
    positive semidefinite matrix of rank S is known from the eigenvectors; its factor, rows
    normalised, is the answer.

    Returns:
        Signatures (n, width) of the target's type, and the root mean square error of the link
        probabilities off the diagonal.

    Raises:
        ValueError: If the bandwidth is not positive or the width is below 1.
    """
    _check(bandwidth, width)
    n = target.shape[0]
    wide = target.detach().double()
    cosine = (1 + bandwidth * wide.clamp_min(1e-300).log()).clamp_min(-1.0)
    values, vectors = torch.linalg.eigh((cosine + cosine.T) / 2)
    rank = min(n, width)
    factor = vectors[:, n - rank :] * values[n - rank :].clamp_min(0).sqrt()
    signatures = F.pad(F.normalize(factor, dim=-1), (0, width - rank)).contiguous()
    # A row without any part in the factor has no direction: give it one of its own.
    empty = torch.nonzero(signatures.norm(dim=-1) < 0.5)[:, 0]
    signatures[empty, empty % width] = 1.0
    error = _identity_loss(signatures, wide, bandwidth, "mse").sqrt().item()
    return signatures.to(target.dtype), error


def reachable_floor(
    target: Tensor,
    bandwidth: float = DEFAULT_BANDWIDTH,
    width: int = 64,
    steps: int = 200,
    kind: str = "mse",
) -> float:
    """The best prior loss found by moving signatures directly, module i playing part i.

    L-BFGS from the closed form and from a few random starts; deterministic. It is an upper
    bound on the true floor: optimisation shows what can be reached, not what cannot.
    """
    return best_signatures(target, bandwidth, width, steps, kind).loss


def best_signatures(
    target: Tensor,
    bandwidth: float = DEFAULT_BANDWIDTH,
    width: int = 64,
    steps: int = 200,
    kind: str = "mse",
) -> Fit:
    """The signatures that reach :func:`reachable_floor`."""
    _check(bandwidth, width)
    n = target.shape[0]
    wide = target.detach().double().cpu()
    starts = [prior_signatures(wide, bandwidth, width)[0]]
    starts += [_random_signatures(n, width, seed) for seed in range(RANDOM_STARTS)]
    fits = [_descend(start, wide, bandwidth, steps, kind) for start in starts]
    return min(fits, key=lambda fit: fit.loss)


def fit_signatures(
    target: Tensor,
    bandwidth: float = DEFAULT_BANDWIDTH,
    width: int = 64,
    seed: int = 0,
    steps: int = 600,
    kind: str = "mse",
    lr: float = 0.2,
    match_every: int = 10,
) -> Fit:
    """Optimise random signatures under the matched prior loss alone, as training would.

    Adam with the learning rate annealed by a cosine; the permutation is refreshed as in
    training. Where the reachable floor is about zero (planted partition), what is left is the
    optimiser's last step, and comparing ratios means nothing: compare up to 1e-5.
    """
    _check(bandwidth, width)
    wide = target.detach().double().cpu()
    signatures = _random_signatures(wide.shape[0], width, seed).requires_grad_()
    prior = MatchedLoss(wide, kind, match_every=match_every)
    optimizer = torch.optim.Adam([signatures], lr=lr, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        loss = prior(link_probabilities(signatures, signatures, bandwidth), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        # Step 0 refreshes the permutation once more.
        loss = prior(link_probabilities(signatures, signatures, bandwidth), 0)
    return Fit(signatures.detach(), prior.permutation, loss.item())


def _descend(start: Tensor, target: Tensor, bandwidth: float, steps: int, kind: str) -> Fit:
    signatures = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [signatures],
        max_iter=steps,
        history_size=20,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-9,
        tolerance_change=1e-10,
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = _identity_loss(signatures, target, bandwidth, kind)
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        loss = _identity_loss(signatures, target, bandwidth, kind).item()
    return Fit(signatures.detach(), torch.arange(len(target)), loss)


def _identity_loss(signatures: Tensor, target: Tensor, bandwidth: float, kind: str) -> Tensor:
    link = link_probabilities(signatures, signatures, bandwidth)
    return matched_loss(link, target, torch.arange(len(target)), kind)


def _random_signatures(n: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, width, generator=generator, dtype=torch.float64)


def _check(bandwidth: float, width: int) -> None:
    if not bandwidth > 0:
        raise ValueError(f"bandwidth: wanted a number > 0, got {bandwidth!r}")
    if width < 1:
        raise ValueError(f"width: wanted an integer of at least 1, got {width!r}")
