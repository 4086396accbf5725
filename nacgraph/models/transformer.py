"""Transformer and Linformer: tokens attend to tokens. Baselines that have no circuit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nacgraph.models.config import TransformerConfig as TransformerConfig
from nacgraph.models.nac import NAC
from nacgraph.nn.init import fan_in_normal_, linear


@dataclass(frozen=True)
class TransformerOutput:
    """What a transformer answers.

    Attributes:
        logits: (B, C).
    """

    logits: Tensor


class SelfAttention(nn.Module):
    r"""Multi-head attention of all tokens to all tokens, padding masked; or Linformer's.

    .. math:: y = W_o\,\mathrm{softmax}\left(Q K^\top / \sqrt{d}\right) V, \qquad
              Q = x W_q,\ K = x W_k,\ V = x W_v

    for each head of width d. With ``linformer_tokens`` keys and values are first projected along
    the sequence, :math:`K \to E^\top K` and :math:`V \to F^\top V` with learned E, F of which a
    sample of T tokens uses the first T rows. Padded tokens are zero there, so that they add
    nothing. E and F serve all heads.

    Args:
        width: Width D of a token.
        heads: Number of heads H.
        head_dim: Width d of a head.
        max_tokens: The most tokens that there can be, rows of E and F.
        linformer_tokens: Their columns k, no more than there are rows; 0 is full attention.
        generator: Source of the initial weights; PyTorch's own if left out.

    Shapes:
        x (B, T, D) · mask (B, T) bool, True where a token is real · output (B, T, D)

    Raises:
        ValueError: If ``linformer_tokens`` comes without ``max_tokens``, or T is above that.

    Source: Attention Is All You Need (NeurIPS 2017); Linformer (arXiv 2006.04768), its sharing of
    projections among heads.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_dim: int,
        max_tokens: int | None = None,
        linformer_tokens: int = 0,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.query = linear(width, inner, bias=False, generator=generator)
        self.key = linear(width, inner, bias=False, generator=generator)
        self.value = linear(width, inner, bias=False, generator=generator)
        self.out = linear(inner, width, generator=generator)
        self.key_rows: nn.Parameter | None = None
        self.value_rows: nn.Parameter | None = None
        if linformer_tokens:
            if max_tokens is None:
                raise ValueError(
                    "max_tokens: expected the most tokens that a sample can have, for linformer's "
                    "projections, got None; a task says it by Task.max_tokens"
                )
            shape = min(linformer_tokens, max_tokens), max_tokens
            self.key_rows, self.value_rows = (
                # Summed over are the tokens, so these are what the scale follows from.
                nn.Parameter(fan_in_normal_(torch.empty(shape), generator=generator).T.contiguous())
                for _ in range(2)
            )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        keys = values = x
        seen: Tensor | None = mask[:, None, None]
        if self.key_rows is not None and self.value_rows is not None:
            length, most = x.shape[1], len(self.key_rows)
            if length > most:
                raise ValueError(f"tokens: expected at most {most} in a sample, got {length}")
            # W_k and W_v have no bias: projected before them or after is the same, and before
            # they have k rows to work on instead of T.
            real = x * mask.unsqueeze(-1)
            keys, values = (rows[:length].T @ real for rows in (self.key_rows, self.value_rows))
            seen = None
        query, key, value = (
            layer(of).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, of in ((self.query, x), (self.key, keys), (self.value, values))
        )
        found = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        return self.out(found.transpose(1, 2).flatten(2))


class Block(nn.Module):
    r"""Pre-norm attention, then a feed-forward layer on each token, both residual.

    .. math:: h = x + \mathrm{Attention}(\mathrm{LayerNorm}(x)), \qquad
              y = h + W_2\,\mathrm{GELU}(W_1\,\mathrm{LayerNorm}(h) + b_1) + b_2

    Args:
        config: Sizes.
        max_tokens: As of :class:`SelfAttention`.
        generator: Source of the initial weights; PyTorch's own if left out.

    Shapes:
        x (B, T, D) · mask (B, T) bool · output (B, T, D), of no meaning at padding
    """

    def __init__(
        self,
        config: TransformerConfig,
        max_tokens: int | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        c, inner = config, config.ffn_factor * config.width
        self.attention_norm, self.ffn_norm = nn.LayerNorm(c.width), nn.LayerNorm(c.width)
        self.attention = SelfAttention(
            c.width, c.heads, c.head_dim, max_tokens, c.linformer_tokens, generator=generator
        )
        self.widen = linear(c.width, inner, generator=generator)
        self.narrow = linear(inner, c.width, generator=generator)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), mask)
        return x + self.narrow(nn.functional.gelu(self.widen(self.ffn_norm(x))))


class Transformer(nn.Module):
    r"""A transformer for classification over the tokens that a NAC would read.

    .. math:: \mathrm{logits} = W\,\frac{1}{T}\sum_t \mathrm{LayerNorm}(x^{(L)}_t) + b

    over the real tokens, after L blocks. It has no modules, so no circuit, no prior and no noise.

    Args:
        config: Sizes.
        tokenizer: Turns a batch into tokens (B, T, width) and a mask (B, T).
        num_classes: Number of classes C.
        max_tokens: The most tokens that the tokenizer gives a sample; Linformer needs it.
        seed: One seed, one model; global randomness plays no part.

    Attributes:
        classes: Names of the classes, or None; only saved and shown.

    Raises:
        ValueError: If ``config.linformer_tokens`` comes without ``max_tokens``.

    Source: On Layer Normalization in the Transformer Architecture (ICML 2020), pre-norm blocks.
    """

    classes: Sequence[str] | None = None

    def __init__(
        self,
        config: TransformerConfig,
        tokenizer: nn.Module,
        num_classes: int,
        max_tokens: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.config = config
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        self.tokenizer = tokenizer
        unique = min(config.rounds, config.unique_layers or config.rounds)
        self.blocks = nn.ModuleList(
            Block(config, max_tokens, generator=generator) for _ in range(unique)
        )
        self.norm = nn.LayerNorm(config.width)
        self.head = linear(config.width, num_classes, generator=generator)

    def forward(self, batch: Any, generator: torch.Generator | None = None) -> TransformerOutput:
        """Answer a batch, called as a NAC is; nothing is drawn from ``generator``."""
        return self.answer(*self.tokenizer(batch))

    def answer(self, tokens: Tensor, mask: Tensor) -> TransformerOutput:
        """Answer samples of tokens (B, T, width), of which those in ``mask`` (B, T) are real."""
        x = tokens
        for step in range(self.config.rounds):
            x = self.blocks[step % len(self.blocks)](x, mask)
        real = mask.unsqueeze(-1)
        mean = (self.norm(x) * real).sum(1) / real.sum(1).clamp(min=1)
        return TransformerOutput(self.head(mean))

    def num_parameters(self) -> int:
        """Parameters that learn."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


Model = NAC | Transformer  # what a run trains
