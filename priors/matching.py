"""Matching a circuit's modules to a prior's: which module plays which part in the target.

Both losses are, up to a constant, minus a sum of products T_ij A_π(i)π(j): A is the link
probability for the squared error and its logit for the Kullback-Leibler divergence. So one
search (search.py) serves both.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nacgraph.priors.search import best, cold, graph_matching, rows, warm
from nacgraph.utils.check import check_choice, check_whole
from nacgraph.utils.choices import LOSSES, MATCHINGS
from nacgraph.utils.threads import few_threads

KINDS, METHODS = LOSSES, MATCHINGS
CLAMP = 1e-6  # probabilities enter the KL no nearer than this to 0 and 1


def matched_loss(link: Tensor, target: Tensor, permutation: Tensor, kind: str = "mse") -> Tensor:
    r"""How far the relabelled link probabilities are from the target, diagonal left out.

    .. math:: \mathrm{mse} = \mathrm{mean}_{i \ne j} (P_{\pi(i)\pi(j)} - T_{ij})^2 \qquad
        \mathrm{kl} = \mathrm{mean}_{i \ne j}
        T \log\frac{T}{P} + (1 - T) \log\frac{1 - T}{1 - P}

    The gradient goes to ``link`` alone. A single module has loss 0.

    Shapes:
        link (n, n) or (B, n, n), then averaged over B · target (n, n) · permutation (n,)

    Raises:
        ValueError: If shapes do not agree or the kind is unknown.

    Source: Neural Attentive Circuits (NeurIPS 2022), regularisation by a graph prior.
    """
    _check(link, target, kind)
    n = target.shape[0]
    if permutation.shape != (n,):
        raise ValueError(f"permutation: expected shape ({n},), got {tuple(permutation.shape)}")
    # Relabelling the target the other way round is the same sum, without a scatter backwards.
    place = permutation.to(target.device).argsort()
    target = target.detach()[place[:, None], place[None, :]].to(link)
    if kind == "mse":
        entries = (link - target).square()
    else:
        link = link.clamp(CLAMP, 1 - CLAMP)
        entropy = torch.special.entr(target) + torch.special.entr(1 - target)
        entries = -(target * link.log() + (1 - target) * torch.log1p(-link)) - entropy
    off_diagonal = entries.sum() - entries.diagonal(dim1=-2, dim2=-1).sum()
    return off_diagonal / max(1, entries.numel() // n * (n - 1))


@torch.no_grad()
def match(
    link: Tensor,
    target: Tensor,
    method: str = "iterated",
    start: Tensor | None = None,
    seed: int = 0,
    kind: str = "mse",
) -> Tensor:
    r"""A permutation π with ``link[π][:, π]`` near ``target``.

    Its loss is never above that of the identity, nor above that of ``start``.

    Args:
        link: Link probabilities, symmetric; the mean is matched if they are (B, n, n).
        target: A prior's edge probabilities.
        method: ``rows`` compares rows once by one linear assignment (columns stay where they
            are: a weak heuristic, here to compare with). ``iterated`` repeats that with the
            columns permuted by the last answer and then swaps pairs, until neither helps; from
            ``start`` if given, else also from several guesses. ``graph`` is FAQ with restarts
            (graspologic): slow, for reports and as a cross-check.
        start: Previous permutation.
        seed: Seed of random restarts.
        kind: The loss that the permutation is for.

    Shapes:
        link (n, n) or (B, n, n) · target (n, n) · start (n,) · output (n,) long

    Raises:
        ValueError: If shapes do not agree, or the method or kind is unknown.
    """
    _check(link, target, kind)
    check_choice(METHODS, method=method)
    n = target.shape[0]
    affinity = _affinity(link, kind)
    wanted = target.detach().cpu().double().numpy().copy()
    np.fill_diagonal(wanted, 0.0)
    candidates = [np.arange(n)]
    if start is not None:
        if not torch.equal(start.cpu().sort().values, torch.arange(n)):
            raise ValueError(f"start: expected a permutation of 0..{n - 1}, got {start.tolist()}")
        candidates.append(start.cpu().numpy())
    if not np.isfinite(affinity).all():
        # Nothing to match: the loss will be NaN too, and whoever trains reports that.
        return torch.from_numpy(candidates[-1]).to(link.device)
    with few_threads(n):
        if method == "rows":
            candidates.append(rows(wanted, affinity))
        elif method == "graph":
            candidates.append(graph_matching(wanted, affinity, seed))
        elif start is not None:  # never worse than what it starts from
            candidates = [warm(wanted, affinity, best(wanted, affinity, candidates))]
        else:
            candidates += cold(wanted, affinity, seed)
        found = best(wanted, affinity, candidates) if len(candidates) > 1 else candidates[0]
        return torch.from_numpy(found).to(link.device)


class MatchedLoss(nn.Module):
    """Matched loss of a training run: the permutation is kept and refreshed now and then.

    The permutation is a plain attribute, not a buffer: broadcast by a data-parallel wrapper it
    could change between forward and backward, and every process finds the same one anyway.

    Args:
        target: A prior's edge probabilities, (n, n).
        kind: ``mse`` or ``kl``.
        method: See :func:`match`.
        match_every: Steps between refreshes.

    Shapes:
        link (n, n) or (B, n, n), one permutation for the whole batch · output scalar
    """

    target: Tensor

    def __init__(
        self, target: Tensor, kind: str = "mse", method: str = "iterated", match_every: int = 10
    ) -> None:
        super().__init__()
        check_whole(1, match_every=match_every)
        check_choice(METHODS, method=method)
        _check(target, target, kind)
        self.register_buffer("target", target.detach().clone(), persistent=False)
        self.kind, self.method, self.match_every = kind, method, match_every
        self.permutation: Tensor | None = None

    def forward(self, link: Tensor, step: int) -> Tensor:
        if self.permutation is None or step % self.match_every == 0:
            self.permutation = match(
                link, self.target, self.method, self.permutation, seed=step, kind=self.kind
            )
        return matched_loss(link, self.target, self.permutation, self.kind)

    def state(self) -> Tensor:
        """The permutation for a checkpoint, (n,); empty before the first refresh."""
        return torch.empty(0, dtype=torch.long) if self.permutation is None else self.permutation

    def load_state(self, permutation: Tensor) -> None:
        """Take up the permutation that :meth:`state` gave."""
        n = self.target.shape[0]
        if permutation.shape not in ((0,), (n,)):
            raise ValueError(f"permutation: expected shape ({n},), got {tuple(permutation.shape)}")
        self.permutation = permutation.clone() if len(permutation) else None


def _check(link: Tensor, target: Tensor, kind: str) -> None:
    check_choice(KINDS, kind=kind)
    if target.dim() != 2 or target.shape[0] != target.shape[1]:
        raise ValueError(f"target: expected a square matrix, got shape {tuple(target.shape)}")
    if link.dim() not in (2, 3) or link.shape[-2:] != target.shape:
        raise ValueError(
            f"link: expected shape {tuple(target.shape)} or (B, ...), got {tuple(link.shape)}"
        )


def _affinity(link: Tensor, kind: str) -> NDArray[np.float64]:
    """The A of this file's first lines, symmetric and with zero diagonal."""
    matrix = link.detach().double()
    if kind == "kl":
        matrix = torch.logit(matrix.clamp(CLAMP, 1 - CLAMP))
    if matrix.dim() == 3:
        matrix = matrix.mean(0)
    return ((matrix + matrix.T) / 2).fill_diagonal_(0.0).cpu().numpy()
