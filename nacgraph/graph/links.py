"""From signatures to link probabilities, and the concrete sample: formulas on tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nacgraph.utils.choices import DEFAULT_BANDWIDTH as DEFAULT_BANDWIDTH
from nacgraph.utils.choices import MODES as MODES

# The smallest -log P whose logit is finite in single precision: P = 1 - 1e-7.
CLOSEST = 1e-7


def log_link_probabilities(
    receivers: Tensor, senders: Tensor, bandwidth: float, among: bool = False
) -> Tensor:
    r"""Log of the probability that a receiver listens to a sender.

    .. math:: \log P_{ij} = -(1 - \cos(s_i, s_j)) / \varepsilon

    Args:
        receivers: Signatures of the receivers i.
        senders: Signatures of the senders j.
        bandwidth: Bandwidth ε > 0; ``math.inf`` gives the complete graph.
        among: Receivers and senders are the same modules: P_ii is 1 exactly, not up to rounding.

    Shapes:
        receivers (..., R, S) · senders (..., N, S) · output (..., R, N), at least fp32

    Raises:
        ValueError: If the widths differ or the bandwidth is not positive.

    Source: Neural Attentive Circuits (NeurIPS 2022), eq. 2.
    """
    if not bandwidth > 0:
        raise ValueError(f"bandwidth: expected a number > 0, got {bandwidth}")
    if receivers.shape[-1] != senders.shape[-1]:
        raise ValueError(
            "senders: expected signatures of the receivers' width "
            f"{receivers.shape[-1]}, got {senders.shape[-1]}"
        )
    # Below fp32 the distance of near signatures would round to zero, and autocast would do that.
    with torch.autocast(receivers.device.type, enabled=False):
        wide = torch.promote_types(receivers.dtype, torch.float32)
        cosine = F.normalize(receivers.to(wide), dim=-1) @ F.normalize(
            senders.to(wide), dim=-1
        ).transpose(-1, -2)
        log_p = -(1 - cosine).clamp_min(0) / bandwidth
    if among:
        own = torch.eye(log_p.shape[-1], dtype=torch.bool, device=log_p.device)
        log_p = log_p.masked_fill(own, 0.0)
    return log_p


def link_probabilities(
    receivers: Tensor, senders: Tensor, bandwidth: float, among: bool = False
) -> Tensor:
    """P = exp(-(1 - cos)/bandwidth); see :func:`log_link_probabilities`."""
    return log_link_probabilities(receivers, senders, bandwidth, among).exp()


def logit(log_probability: Tensor) -> Tensor:
    r"""logit P from log P: :math:`\log P - \log(-\mathrm{expm1}(\log P))`, finite at P = 1."""
    log_probability = log_probability.clamp_max(-CLOSEST)
    return log_probability - torch.log(-torch.expm1(log_probability))


def concrete_log_sample(log_probability: Tensor, noise: Tensor, temperature: float) -> Tensor:
    r"""Log of a binary concrete sample, never leaving logit space.

    .. math:: \log K = \mathrm{logsigmoid}((\mathrm{logit} P + \mathrm{logit} u) / \tau)

    ``noise`` is u in (0, 1); K > 0.5 with probability P exactly, whatever the temperature.
    """
    return F.logsigmoid((logit(log_probability) + torch.logit(noise)) / temperature)


def check_mode(mode: str) -> None:
    """Raise ValueError unless ``mode`` is one of :data:`MODES`."""
    if mode not in MODES:
        raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}")
