"""The tokenizer of bytes: a symbol's place matters less than what is beside it."""

from __future__ import annotations

import torch

from nacgraph.tasks.tokenizers import SequenceTokenizer, register_tokenizer


@register_tokenizer("ByteTokenizer")
class ByteTokenizer(SequenceTokenizer):
    """`SequenceTokenizer` whose positions start smaller than its symbols.

    What a word says seldom depends on where it stands, and few texts tell that apart: with
    positions as large as the symbols, every word looks another at each of them.

    Args:
        vocabulary, dim, max_length, stem_layers, window, scale, seed: As there.
        position_scale: Standard deviation of the positions at the start, of that of the symbols.
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
        position_scale: float = 0.1,
    ) -> None:
        super().__init__(vocabulary, dim, max_length, stem_layers, window, scale, seed)
        self.settings["position_scale"] = position_scale
        with torch.no_grad():
            self.positions.mul_(position_scale)
