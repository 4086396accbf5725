"""Tokenizers: from a batch to a set of vectors that know their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nacgraph.nn.sequence import WindowMLP
from nacgraph.tasks.base import Batch
from nacgraph.utils.registry import Registry

# Classes that a saved model may name. Each keeps its constructor's arguments, as JSON values, in
# ``settings``, so that the model can be built again.
TOKENIZERS: Registry[nn.Module] = Registry("tokenizer", "nacgraph.tokenizers")
register_tokenizer = TOKENIZERS.register


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
        selective: Whether that is a :class:`SelectiveMemory`.

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
        selective: bool = False,
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "vocabulary": vocabulary,
            "dim": dim,
            "max_length": max_length,
            "stem_layers": stem_layers,
            "window": window,
            "scale": scale,
            "seed": seed,
            "position_scale": position_scale,
            "dilations": list(dilations),
            "memory": memory,
            "selective": selective,
        }
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
        # Without positions at the start none are added: those of long sequences would learn
        # less, and from fewer samples, than those of short ones.
        self.positions.requires_grad_(position_scale > 0)
        self.stem = nn.ModuleList(
            WindowMLP(
                dim, window, dilations[k % len(dilations)], memory, selective, generator=generator
            )
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
