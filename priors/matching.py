"""Matching a circuit's modules to a prior's: which module plays which part in the target.

Both losses are, up to a constant, minus a sum of products T_ij A_π(i)π(j): A is the link
probability for the squared error and its logit for the Kullback-Leibler divergence. So one
search (search.py) serves both.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nacgraph.priors.base import GraphPrior, get_prior
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

    Example:
        >>> target = torch.tensor([[1.0, 0.9, 0.1], [0.9, 1.0, 0.1], [0.1, 0.1, 1.0]])
        >>> order = torch.tensor([2, 0, 1])
        >>> permutation = match(target[order][:, order], target)
        >>> matched_loss(target[order][:, order], target, permutation)
        tensor(0.)
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
        target: A prior, its name, or edge probabilities (n, n).
        kind: ``mse`` or ``kl``.
        method: See :func:`match`.
        match_every: Steps between refreshes.
        num_nodes: Size n of a prior's target; that of the first ``link`` if left out.

    Shapes:
        link (n, n) or (B, n, n), one permutation for the whole batch · output scalar

    Raises:
        ValueError: If an argument is none of those, the prior asks for nothing, or ``link`` has
            another size than the target.

    Example:
        >>> from nacgraph.nn import SignatureGraph
        >>> graph = SignatureGraph(num_nodes=32)
        >>> prior_loss = MatchedLoss("ring_of_cliques")
        >>> prior_loss(graph.probability()).backward()
        >>> prior_loss
        MatchedLoss(RingOfCliques, n=32, kind='mse', method='iterated', match_every=10)
    """

    target: Tensor | None

    def __init__(
        self,
        target: Tensor | GraphPrior | str,
        kind: str = "mse",
        method: str = "iterated",
        match_every: int = 10,
        num_nodes: int | None = None,
    ) -> None:
        super().__init__()
        check_whole(1, match_every=match_every)
        check_choice(METHODS, method=method)
        check_choice(KINDS, kind=kind)
        self.kind, self.method, self.match_every = kind, method, match_every
        self.permutation: Tensor | None = None
        self.calls = 0
        self.prior: GraphPrior | None = None
        self.register_buffer("target", None, persistent=False)
        if isinstance(target, Tensor):
            _check(target, target, kind)
            if not bool(((target >= 0) & (target <= 1)).all()):  # NaN is neither
                low, high = float(target.min()), float(target.max())
                raise ValueError(
                    f"target: expected probabilities in [0, 1], got {low:g} to {high:g}"
                )
            self.target = target.detach().clone()
            if num_nodes not in (None, len(target)):
                raise ValueError(f"num_nodes: expected {len(target)}, got {num_nodes}")
        else:
            self.prior = get_prior(target) if isinstance(target, str) else target
            if not isinstance(self.prior, GraphPrior) or self.prior.is_none:
                raise ValueError(
                    "target: expected edge probabilities, or a prior that asks for some, "
                    f"got {target if isinstance(target, str) else type(target).__name__!r}"
                )
            if num_nodes is not None:
                self.target = self.prior.edge_probabilities(num_nodes)

    def forward(self, link: Tensor, step: int | None = None) -> Tensor:
        """The loss; the permutation is refreshed where ``step``, by default the number of calls
        so far, is a multiple of ``match_every``."""
        if self.target is None and self.prior is not None:
            self.target = self.prior.edge_probabilities(link.shape[-1]).to(link.device)
            self.load_state(self.state())  # one that was loaded before the size was known
        target = cast(Tensor, self.target)
        if step is None:
            step, self.calls = self.calls, self.calls + 1
        if self.permutation is None or step % self.match_every == 0:
            self.permutation = match(
                link, target, self.method, self.permutation, seed=step, kind=self.kind
            )
        return matched_loss(link, target, self.permutation, self.kind)

    def state(self) -> Tensor:
        """The permutation for a checkpoint, (n,); empty before the first refresh."""
        return torch.empty(0, dtype=torch.long) if self.permutation is None else self.permutation

    def load_state(self, permutation: Tensor) -> None:
        """Take up the permutation that :meth:`state` gave."""
        if self.target is not None and permutation.shape not in ((0,), self.target.shape[:1]):
            raise ValueError(
                f"permutation: expected shape ({len(self.target)},), got {tuple(permutation.shape)}"
            )
        self.permutation = permutation.clone() if len(permutation) else None

    def __repr__(self) -> str:
        what = "target" if self.prior is None else type(self.prior).__name__
        size = "?" if self.target is None else len(self.target)
        return (
            f"MatchedLoss({what}, n={size}, kind={self.kind!r}, method={self.method!r}, "
            f"match_every={self.match_every})"
        )


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
