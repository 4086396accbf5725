"""Tokenizers: from a batch to a set of vectors that know their place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nacgraph.registry import Registry
from nacgraph.tasks.base import Batch

# Classes that a saved model may name. Each keeps its constructor's arguments, as JSON values, in
# ``settings``, so that the model can be built again.
TOKENIZERS: Registry[nn.Module] = Registry("tokenizer", "nacgraph.tokenizers")
register_tokenizer = TOKENIZERS.register

_ROUND = 64  # symbols to which a window's input is rounded up


class WindowMLP(nn.Module):
    r"""Residual block in which a token sees its neighbours: a local stem.

    .. math:: y_t = x_t + W_2\,\mathrm{GELU}(W_1 [h_{t-r}, …, h_{t+r}] + b_1) + b_2,
              \quad h = \mathrm{LayerNorm}(x)

    with ``window = 2 r + 1``. Positions outside the sample, padding among them, count as zero,
    so that padding changes nothing.

    Args:
        dim: Width D.
        window: Number of neighbouring tokens seen, odd.

    Shapes:
        x (B, T, D) · mask (B, T) bool, True where real · output (B, T, D), zero at padding

    Raises:
        ValueError: If ``window`` is even or not positive.
    """

    def __init__(self, dim: int, window: int, generator: torch.Generator) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise ValueError(f"window must be odd and positive, got {window}")
        self.norm = nn.LayerNorm(dim)
        self.window = window
        # skip_init: the default start would draw from the global generator.
        self.mix = nn.utils.skip_init(nn.Linear, window * dim, dim)
        self.out = nn.utils.skip_init(nn.Linear, dim, dim)
        for layer in (self.mix, self.out):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        real = mask.unsqueeze(-1)
        h = nn.functional.gelu(self._mix_windows(self.norm(x) * real))
        return (x + self.out(h)) * real

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
        mixed = nn.functional.conv2d(image, kernel, self.mix.bias, padding=(0, self.window // 2))
        return mixed.squeeze(2).transpose(1, 2)[:, :length]


@register_tokenizer("SequenceTokenizer")
class SequenceTokenizer(nn.Module):
    """Symbol embedding + learned position embedding of the same scale, then a local stem.

    The scales must be alike: positions much smaller than the symbols are lost in the sum.

    Args:
        vocabulary: Number of token ids, the padding id 0 among them.
        dim: Width D of a token.
        max_length: Longest sequence, the number of positions.
        stem_layers: Number of `WindowMLP` blocks.
        window: Tokens that each of them sees, odd.
        scale: Standard deviation of both embeddings at the start.
        seed: Seed of the initial weights.

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
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "vocabulary": vocabulary, "dim": dim, "max_length": max_length,
            "stem_layers": stem_layers, "window": window, "scale": scale, "seed": seed,
        }  # fmt: skip
        generator = torch.Generator().manual_seed(seed)
        self.max_length = max_length
        self.symbols = nn.utils.skip_init(nn.Embedding, vocabulary, dim)
        self.positions = nn.Parameter(torch.empty(max_length, dim))
        for table in (self.symbols.weight, self.positions):
            nn.init.normal_(table, std=scale, generator=generator)
        self.stem = nn.ModuleList(WindowMLP(dim, window, generator) for _ in range(stem_layers))

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
