"""Initial weights from an explicit generator, so that one seed means one model.

Without one they come from PyTorch's own, as those of its layers do.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def fan_in_normal_(
    weight: Tensor, gain: float = 1.0, *, generator: torch.Generator | None = None
) -> Tensor:
    """Fill a weight (out, in, ...) with N(0, gain²/fan_in), which keeps the scale of its input."""
    fan_in = weight[0].numel()
    with torch.no_grad():
        return weight.normal_(0.0, gain * fan_in**-0.5, generator=generator)


def linear(
    in_features: int,
    out_features: int,
    bias: bool = True,
    gain: float = 1.0,
    *,
    generator: torch.Generator | None = None,
) -> nn.Linear:
    """An ``nn.Linear`` that owes nothing to global randomness; its bias starts at zero."""
    # On the meta device the default initialisation draws nothing.
    layer = nn.Linear(in_features, out_features, bias=bias, device="meta").to_empty(device="cpu")
    fan_in_normal_(layer.weight, gain, generator=generator)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
