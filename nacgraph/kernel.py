"""The signature kernel: distances between signatures, link probabilities, sampled graphs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DEFAULT_BANDWIDTH = 1 / math.log(20)  # orthogonal signatures then link with probability 0.05
MODES = ("expected", "concrete", "hard", "threshold")

# The smallest -log P whose logit is finite in single precision: P = 1 - 1e-7.
_CLOSEST = 1e-7


def log_link_probabilities(receivers: Tensor, senders: Tensor, bandwidth: float) -> Tensor:
    r"""Log of the probability that a receiver listens to a sender.

    .. math:: \log P_{ij} = -(1 - \cos(s_i, s_j)) / \varepsilon

    Args:
        receivers: Signatures of the receivers i.
        senders: Signatures of the senders j.
        bandwidth: Bandwidth ε > 0; ``math.inf`` gives the complete graph.

    Shapes:
        receivers (..., R, S) · senders (..., N, S) · output (..., R, N), at least fp32

    Raises:
        ValueError: If the widths differ or the bandwidth is not positive.

    Source: Neural Attentive Circuits (NeurIPS 2022), eq. 2.
    """
    if not bandwidth > 0:
        raise ValueError(f"bandwidth: wanted a number > 0, got {bandwidth}")
    if receivers.shape[-1] != senders.shape[-1]:
        raise ValueError(
            "senders: wanted signatures of the receivers' width "
            f"{receivers.shape[-1]}, got {senders.shape[-1]}"
        )
    # Below fp32 the distance of near signatures would round to zero, and autocast would do that.
    with torch.autocast(receivers.device.type, enabled=False):
        wide = torch.promote_types(receivers.dtype, torch.float32)
        cosine = (
            F.normalize(receivers.to(wide), dim=-1)
            @ F.normalize(senders.to(wide), dim=-1).transpose(-1, -2)
        )
        return -(1 - cosine).clamp_min(0) / bandwidth


def link_probabilities(receivers: Tensor, senders: Tensor, bandwidth: float) -> Tensor:
    """P = exp(-(1 - cos)/bandwidth); see :func:`log_link_probabilities`."""
    return log_link_probabilities(receivers, senders, bandwidth).exp()


def logit(log_probability: Tensor) -> Tensor:
    r"""logit P from log P: :math:`\log P - \log(-\mathrm{expm1}(\log P))`, finite at P = 1."""
    log_probability = log_probability.clamp_max(-_CLOSEST)
    return log_probability - torch.log(-torch.expm1(log_probability))


def concrete_log_sample(log_probability: Tensor, noise: Tensor, temperature: float) -> Tensor:
    r"""Log of a binary concrete sample, never leaving logit space.

    .. math:: \log K = \mathrm{logsigmoid}((\mathrm{logit} P + \mathrm{logit} u) / \tau)

    ``noise`` is u in (0, 1); K > 0.5 with probability P exactly, whatever the temperature.
    """
    return F.logsigmoid((logit(log_probability) + torch.logit(noise)) / temperature)


@dataclass(frozen=True)
class SampledGraph:
    """Who listens to whom, as drawn by :class:`SignatureKernel`.

    Attributes:
        probability: Link probabilities P, (R, N), or (B, R, N) for conditional designs.
        log_weight: Edge weights log K, (R, N) or (B, R, N); only where ``mask`` do they count.
        mask: True where the link exists, like ``log_weight``.
        complete: Every link exists with weight one, so that a backend may skip both.
    """

    probability: Tensor
    log_weight: Tensor
    mask: Tensor
    complete: bool = False

    @property
    def per_sample(self) -> bool:
        """Whether every sample of the batch has a graph of its own."""
        return self.mask.dim() == 3

    @property
    def num_receivers(self) -> int:
        return self.mask.shape[-2]

    @property
    def num_senders(self) -> int:
        return self.mask.shape[-1]

    @cached_property
    def density(self) -> float:
        """Share of all pairs that are linked."""
        return float(self.mask.float().mean())

    @cached_property
    def links(self) -> tuple[Tensor, ...]:
        """Where ``mask`` is True: ([sample,] receiver, sender), found once a graph."""
        return self.mask.nonzero(as_tuple=True)

    def edges(self) -> tuple[Tensor, Tensor]:
        """Edges in PyG's order, sorted by receiver, and their log weights.

        Per-sample graphs come as one block-diagonal graph: node u of sample b is b·N + u.

        Returns:
            edge_index (2, E), senders in row 0 and receivers in row 1, and log_weight (E,).
        """
        receiver, sender = self.links[-2:]
        if self.per_sample:
            receiver = receiver + self.links[0] * self.num_receivers
            sender = sender + self.links[0] * self.num_senders
        return torch.stack([sender, receiver]), self.log_weight[self.links]


class SignatureKernel(nn.Module):
    """Turns signatures into link probabilities and draws graphs from them.

    ========= ============================== ==========================================
    mode      a link exists where            its weight K
    ========= ============================== ==========================================
    expected  P ≥ min_weight                 P, no sampling
    concrete  K ≥ min_weight                 the concrete sample, soft
    hard      K > 0.5                        1, with the gradient of log K
    threshold P > 0.5                        1, no gradient; the rule for pictures
    ========= ============================== ==========================================

    Args:
        bandwidth: ε; the lowest probability any link can have is exp(-2/ε).
        temperature: τ of the concrete distribution.
        mode: One of :data:`MODES`.
        min_weight: A link of lower weight is no edge.

    Raises:
        ValueError: Names the argument, what was wanted and what came.

    Source: Neural Attentive Circuits (NeurIPS 2022), eq. 2-3.
    """

    def __init__(
        self,
        bandwidth: float = DEFAULT_BANDWIDTH,
        temperature: float = 0.5,
        mode: str = "concrete",
        min_weight: float = 0.01,
    ) -> None:
        super().__init__()
        if not bandwidth > 0:
            raise ValueError(f"bandwidth: wanted a number > 0, got {bandwidth}")
        if not temperature > 0:
            raise ValueError(f"temperature: wanted a number > 0, got {temperature}")
        if not 0 <= min_weight < 1:
            raise ValueError(f"min_weight: wanted a number in [0, 1), got {min_weight}")
        _check_mode(mode)
        self.bandwidth = bandwidth
        self.temperature = temperature
        self.mode = mode
        self.min_weight = min_weight

    def extra_repr(self) -> str:
        return (
            f"bandwidth={self.bandwidth:.4g}, temperature={self.temperature}, "
            f"mode={self.mode!r}, min_weight={self.min_weight}"
        )

    def forward(
        self,
        receivers: Tensor,
        senders: Tensor | None = None,
        *,
        mode: str | None = None,
        generator: torch.Generator | None = None,
        graphs: int | None = None,
    ) -> SampledGraph:
        """Draw the graph from senders to receivers.

        Args:
            receivers: Signatures (R, S) or (B, R, S).
            senders: Signatures (N, S) or (B, N, S); left out, modules link among themselves
                and every self-link exists. Given, a receiver without any link keeps its most
                probable one.
            mode: Overrides the kernel's own mode.
            generator: Source of the noise of the modes ``concrete`` and ``hard``.
            graphs: Draw this many independent graphs from shared signatures.

        Raises:
            ValueError: On an unknown mode, or on sampling without a generator.
        """
        mode = self.mode if mode is None else mode
        _check_mode(mode)
        log_p = log_link_probabilities(
            receivers, receivers if senders is None else senders, self.bandwidth
        )
        own = None
        if senders is None:
            own = torch.eye(log_p.shape[-1], dtype=torch.bool, device=log_p.device)
            log_p = log_p.masked_fill(own, 0.0)  # P_ii = 1 exactly, not up to rounding
        probability = log_p.exp()
        complete = math.isinf(self.bandwidth)
        if graphs is not None and log_p.dim() == 2:
            log_p = log_p.expand(graphs, -1, -1)
        if complete:
            log_weight, mask = torch.zeros_like(log_p), torch.ones_like(log_p, dtype=torch.bool)
            return SampledGraph(probability, log_weight, mask, complete=True)
        log_weight, mask = self._weigh(log_p, mode, generator)
        if own is not None:
            log_weight, mask = log_weight.masked_fill(own, 0.0), mask | own
        else:
            best = F.one_hot(log_p.argmax(-1), log_p.shape[-1]).bool()
            mask = mask | (best & ~mask.any(-1, keepdim=True))
        return SampledGraph(probability, log_weight, mask)

    def _weigh(
        self, log_p: Tensor, mode: str, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        if mode == "threshold":
            return torch.zeros_like(log_p), log_p > math.log(0.5)
        if mode == "expected":
            return log_p, log_p >= _log(self.min_weight)
        if generator is None:
            raise ValueError(
                f"generator: wanted a torch.Generator, since mode {mode!r} draws noise, got None"
            )
        # Drawn where the generator lives, so that a seed means the same noise on every device.
        noise = torch.rand(log_p.shape, generator=generator, device=generator.device)
        noise = noise.to(log_p).clamp_min(2.0**-25)  # rand may return 0 and never returns 1
        log_k = concrete_log_sample(log_p, noise, self.temperature)
        if mode == "hard":
            # Forward 1, backward the gradient of log K (straight-through).
            return log_k - log_k.detach(), log_k > math.log(0.5)
        return log_k, log_k >= _log(self.min_weight)


def mean_degree(link: Tensor) -> float:
    """Expected number of links of a module, itself left out: mean over i of Σ_{j≠i} P_ij."""
    total = link.detach().sum((-1, -2)) - link.detach().diagonal(dim1=-2, dim2=-1).sum(-1)
    return float((total / link.shape[-1]).mean())


def isolated(graph: SampledGraph) -> float:
    """Processors without a sender other than themselves (mean over a batch of graphs)."""
    return float((graph.mask.sum(-1) <= 1).sum(-1).float().mean())


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        raise ValueError(f"mode: wanted one of {', '.join(MODES)}, got {mode!r}")
