"""What signatures can reach of a prior: the closed form, the floor, and a fit from random.

At a bandwidth and a width not every target can be reached: no link probability lies below
e^(-2/bandwidth), many modules cannot all be far from each other, and a cosine matrix of rank
``width`` is not any matrix. A prior loss is worth reading only beside this floor.
"""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from nacgraph.graph.links import DEFAULT_BANDWIDTH, link_probabilities
from nacgraph.priors.matching import MatchedLoss, match, matched_loss
from nacgraph.utils.check import check_positive, check_whole
from nacgraph.utils.threads import few_threads

FLOOR_SEEDS = (101, 102)  # random starts of the floor, beside the closed form


class Fit(NamedTuple):
    """Signatures (n, S), their permutation π (n,), and the matched loss that they reach."""

    signatures: Tensor
    permutation: Tensor
    loss: float


_remembered: dict[tuple[str, float, int, int, str], Fit] = {}
REMEMBERED = 4  # answers of best_signatures


def lowest_probability(bandwidth: float) -> float:
    """e^(-2/bandwidth): the link probability of opposite signatures, the lowest there is."""
    return math.exp(-2 / bandwidth)


def prior_signatures(target: Tensor, bandwidth: float, width: int) -> tuple[Tensor, float]:
    r"""Signatures whose link probabilities are near the target, in closed form.

    The cosines expected are :math:`C = 1 + \varepsilon \log T`, not below -1. Their nearest
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
    steps: int = 300,
    kind: str = "mse",
) -> float:
    """The best prior loss found by moving signatures directly, module i playing part i.

    L-BFGS from the closed form and from random starts (one beyond 512 modules); deterministic.
    It is an upper bound on the true floor: optimisation shows what can be reached, not what
    cannot.
    """
    return best_signatures(target, bandwidth, width, steps, kind).loss


def best_signatures(
    target: Tensor,
    bandwidth: float = DEFAULT_BANDWIDTH,
    width: int = 64,
    steps: int = 300,
    kind: str = "mse",
) -> Fit:
    """The signatures that reach :func:`reachable_floor`.

    A process remembers the last few answers: a run that starts from a prior also shows its floor.
    """
    _check(bandwidth, width)
    wide = target.detach().double().cpu().contiguous()
    key = (hashlib.sha256(wide.numpy().data).hexdigest(), bandwidth, width, steps, kind)
    if key not in _remembered:
        fit = _best_signatures(wide, bandwidth, width, steps, kind)
        if len(_remembered) >= REMEMBERED:
            del _remembered[next(iter(_remembered))]
        _remembered[key] = fit
    fit = _remembered[key]
    return Fit(fit.signatures.clone(), fit.permutation.clone(), fit.loss)


def _best_signatures(wide: Tensor, bandwidth: float, width: int, steps: int, kind: str) -> Fit:
    n = len(wide)
    with few_threads(n):
        seeds = FLOOR_SEEDS if n <= 512 else FLOOR_SEEDS[:1]
        starts = [prior_signatures(wide, bandwidth, width)[0]]
        starts += [_random_signatures(n, width, seed) for seed in seeds]
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
    """Optimise random signatures under the matched prior loss alone (no task).

    As in training: Adam, with the learning rate annealed by a cosine, and the permutation
    refreshed every ``match_every`` steps. Half as many steps of L-BFGS follow with the last
    permutation, since Adam creeps where the floor is nearly zero (planted partition: 3e-7 after
    Adam, 2.3e-7 at the floor, when a probability is off by 0.0005 either way).
    """
    _check(bandwidth, width)
    wide = target.detach().double().cpu()
    signatures = _random_signatures(wide.shape[0], width, seed).requires_grad_()
    prior = MatchedLoss(wide, kind, match_every=match_every)
    optimizer = torch.optim.Adam([signatures], lr=lr, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with few_threads(len(wide)):
        for step in range(steps):
            loss = prior(link_probabilities(signatures, signatures, bandwidth), step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            link = link_probabilities(signatures, signatures, bandwidth)
            permutation = match(link, wide, start=prior.permutation, kind=kind)
        start = signatures.detach()[permutation]  # in the target's order, as the descent wants it
        found = _descend(start, wide, bandwidth, steps // 2, kind)
        return Fit(found.signatures[permutation.argsort()], permutation, found.loss)


def _descend(start: Tensor, target: Tensor, bandwidth: float, steps: int, kind: str) -> Fit:
    """L-BFGS with every module in its place; SciPy's, since torch's takes seconds to import."""

    # The loss does not see lengths; of length 1, all gradients have a scale that gtol can judge.
    start = F.normalize(start, dim=-1)

    def loss_and_gradient(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        signatures = torch.from_numpy(flat).view(start.shape).requires_grad_()
        loss = _identity_loss(signatures, target, bandwidth, kind)
        (gradient,) = torch.autograd.grad(loss, signatures)
        return loss.item(), gradient.numpy().ravel()

    found = minimize(
        loss_and_gradient,
        start.numpy().ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": steps, "maxcor": 8, "ftol": 1e-13, "gtol": 1e-9},
    )
    signatures = torch.from_numpy(found.x).view(start.shape)
    return Fit(signatures, torch.arange(len(target)), float(found.fun))


def _identity_loss(signatures: Tensor, target: Tensor, bandwidth: float, kind: str) -> Tensor:
    link = link_probabilities(signatures, signatures, bandwidth)
    return matched_loss(link, target, torch.arange(len(target)), kind)


def _random_signatures(n: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, width, generator=generator, dtype=torch.float64)


def _check(bandwidth: float, width: int) -> None:
    check_positive(bandwidth=bandwidth)
    check_whole(1, width=width)
