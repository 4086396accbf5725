"""From pixels to tokens: a small ConvNeXt that leaves a map of about 8 × 8 places."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from nacgraph.nn.init import fan_in_normal_, linear
from nacgraph.tasks.base import Batch
from nacgraph.tasks.tokenizers import register_tokenizer
from nacgraph.utils.check import check_at_least

SIDE = 8  # places along the shorter side of the last map, about
PATCH = 4  # the largest patch; what is left of the reduction is done by halving
KERNEL = 7  # side of the depthwise filters, where the map is as large


def reductions(shorter: int) -> tuple[int, ...]:
    """By how much each stage shrinks the map: 64 → (4, 2), 28 and 32 → (2, 2), 8 → (1,).

    Their product is the power of two that brings ``shorter`` nearest to 8.
    """
    halvings = max(0, round(math.log2(shorter / SIDE)))
    if halvings <= 1:
        return (2**halvings,)
    patch = 2 if halvings == 2 else PATCH
    return (patch, *[2] * (halvings - int(math.log2(patch))))


class ConvBlock(nn.Module):
    r"""Residual block: each place sees its neighbours, channel by channel, then itself.

    .. math:: y = x + \gamma \odot W_2\,\mathrm{GELU}(W_1\,\mathrm{LayerNorm}(K * x) + b_1) + b_2

    ``K`` is depthwise, the norm runs over the channels of one place. No sample sees another.

    Args:
        width: Channels C.
        kernel: Side of K, odd.
        generator: Source of the initial weights.

    Shapes:
        x (B, H, W, C) → (B, H, W, C)

    Source: A ConvNet for the 2020s (CVPR 2022), ConvNeXt's block.
    """

    def __init__(self, width: int, kernel: int, generator: torch.Generator) -> None:
        super().__init__()
        self.spread = _conv(width, width, kernel, generator, groups=width, padding=kernel // 2)
        self.norm = nn.LayerNorm(width)
        self.widen = linear(width, 4 * width, generator=generator)
        self.narrow = linear(4 * width, width, generator=generator)
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(_convolved(self.spread, x))
        return x + self.scale * self.narrow(nn.functional.gelu(self.widen(h)))


@register_tokenizer("ImageTokenizer")
class ImageTokenizer(nn.Module):
    """Patches, convolutional blocks with halvings between, then one token a place.

    Each token is a projection of its place's channels beside a learned position of width 64.

    Args:
        height: Rows of an image.
        width: Columns of an image.
        channels: Channels of an image, 1 or 3.
        dim: Width D of a token.
        stem_layers: Blocks of each stage.
        stem_width: Channels of the first stage; each further one has twice as many.
        position_width: Width of a learned position.
        seed: Seed of the initial weights.

    Shapes:
        batch.inputs (B, channels, height, width) in [0, 1] → tokens (B, T, D), T the places of
        the last map (64 × 64 → 64, 28 × 28 → 49, 8 × 8 → 64) · mask (B, T), all True

    Raises:
        ValueError: If an argument is out of range, or images have another size.

    Source: Neural Attentive Circuits (NeurIPS 2022), stem and position grid of its image models.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        dim: int,
        stem_layers: int = 1,
        stem_width: int = 32,
        position_width: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "height": height,
            "width": width,
            "channels": channels,
            "dim": dim,
            "stem_layers": stem_layers,
            "stem_width": stem_width,
            "position_width": position_width,
            "seed": seed,
        }
        check_at_least(0, stem_layers=stem_layers, seed=seed)
        check_at_least(1, height=height, width=width, channels=channels)
        check_at_least(1, dim=dim, stem_width=stem_width, position_width=position_width)
        generator = torch.Generator().manual_seed(seed)
        self.shape = channels, height, width
        steps = reductions(min(height, width))
        whole = math.prod(steps)
        # Zeros at the right and below make every map a whole number of patches.
        self.padding = (0, 0, 0, -width % whole, 0, -height % whole)
        high, wide = height + self.padding[5], width + self.padding[3]
        self.down = nn.ModuleList()
        self.norms = nn.ModuleList()
        self.stages = nn.ModuleList()
        inside = channels
        for number, step in enumerate(steps):
            outside = stem_width * 2**number
            # Patches overlap by a pixel on each side, which costs little and learns faster.
            self.norms.append(nn.LayerNorm(inside) if number else nn.Identity())
            self.down.append(_conv(inside, outside, step + 2, generator, stride=step, padding=1))
            high, wide, inside = high // step, wide // step, outside
            side = min(KERNEL, high, wide)
            blocks = (ConvBlock(inside, side - 1 + side % 2, generator) for _ in range(stem_layers))
            self.stages.append(nn.Sequential(*blocks))
        self.positions = nn.Parameter(torch.empty(high * wide, position_width))
        nn.init.normal_(self.positions, generator=generator)
        self.norm = nn.LayerNorm(inside)
        self.out = linear(inside + position_width, dim, generator=generator)

    @property
    def places(self) -> int:
        """Tokens T of an image."""
        return self.positions.shape[0]

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        images = batch.inputs
        if images.shape[1:] != self.shape:
            raise ValueError(
                f"images: expected (channels, height, width) = {self.shape}, "
                f"got {tuple(images.shape[1:])}"
            )
        # Channels last throughout: two to four times as fast as channels first on a CPU.
        x = images.permute(0, 2, 3, 1) * 4.0 - 2.0
        x = nn.functional.pad(x, self.padding)
        for down, norm, stage in zip(self.down, self.norms, self.stages, strict=True):
            x = stage(_convolved(down, norm(x)))
        x = self.norm(x.flatten(1, 2))
        tokens = self.out(torch.cat([x, self.positions.expand(x.shape[0], -1, -1)], dim=-1))
        return tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool)


def _convolved(layer: nn.Module, x: Tensor) -> Tensor:
    """A convolution of x (B, H, W, C) whose result lies in memory as (B, H, W, C) too."""
    return layer(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _conv(
    inside: int, outside: int, kernel: int, generator: torch.Generator, **options: int
) -> nn.Conv2d:
    # skip_init: the default start would draw from the global generator.
    layer = nn.utils.skip_init(nn.Conv2d, inside, outside, kernel, **options)
    fan_in_normal_(layer.weight, generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
