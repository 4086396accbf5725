"""Layers of tokenizers whose initial weights come from an explicit generator."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


def linear(inputs: int, outputs: int, generator: torch.Generator, bias: bool = True) -> nn.Linear:
    """A linear layer that :func:`started` has begun."""
    # skip_init: the default start would draw from the global generator.
    return started(nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias), generator)


def started(layer: Layer, generator: torch.Generator) -> Layer:
    """The layer with normal weights, so that an output is as large as an input, and no bias."""
    std = layer.weight[0].numel() ** -0.5
    nn.init.normal_(layer.weight, std=std, generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
