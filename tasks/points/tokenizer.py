"""A token for every point: Fourier features of its place, then a layer that all points share."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from nacgraph.nn.init import linear
from nacgraph.tasks.base import Batch
from nacgraph.tasks.tokenizers import register_tokenizer
from nacgraph.utils.check import check_choice, check_whole

SPACINGS = ("log", "linear")


@register_tokenizer("PointTokenizer")
class PointTokenizer(nn.Module):
    r"""Fourier features of the coordinates, and a layer (or a small MLP) on each point alone.

    .. math:: \phi(p) = [p_a,\ \sin(\pi f_k p_a),\ \cos(\pi f_k p_a)]_{a \in xyz,\, k < K}, \qquad
              t = W \phi(p) + b

    with frequencies :math:`f_k` from 1 to ``max_frequency``. With ``hidden`` the token is
    :math:`t + W_2\,\mathrm{GELU}(W_1\,\mathrm{LayerNorm}(t) + b_1) + b_2`. No point sees another,
    so the circuit reads a set: the order of points is nothing that it could know.

    Args:
        dim: Width D of a token.
        num_bands: Frequencies K of each axis; 0 leaves the raw coordinates.
        max_frequency: The highest frequency, in half periods over a unit of length; at least 1.
        spacing: "log": neighbouring frequencies have a fixed ratio, "linear": a fixed difference.
        hidden: Width of the MLP's middle; 0 for a linear layer alone.
        seed: Seed of the initial weights.

    Shapes:
        batch.inputs (B, T, 3) of any float type, batch.mask (B, T) → tokens (B, T, D) of the
        weights' type, zero where the mask is False · mask (B, T)

    Raises:
        ValueError: If an argument is out of range, or if points have other than three coordinates.

    Source: Fourier position features as in Perceiver (ICML 2021).
    """

    def __init__(
        self,
        dim: int,
        num_bands: int = 16,
        max_frequency: float = 16.0,
        spacing: str = "log",
        hidden: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_whole(1, dim=dim)
        check_whole(0, num_bands=num_bands, hidden=hidden)
        check_choice(SPACINGS, spacing=spacing)
        if not isinstance(max_frequency, (int, float)) or not 1 <= max_frequency < math.inf:
            raise ValueError(f"max_frequency: expected a number >= 1, got {max_frequency!r}")
        self.settings: dict[str, Any] = {
            "dim": dim,
            "num_bands": num_bands,
            "max_frequency": max_frequency,
            "spacing": spacing,
            "hidden": hidden,
            "seed": seed,
        }
        generator = torch.Generator().manual_seed(seed)
        if spacing == "log":
            bands = torch.logspace(0, math.log2(max_frequency), num_bands, base=2)
        else:
            bands = torch.linspace(1, max_frequency, num_bands)
        self.angles: Tensor
        # Follows from the settings, so no file need hold it.
        self.register_buffer("angles", math.pi * bands, persistent=False)
        self.embed = linear(3 * (1 + 2 * num_bands), dim, generator=generator)
        self.norm = nn.LayerNorm(dim) if hidden else None
        self.inner = linear(dim, hidden, generator=generator) if hidden else None
        self.outer = linear(hidden, dim, generator=generator) if hidden else None

    def features(self, points: Tensor) -> Tensor:
        """φ of points (…, 3): coordinates, all sines, all cosines; (…, 3 + 6 K)."""
        turned = (points.unsqueeze(-1) * self.angles).flatten(-2)
        return torch.cat([points, turned.sin(), turned.cos()], dim=-1)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if batch.inputs.ndim != 3 or batch.inputs.shape[-1] != 3:
            raise ValueError(
                f"points: expected shape (samples, points, 3), got {tuple(batch.inputs.shape)}"
            )
        tokens = self.embed(self.features(batch.inputs.to(self.embed.weight.dtype)))
        if self.norm is not None and self.inner is not None and self.outer is not None:
            tokens = tokens + self.outer(nn.functional.gelu(self.inner(self.norm(tokens))))
        return tokens * batch.mask.unsqueeze(-1), batch.mask
