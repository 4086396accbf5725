"""Initial weights from an explicit generator, so that one seed means one model.

Without one they come from PyTorch's own, as those of its layers do.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nacgraph.utils.check import check_whole


def fan_in_normal_(weight: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Fill a weight (out, in, ...) with N(0, 1/fan_in), which keeps the scale of its input."""
    fan_in = weight[0].numel()
    with torch.no_grad():
        return weight.normal_(0.0, fan_in**-0.5, generator=generator)


def linear(
    in_features: int,
    out_features: int,
    bias: bool = True,
    *,
    generator: torch.Generator | None = None,
) -> nn.Linear:
    """An ``nn.Linear`` whose weights come from the generator; its bias starts at zero."""
    check_whole(1, in_features=in_features, out_features=out_features)
    # On the meta device the default initialisation draws nothing.
    layer = nn.Linear(in_features, out_features, bias=bias, device="meta").to_empty(device="cpu")
    return reset_linear(layer, generator=generator)


def reset_linear(layer: nn.Linear, *, generator: torch.Generator | None = None) -> nn.Linear:
    """Give a linear layer new weights, as :func:`linear` does."""
    fan_in_normal_(layer.weight, generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def reset_all(*layers: nn.Module, generator: torch.Generator | None = None) -> None:
    """Give these layers new weights, one after the other as their constructors would."""
    for layer in layers:
        if isinstance(layer, nn.Linear):
            reset_linear(layer, generator=generator)
        elif isinstance(layer, nn.LayerNorm):
            layer.reset_parameters()
        elif not any(True for _ in layer.parameters()):
            continue
        elif isinstance(layer, nn.ModuleList):
            reset_all(*layer, generator=generator)
        else:
            layer.reset_parameters(generator=generator)  # type: ignore[operator]
