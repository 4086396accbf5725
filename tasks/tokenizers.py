"""Tokenizers: from a batch to a set of vectors that know their place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nacgraph.recurrence import recur_both_ways
from nacgraph.registry import Registry
from nacgraph.tasks.base import Batch
from nacgraph.tasks.layers import linear

# Classes that a saved model may name. Each keeps its constructor's arguments, as JSON values, in
# ``settings``, so that the model can be built again.
TOKENIZERS: Registry[nn.Module] = Registry("tokenizer", "nacgraph.tokenizers")
register_tokenizer = TOKENIZERS.register

_ROUND = 64  # symbols to which a window's input is rounded up


class WindowMLP(nn.Module):
    r"""Residual block in which a token sees its neighbours, and what a memory keeps of the rest.

    .. math:: y_t = x_t + W_2\,\mathrm{GELU}(W_1 [h_{t-rd}, …, h_{t-d}, h_t, h_{t+d}, …, h_{t+rd}]
              + m_t + b_1) + b_2, \quad h = \mathrm{LayerNorm}(x)

    with ``window = 2 r + 1``, d the dilation and m of :class:`LinearMemory`, 0 without one.
    Positions outside the sample, padding among them, count as zero, so that padding changes
    nothing.

    Args:
        dim: Width D.
        window: Number of neighbouring tokens seen, odd.
        dilation: Distance from one of them to the next.
        memory: Longest time scale of the memory, in tokens; 0 is none.

    Shapes:
        x (B, T, D) · mask (B, T) bool, True where real · output (B, T, D), zero at padding

    Raises:
        ValueError: If ``window`` is even or not positive, or ``dilation`` is not positive.
    """

    def __init__(
        self,
        dim: int,
        window: int,
        generator: torch.Generator,
        dilation: int = 1,
        memory: float = 0.0,
    ) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise ValueError(f"window must be odd and positive, got {window}")
        if dilation < 1:
            raise ValueError(f"dilation must be at least 1, got {dilation}")
        self.dilation = dilation
        self.norm = nn.LayerNorm(dim)
        self.window = window
        self.mix = linear(window * dim, dim, generator)
        self.out = linear(dim, dim, generator)
        self.memory = LinearMemory(dim, memory, generator) if memory else None

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        real = mask.unsqueeze(-1)
        h = self.norm(x) * real
        mixed = self._mix_windows(h)
        if self.memory is not None:
            mixed = mixed + self.memory(h)
        return (x + self.out(nn.functional.gelu(mixed))) * real

    def _mix_windows(self, h: Tensor) -> Tensor:
        """``mix`` of every window of h (B, T, D), laid out (neighbour, feature).

        As a convolution over a (B, D, 1, T) image whose memory order is h's own, channels last:
        on a CPU about 1.5 times as fast as conv1d and three times as fast as copied windows.
        """
        length, dim = h.shape[1:]
        # oneDNN compiles, and keeps, a kernel for every length it meets. Rounded up, with zeros as
        # beyond any end, there are few: half the time, and memory that does not grow.
        # An exporter has to know whether there are any, so there it is 1 to _ROUND of them.
        exporting = torch.compiler.is_compiling()
        zeros = _ROUND - length % _ROUND if exporting else -length % _ROUND
        h = nn.functional.pad(h, (0, 0, 0, zeros))
        kernel = self.mix.weight.view(dim, self.window, dim).transpose(1, 2).unsqueeze(2)
        image = h.transpose(1, 2).unsqueeze(2)
        reach, step = self.dilation * (self.window // 2), (1, self.dilation)
        mixed = nn.functional.conv2d(
            image, kernel, self.mix.bias, padding=(0, reach), dilation=step
        )
        return mixed.squeeze(2).transpose(1, 2)[:, :length]


class LinearMemory(nn.Module):
    r"""What a token knows of all others: decaying sums over the tokens before and after it.

    .. math:: m_t = W_{out} [f_t, b_t], \quad f_t = a ⊙ f_{t-1} + \sqrt{1 - a^2} ⊙ W_f h_t, \quad
              b_t = a' ⊙ b_{t+1} + \sqrt{1 - a'^2} ⊙ W_b h_t

    The decays :math:`a = \exp(-1/τ)` learn; they start with time scales τ from 1 to ``longest``,
    equally far apart on a log scale. Input and output have no bias, so that zeros stay zeros.

    Args:
        dim: Width D.
        longest: Longest time scale at the start, in tokens.
        generator: Source of the initial weights.

    Shapes:
        h (B, T, D), zero at padding · output (B, T, D)

    Raises:
        ValueError: If ``longest`` is below 1.

    Source: diagonal linear recurrences as in LRU (arXiv 2303.06349), real and both ways, like
    Mega's moving averages (arXiv 2209.10655).
    """

    def __init__(self, dim: int, longest: float, generator: torch.Generator) -> None:
        super().__init__()
        if not longest >= 1:
            raise ValueError(f"memory must be 0 or at least 1 token, got {longest}")
        self.into = linear(dim, 2 * dim, generator, bias=False)
        self.back = linear(2 * dim, dim, generator, bias=False)
        scales = torch.logspace(0, math.log10(longest), dim).repeat(2)
        self.log_rate = nn.Parameter(-scales.log())

    def forward(self, h: Tensor) -> Tensor:
        rate = self.log_rate.exp()
        # 1 - a² without the loss of digits near a = 1.
        scale = torch.expm1(-2 * rate).neg().sqrt()
        inputs = self.into(h)
        if inputs.dtype == torch.bfloat16:  # in which a long sum would lose what it is made of
            inputs = inputs.float()
        return self.back(recur_both_ways(inputs * scale, torch.exp(-rate)))


@register_tokenizer("SequenceTokenizer")
class SequenceTokenizer(nn.Module):
    """Symbol embedding + learned position embedding, then a local stem.

    By default of the same scale: positions much smaller than the symbols are lost in the sum.

    Args:
        vocabulary: Number of token ids, the padding id 0 among them.
        dim: Width D of a token.
        max_length: Longest sequence, the number of positions.
        stem_layers: Number of `WindowMLP` blocks.
        window: Tokens that each of them sees, odd.
        scale: Standard deviation of both embeddings at the start.
        seed: Seed of the initial weights.
        position_scale: That of the positions, as a multiple of that of the symbols; 0: none, so
            that a token's place shows only in what the stem sees around it.
        dilations: Distance between the tokens of a window, block by block, in turn.
        memory: Longest time scale of the blocks' :class:`LinearMemory`, in tokens; 0 is none.

    Shapes:
        batch.inputs (B, T), batch.mask (B, T) → tokens (B, T, D), zero at padding · mask (B, T)

    Raises:
        ValueError: If a sequence is longer than ``max_length``, or if ``window`` is even.

    Source: ours; the local stem is what ListOps needs (SPEC 4).
    """

    def __init__(
        self,
        vocabulary: int,
        dim: int,
        max_length: int,
        stem_layers: int = 0,
        window: int = 9,
        scale: float = 1.0,
        seed: int = 0,
        position_scale: float = 1.0,
        dilations: Sequence[int] = (1,),
        memory: float = 0.0,
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "vocabulary": vocabulary, "dim": dim, "max_length": max_length,
            "stem_layers": stem_layers, "window": window, "scale": scale, "seed": seed,
            "position_scale": position_scale,
            "dilations": list(dilations), "memory": memory,
        }  # fmt: skip
        if not dilations:
            raise ValueError("dilations must be one or more whole numbers, got none")
        generator = torch.Generator().manual_seed(seed)
        self.max_length = max_length
        self.symbols = nn.utils.skip_init(nn.Embedding, vocabulary, dim)
        self.positions = nn.Parameter(torch.empty(max_length, dim))
        for table in (self.symbols.weight, self.positions):
            nn.init.normal_(table, std=scale, generator=generator)
        with torch.no_grad():
            self.positions.mul_(position_scale)
        # Without positions at the start there are to be none: those of long sequences would learn
        # less, and from fewer samples, than those of short ones.
        self.positions.requires_grad_(position_scale > 0)
        self.stem = nn.ModuleList(
            WindowMLP(dim, window, generator, dilations[k % len(dilations)], memory)
            for k in range(stem_layers)
        )

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        length = batch.inputs.shape[1]
        if length > self.max_length:
            raise ValueError(
                f"a sequence may have at most max_length = {self.max_length} symbols, got {length}"
            )
        tokens = self.symbols(batch.inputs) + self.positions[:length]
        tokens = tokens * batch.mask.unsqueeze(-1)
        for block in self.stem:
            tokens = block(tokens, batch.mask)
        return tokens, batch.mask
