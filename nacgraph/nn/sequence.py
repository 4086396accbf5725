"""The local stem of a sequence: what a token sees of its neighbours, and keeps of all others."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacgraph.nn.init import linear, reset_all
from nacgraph.ops.recurrence import recur_both_ways, turn_both_ways

_ROUND = 64  # symbols to multiples of which a window's input is rounded up
_LEAST = 8  # shorter than _ROUND it is to this, or twice, four times as much


class WindowMLP(nn.Module):
    r"""Residual block in which a token sees its neighbours, and what a memory keeps of the rest.

    .. math:: y_t = x_t + W_2\,\mathrm{GELU}(W_1 [h_{t-rd}, …, h_{t-d}, h_t, h_{t+d}, …, h_{t+rd}]
              + m_t + b_1) + b_2, \quad h = \mathrm{LayerNorm}(x)

    with ``window = 2 r + 1``, d the dilation and m of :class:`LinearMemory` or
    :class:`SelectiveMemory`, 0 without one.
    Positions outside the sample, padding among them, count as zero, so that padding changes
    nothing.

    Args:
        dim: Width D.
        window: Number of neighbouring tokens seen, odd.
        dilation: Distance from one of them to the next.
        memory: Longest time scale of the memory, in tokens; 0 is none.
        selective: Whether tokens say what the memory keeps.
        generator: Source of the initial weights; PyTorch's own if left out.

    Shapes:
        x (B, T, D) · mask (B, T) bool, True where real · output (B, T, D), zero at padding

    Raises:
        ValueError: If ``window`` is even or not positive, ``dilation`` is not positive, or
            ``selective`` has no memory.

    Example:
        >>> block = WindowMLP(8, window=3, memory=100)
        >>> block(torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)).shape
        torch.Size([2, 5, 8])

    Source: ours; a residual block as in MLP-Mixer (arXiv 2105.01601), over windows.
    """

    def __init__(
        self,
        dim: int,
        window: int,
        dilation: int = 1,
        memory: float = 0.0,
        selective: bool = False,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise ValueError(f"window must be odd and positive, got {window}")
        if dilation < 1:
            raise ValueError(f"dilation must be at least 1, got {dilation}")
        if selective and not memory:
            raise ValueError(f"selective needs a memory of at least 1 token, got memory = {memory}")
        self.dilation = dilation
        self.norm = nn.LayerNorm(dim)
        self.window = window
        self.mix = linear(window * dim, dim, generator=generator)
        self.out = linear(dim, dim, generator=generator)
        kind = SelectiveMemory if selective else LinearMemory
        self.memory = kind(dim, memory, generator=generator) if memory else None

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw new weights."""
        reset_all(*self.children(), generator=generator)

    def extra_repr(self) -> str:
        return f"dim={self.out.out_features}, window={self.window}, dilation={self.dilation}"

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        real = mask.unsqueeze(-1)
        h = self.norm(x) * real
        mixed = self._mix_windows(h)
        if self.memory is not None:
            mixed = mixed + self.memory(h)
        return (x + self.out(F.gelu(mixed))) * real

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
        zeros = _ROUND - length % _ROUND if exporting else _rounded(length) - length
        h = F.pad(h, (0, 0, 0, zeros))
        kernel = self.mix.weight.view(dim, self.window, dim).transpose(1, 2).unsqueeze(2)
        image = h.transpose(1, 2).unsqueeze(2)
        reach, step = self.dilation * (self.window // 2), (1, self.dilation)
        mixed = F.conv2d(image, kernel, self.mix.bias, padding=(0, reach), dilation=step)
        return mixed.squeeze(2).transpose(1, 2)[:, :length]


def _rounded(length: int) -> int:
    """The next multiple of _ROUND, or what is a power of two times _LEAST if that is less."""
    if length > _ROUND // 2:
        return -(-length // _ROUND) * _ROUND
    return max(_LEAST, 1 << (length - 1).bit_length())


class LinearMemory(nn.Module):
    r"""What a token knows of all others: decaying sums over the tokens before and after it.

    .. math:: m_t = W_{out} [f_t, b_t], \quad f_t = a ⊙ f_{t-1} + \sqrt{1 - a^2} ⊙ W_f h_t, \quad
              b_t = a' ⊙ b_{t+1} + \sqrt{1 - a'^2} ⊙ W_b h_t

    The decays :math:`a = \exp(-1/τ)` learn; they start with time scales τ from 1 to ``longest``,
    equally far apart on a log scale. Input and output have no bias, so that zeros stay zeros.

    Args:
        dim: Width D.
        longest: Longest time scale at the start, in tokens.
        generator: Source of the initial weights; PyTorch's own if left out.

    Shapes:
        h (B, T, D), zero at padding · output (B, T, D)

    Raises:
        ValueError: If ``longest`` is below 1.

    Example:
        >>> LinearMemory(8, longest=100)(torch.randn(2, 5, 8)).shape
        torch.Size([2, 5, 8])

    Source: diagonal linear recurrences as in LRU (arXiv 2303.06349), real and both ways, like
    Mega's moving averages (arXiv 2209.10655).
    """

    def __init__(
        self, dim: int, longest: float, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        _check_scale(longest)
        self.into = linear(dim, 2 * dim, bias=False, generator=generator)
        self.back = linear(2 * dim, dim, bias=False, generator=generator)
        self.longest = longest
        self.log_rate = nn.Parameter(torch.empty(2 * dim))
        self._set_rates()

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw new weights; the time scales start again as they did."""
        reset_all(self.into, self.back, generator=generator)
        self._set_rates()

    @torch.no_grad()
    def _set_rates(self) -> None:
        scales = torch.logspace(0, math.log10(self.longest), len(self.log_rate) // 2).repeat(2)
        self.log_rate.copy_(-scales.log())

    def extra_repr(self) -> str:
        return f"dim={self.into.in_features}, longest={self.longest}"

    def forward(self, h: Tensor) -> Tensor:
        rate = self.log_rate.exp()
        # 1 - a² without the loss of digits near a = 1.
        scale = torch.expm1(-2 * rate).neg().sqrt()
        inputs = self.into(h)
        if inputs.dtype == torch.bfloat16:  # in which a long sum would lose what it is made of
            inputs = inputs.float()
        return self.back(recur_both_ways(inputs * scale, torch.exp(-rate)))


class SelectiveMemory(nn.Module):
    r"""A memory of which every token says how much is kept, and by what angle it turns.

    .. math:: m_t = W_{out} [\mathrm{Re}\,f_t, \mathrm{Im}\,f_t, \mathrm{Re}\,b_t, …], \quad
              f_t = a_t e^{iθ_t} ⊙ f_{t-1} + \sqrt{1 - a_t^2} ⊙ W_f h_t, \quad
              a_t = σ(W_a h_t + β), \quad θ_t = W_θ h_t

    and b likewise from the end, with gates of its own. D complex numbers, half of them for each
    way: as many real ones as :class:`LinearMemory` has. What fixed decays cannot: forget at a
    token, keep for as long as none says otherwise, and add modulo, which is what angles do. β
    starts with time scales from 1 to ``longest``, equally far apart on a log scale; every second
    number starts without turning.

    Args:
        dim: Width D, a multiple of 4.
        longest: Longest time scale at the start, in tokens.
        generator: Source of the initial weights; PyTorch's own if left out.

    Shapes:
        h (B, T, D), zero at padding · output (B, T, D)

    Raises:
        ValueError: If ``longest`` is below 1 or ``dim`` no multiple of 4.

    Example:
        >>> SelectiveMemory(8, longest=100)(torch.randn(2, 5, 8)).shape
        torch.Size([2, 5, 8])

    Source: gated diagonal recurrences as in Griffin's RG-LRU (arXiv 2402.19427); gates that turn
    can track states which real positive ones cannot (arXiv 2411.12537).
    """

    def __init__(
        self, dim: int, longest: float, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        _check_scale(longest)
        if dim % 4:
            raise ValueError(f"dim must be a multiple of 4 for a selective memory, got {dim}")
        self.into = linear(dim, 2 * dim, bias=False, generator=generator)
        self.back = linear(2 * dim, dim, bias=False, generator=generator)
        self.longest = longest
        self.keep_bias = nn.Parameter(torch.empty(dim))
        self.keep = linear(dim, dim, bias=False, generator=generator)
        self.turn = linear(dim, dim, bias=False, generator=generator)
        self._set_gates()

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw new weights; the time scales start again as they did."""
        reset_all(*self.children(), generator=generator)
        self._set_gates()

    @torch.no_grad()
    def _set_gates(self) -> None:
        scales = torch.logspace(0, math.log10(self.longest), len(self.keep_bias) // 2).repeat(2)
        self.keep_bias.copy_(-torch.log(torch.expm1(1 / scales)))  # σ of it: exp(-1/τ)
        self.turn.weight[0::2] = 0
        self.turn.weight[1::2] *= 2

    def extra_repr(self) -> str:
        return f"dim={self.into.in_features}, longest={self.longest}"

    def forward(self, h: Tensor) -> Tensor:
        inputs, logit, angle = self.into(h), self.keep(h) + self.keep_bias, self.turn(h)
        if inputs.dtype == torch.bfloat16:  # in which a long sum would lose what it is made of
            inputs, logit, angle = inputs.float(), logit.float(), angle.float()
        decay = torch.sigmoid(logit)
        # 1 - a² = (1 - a)(1 + a), without the loss of digits near a = 1.
        scale = (torch.sigmoid(-logit) * (1 + decay)).sqrt()
        gate = torch.cat([decay * angle.cos(), decay * angle.sin()], dim=-1)
        return self.back(turn_both_ways(inputs * scale.repeat(1, 1, 2), gate))


def _check_scale(longest: float) -> None:
    if not longest >= 1:
        raise ValueError(f"memory must be 0 or at least 1 token, got {longest}")
