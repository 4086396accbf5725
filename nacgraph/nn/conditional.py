"""The conditional generator: a circuit of its own for every sample, made from what it is given."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacgraph.graph.design import CircuitDesign
from nacgraph.nn.generator_base import BaseGenerator, register_generator
from nacgraph.nn.generators import InitialState, check_counts
from nacgraph.nn.init import linear, reset_all


@register_generator("conditional")
class ConditionalGenerator(BaseGenerator):
    r"""Descriptors from conditioning tokens c: one learned query per module asks them.

    .. math::
        h &= q + \mathrm{Attend}(\mathrm{LN}(q), \mathrm{LN}(c)) \\
        h &\leftarrow h + \mathrm{FFN}(\mathrm{LN}(h)), \qquad
        h \leftarrow h + \mathrm{Attend}(\mathrm{LN}(h), \mathrm{LN}(h)) \\
        s &= \mathrm{FFN}_s(\mathrm{LN}(h)), \qquad k = \mathrm{FFN}_k(\mathrm{LN}(h))

    Signature s, code k and, from the code, the initial state are made for every module of every
    sample; no sample looks at another.

    Args:
        processors: Number U of processors.
        readouts: Number O of read-outs.
        signature_dim: Width S.
        code_dim: Width K.
        dim: Width D of the initial states.
        condition_dim: Width of the conditioning tokens.
        width: Width of queries and of what they become.
        heads: Heads of both attentions; ``width`` is a multiple of it.
        factor: Width factor of the feed-forward parts.
        generator: Source of the initial weights; PyTorch's own if left out.

    Shapes:
        condition (B, T, condition_dim) · mask (B, T) bool, True where real · output: a design whose
        tensors are (B, modules, ·)

    Raises:
        ValueError: If there is no processor or read-out, or ``heads`` does not divide ``width``.

    Example:
        >>> generate = ConditionalGenerator(
        ...     6, 2, signature_dim=4, code_dim=5, dim=8, condition_dim=7, width=12
        ... )
        >>> design = generate(torch.randn(3, 9, 7))  # 3 samples of 9 tokens
        >>> design.processor_signatures.shape, design.readout_states.shape
        (torch.Size([3, 6, 4]), torch.Size([3, 2, 8]))

    Source: Neural Attentive Circuits (NeurIPS 2022), the circuit generator, conditional.
    """

    kept: Tensor

    def __init__(
        self,
        processors: int,
        readouts: int,
        signature_dim: int,
        code_dim: int,
        dim: int,
        condition_dim: int,
        width: int = 128,
        heads: int = 4,
        factor: int = 2,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_counts(processors, readouts)
        if heads < 1 or width % heads:
            raise ValueError(f"heads: expected a divisor of width {width}, got {heads}")
        self.queries = nn.Parameter(torch.empty(processors + readouts, width))
        self._draw_queries(generator)
        # Which queries are processors that are still there: pruning takes some away. The others
        # go on being asked, since what the kept ones became depends on them.
        self.register_buffer("kept", torch.arange(processors))
        self.processors = processors
        self.condition_norm = nn.LayerNorm(condition_dim)
        self.query_norm, self.self_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask = _Attend(width, condition_dim, heads, generator=generator)
        self.ffn = _FeedForward(width, width, factor, generator=generator)
        self.talk = _Attend(width, width, heads, generator=generator)
        self.to_signature = _FeedForward(width, signature_dim, factor, generator=generator)
        self.to_code = _FeedForward(width, code_dim, factor, generator=generator)
        self.processor_state = InitialState(code_dim, dim, generator=generator)
        self.readout_state = InitialState(code_dim, dim, generator=generator)

    @classmethod
    def from_config(
        cls,
        config: Any,
        *,
        signatures: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> ConditionalGenerator:
        heads, width = math.gcd(config.heads, config.width), config.width
        return cls(*cls.sizes(config), width, width=width, heads=heads, generator=generator)

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw new queries and weights; the processors that were selected stay so."""
        self._draw_queries(generator)
        reset_all(*self.children(), generator=generator)

    @torch.no_grad()
    def _draw_queries(self, generator: torch.Generator | None) -> None:
        self.queries.copy_(torch.randn(self.queries.shape, generator=generator))

    def extra_repr(self) -> str:
        readouts, width = len(self.queries) - self.processors, self.queries.shape[1]
        return f"processors={len(self.kept)}, readouts={readouts}, width={width}"

    def select(self, processors: Tensor) -> ConditionalGenerator:
        """A copy that gives these processors only, in this order; read-outs all stay."""
        chosen = copy.deepcopy(self)
        chosen.kept = self.kept[processors.to(self.kept.device)]
        return chosen

    def forward(self, tokens: Any = None, mask: Tensor | None = None) -> CircuitDesign:
        """The designs of these samples, from their conditioning tokens (B, T, condition_dim)."""
        condition: Tensor = tokens
        query = self.queries.expand(len(condition), -1, -1)
        asked = self.condition_norm(condition)
        h = query + self.ask(self.query_norm(query), asked, mask)
        h = h + self.ffn(h)
        among = self.self_norm(h)
        h = h + self.talk(among, among)
        signatures, codes = self.to_signature(h), self.to_code(h)
        kept = self.kept
        mine, outward = codes[:, : self.processors][:, kept], codes[:, self.processors :]
        return CircuitDesign(
            processor_signatures=signatures[:, : self.processors][:, kept],
            processor_codes=mine,
            processor_states=self.processor_state(mine),
            readout_signatures=signatures[:, self.processors :],
            readout_codes=outward,
            readout_states=self.readout_state(outward),
        )


class _Attend(nn.Module):
    """Multi-head attention of x (B, N, width) to y (B, T, other); zero where nothing is real."""

    def __init__(
        self, width: int, other: int, heads: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.heads = heads
        self.query = linear(width, width, bias=False, generator=generator)
        self.key = linear(other, width, bias=False, generator=generator)
        self.value = linear(other, width, bias=False, generator=generator)
        self.out_proj = linear(width, width, generator=generator)

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        reset_all(*self.children(), generator=generator)

    def forward(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
        query, key, value = (
            layer(z).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, z in ((self.query, x), (self.key, y), (self.value, y))
        )
        where = None if mask is None else mask[:, None, None, :]
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=where)
        if mask is not None:
            seen = torch.where(mask.any(-1)[:, None, None, None], seen, 0.0)
        return self.out_proj(seen.transpose(1, 2).flatten(-2))


class _FeedForward(nn.Module):
    """W₂ GELU(W₁ LN(x))."""

    def __init__(
        self, width: int, out: int, factor: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = linear(width, factor * width, generator=generator)
        self.second = linear(factor * width, out, generator=generator)

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        reset_all(*self.children(), generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.gelu(self.first(self.norm(x))))
