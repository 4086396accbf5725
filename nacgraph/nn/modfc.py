"""ModFC, the modulated linear layer: one shared weight, one function per module."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacgraph.nn.init import fan_in_normal_, reset_all
from nacgraph.ops.pointwise import gated_geglu, gated_norm
from nacgraph.utils.check import check_whole


class ModFC(nn.Module):
    r"""A linear layer whose input features are gated by a module's code.

    .. math:: y_u = W (x_u \odot (1 + \alpha\,\mathrm{LayerNorm}(W_c c_u))) + b

    ``W``, ``b``, ``W_c`` and ``alpha`` are shared; only the code tells modules apart.
    With ``alpha = 0`` this is ``nn.Linear``.

    Args:
        in_features: Width I of the state, at least 2 (LayerNorm of one number is zero).
        out_features: Width O of the result.
        code_dim: Width K of the code.
        bias: Whether b exists.
        generator: Source of the initial weights; PyTorch's own if left out.

    Shapes:
        x (*, I) · code (*, K), leading axes broadcast to those of x · output (*, O)

    Raises:
        ValueError: If ``in_features < 2``, or if a last axis has the wrong width.

    Example:
        >>> layer = ModFC(8, 16, code_dim=4)
        >>> layer
        ModFC(in_features=8, out_features=16, code_dim=4, bias=True)
        >>> layer(torch.randn(2, 5, 8), torch.randn(5, 4)).shape  # 5 modules, 2 samples
        torch.Size([2, 5, 16])

    Source: Neural Attentive Circuits (NeurIPS 2022), eq. 1.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        code_dim: int,
        bias: bool = True,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_whole(2, in_features=in_features)
        check_whole(1, out_features=out_features, code_dim=code_dim)
        self.in_features, self.out_features, self.code_dim = in_features, out_features, code_dim
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None
        self.code_weight = nn.Parameter(torch.empty(in_features, code_dim))
        self.alpha = nn.Parameter(torch.empty(()))
        self.reset_parameters(generator=generator)

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw new weights; b starts at 0 and alpha at 0.1."""
        fan_in_normal_(self.weight, generator=generator)
        fan_in_normal_(self.code_weight, generator=generator)
        nn.init.constant_(self.alpha, 0.1)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"code_dim={self.code_dim}, bias={self.bias is not None}"
        )

    def modulation(self, code: Tensor) -> Tensor:
        """The gate 1 + α·LN(W_c c) of each module: code (*, K) → (*, I)."""
        (gate,) = modulations(code, self)
        return gate

    def gate(self, scale: Tensor) -> Tensor:
        """1 + α·LN(W_c c) from W_c c."""
        width = self.code_weight.shape[0]
        # It is a LayerNorm whose weight is α everywhere and whose bias is 1: one pass.
        weight, bias = self.alpha.expand(width), self.alpha.new_ones(width)
        return F.layer_norm(scale, (width,), weight, bias)

    def project(self, gated: Tensor) -> Tensor:
        """W x + b of states that are gated already: (*, I) → (*, O)."""
        return F.linear(gated, self.weight, self.bias)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        if x.shape[-1] != self.weight.shape[1]:
            raise ValueError(
                f"x: expected a last axis of {self.weight.shape[1]}, got {tuple(x.shape)}"
            )
        return self.project(x * self.modulation(code))


def modulations(code: Tensor, *layers: ModFC) -> tuple[Tensor, ...]:
    """The gates of several layers under the same codes, of one matrix product.

    They depend on codes only, so one step needs them once, however many samples and rounds there
    are; whoever runs a layer several times makes them first and hands them on.

    Raises:
        ValueError: If the codes have another width than the layers want.
    """
    weights: list[Tensor] = [layer.code_weight for layer in layers]
    if code.shape[-1] != weights[0].shape[1]:
        raise ValueError(
            f"code: expected a last axis of {weights[0].shape[1]}, got {tuple(code.shape)}"
        )
    scales = F.linear(code, torch.cat(weights)).split([len(weight) for weight in weights], -1)
    return tuple(layer.gate(scale) for layer, scale in zip(layers, scales, strict=True))


class ModFFN(nn.Module):
    r"""Pre-norm residual feed-forward block of two ModFCs that share a code.

    .. math::
        y = x + \mathrm{ModFC}_2(\mathrm{GEGLU}(\mathrm{ModFC}_1(\mathrm{LN}(x), c)), c),
        \qquad \mathrm{GEGLU}([a, b]) = a \odot \mathrm{GELU}(b)

    Args:
        dim: Width D of the state.
        code_dim: Width K of the code.
        factor: The first ModFC is factor·D wide, of which GEGLU leaves half.
        generator: Source of the initial weights; PyTorch's own if left out.

    Shapes:
        x (*, D) · code (*, K), leading axes broadcast to those of x · output (*, D)

    Raises:
        ValueError: If factor·dim is not an even number of at least 2, or the codes have another
            width.

    Example:
        >>> layer = ModFFN(8, code_dim=4)
        >>> layer(torch.randn(2, 5, 8), torch.randn(5, 4)).shape
        torch.Size([2, 5, 8])

    Source: Neural Attentive Circuits (NeurIPS 2022), the ModFFN of its blocks.
    """

    def __init__(
        self, dim: int, code_dim: int, factor: int = 4, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        hidden = factor * dim
        if factor < 1 or hidden % 2:
            raise ValueError(f"factor: expected factor·dim even and positive, got {factor}·{dim}")
        self.dim, self.code_dim, self.factor = dim, code_dim, factor
        self.norm = nn.LayerNorm(dim)
        self.expand = ModFC(dim, hidden, code_dim, generator=generator)
        self.contract = ModFC(hidden // 2, dim, code_dim, generator=generator)

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw new weights."""
        reset_all(*self.children(), generator=generator)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, code_dim={self.code_dim}, factor={self.factor}"

    @property
    def layers(self) -> tuple[ModFC, ModFC]:
        """Its ModFCs, in the order of their gates."""
        return self.expand, self.contract

    def forward(self, x: Tensor, code: Tensor, gates: tuple[Tensor, ...] | None = None) -> Tensor:
        outer, inner = modulations(code, *self.layers) if gates is None else gates
        (gated,) = gated_norm(x, self.norm, [outer])
        return x + self.contract.project(gated_geglu(self.expand.project(gated), inner))
