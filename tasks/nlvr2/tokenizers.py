"""Tokens of a sentence and of two images: modules from a batch to a set of vectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nacgraph.nn.init import linear
from nacgraph.nn.sequence import WindowMLP
from nacgraph.tasks.base import Batch
from nacgraph.tasks.tokenizers import register_tokenizer

MOST_WORDS = 64  # positions of their own; later words share the last one


class _Words(nn.Module):
    """Words (B, N, 2) int64 or features (B, N, F) → (B, N, D), each after its neighbours."""

    def __init__(
        self,
        dim: int,
        buckets: int,
        features: int,
        layers: int,
        window: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(MOST_WORDS, dim, generator=generator))
        if features:
            self.lift = linear(features, dim, generator=generator)
        else:
            # A word is the sum of two rows, so each row gets half of the variance.
            self.symbols = nn.utils.skip_init(nn.Embedding, buckets + 1, dim)
            nn.init.normal_(self.symbols.weight, std=0.5**0.5, generator=generator)
        self.features = features
        self.stem = nn.ModuleList(
            WindowMLP(dim, window, generator=generator) for _ in range(layers)
        )

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        if self.features:
            tokens = self.lift(nn.functional.layer_norm(words, words.shape[-1:]))
        else:
            tokens = self.symbols(words).sum(2)
        place = torch.arange(words.shape[1], device=words.device).clamp(max=MOST_WORDS - 1)
        tokens = (tokens + self.positions[place]) * mask.unsqueeze(-1)
        for block in self.stem:
            tokens = block(tokens, mask)
        return tokens


@register_tokenizer("SentenceTokenizer")
class SentenceTokenizer(nn.Module):
    r"""The words of a batch's sentences: what the generator is given.

    .. math:: t_n = E_{h_1(w_n)} + E_{h_2(w_n)} + p_n

    for hashes h of word n, or a linear map of features of a language model, then a local stem,
    so that "red" knows which noun it belongs to.

    Args:
        dim: Width D.
        buckets: Rows of E beside the padding, for words.
        features: Width of features, or 0 for words.
        stem_layers: Number of local blocks.
        window: Words that each of them sees, odd.
        seed: Seed of the initial weights.

    Shapes:
        batch.condition (B, N, 2) int64, or (B, N, features) · condition_mask (B, N) →
        tokens (B, N, D), zero at padding · mask (B, N)

    Source: ours; two hashes a word as in Hash Embeddings (NeurIPS 2017).
    """

    def __init__(
        self,
        dim: int,
        buckets: int = 1024,
        features: int = 0,
        stem_layers: int = 1,
        window: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "dim": dim,
            "buckets": buckets,
            "features": features,
            "stem_layers": stem_layers,
            "window": window,
            "seed": seed,
        }
        generator = torch.Generator().manual_seed(seed)
        self.words = _Words(dim, buckets, features, stem_layers, window, generator)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        words, mask = _sentences(batch)
        return self.words(words, mask), mask


@register_tokenizer("ImagePairTokenizer")
class ImagePairTokenizer(nn.Module):
    r"""Two images as one set of tokens, each of which knows its image and its place in it.

    .. math:: t_{k,ij} = \mathrm{stem}(x_k)_{ij} + p_{ij} + q_k

    The stem of an image is two convolutions without overlap (patches of ``patch`` / 2 pixels,
    then 2 x 2 of them) and a residual layer; of features it is one linear map. With ``sentence``,
    the words come into the same set, and every token gets a vector of its modality.

    Args:
        dim: Width D.
        size: Pixels a side, a multiple of ``patch``; 0 for features.
        patch: Pixels a side of a token, even.
        features: (tokens, width) of frozen features of an image, instead of pixels.
        sentence: Whether the sentence's words are tokens too, for a circuit that all share.
        buckets: As in `SentenceTokenizer`; so are the next three.
        sentence_features: Width of a sentence's features, or 0 for words.
        stem_layers: Local blocks over the words.
        window: Words that each of them sees, odd.
        seed: Seed of the initial weights.

    Shapes:
        batch.inputs (B, 2, 3, size, size) in [0, 1], or (B, 2, tokens, width) →
        tokens (B, 2 places + N, D) · mask of that, False at padding of the sentence

    Raises:
        ValueError: If ``size`` is no multiple of ``patch``, ``patch`` is odd, or the batch has
            images of another size.
    """

    def __init__(
        self,
        dim: int,
        size: int = 24,
        patch: int = 8,
        features: tuple[int, int] | list[int] | None = None,
        sentence: bool = False,
        buckets: int = 1024,
        sentence_features: int = 0,
        stem_layers: int = 1,
        window: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "dim": dim,
            "size": size,
            "patch": patch,
            "features": None if features is None else list(features),
            "sentence": sentence,
            "buckets": buckets,
            "sentence_features": sentence_features,
            "stem_layers": stem_layers,
            "window": window,
            "seed": seed,
        }
        generator = torch.Generator().manual_seed(seed)
        self.stem: nn.Module
        if features is not None:
            places, self.shape = features[0], tuple(features)
            self.stem = _FeatureStem(features[1], dim, generator)
        else:
            if patch < 2 or patch % 2 or size < patch or size % patch:
                raise ValueError(
                    f"patch: expected an even divisor of the image's {size} pixels, got {patch}"
                )
            places, self.shape = (size // patch) ** 2, (3, size, size)
            self.stem = _PixelStem(dim, patch, generator)
        self.positions = nn.Parameter(torch.randn(places, dim, generator=generator))
        self.image_positions = nn.Parameter(torch.randn(2, 1, dim, generator=generator))
        if sentence:
            self.words = _Words(dim, buckets, sentence_features, stem_layers, window, generator)
            self.modality_positions = nn.Parameter(torch.randn(2, dim, generator=generator))
        self.sentence = sentence

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        inputs = batch.inputs
        if tuple(inputs.shape[1:]) != (2, *self.shape):
            raise ValueError(
                f"inputs: expected two images of shape {self.shape}, got {tuple(inputs.shape[1:])}"
            )
        seen = self.stem(inputs.flatten(0, 1)).unflatten(0, (-1, 2))
        tokens = (seen + self.positions + self.image_positions).flatten(1, 2)
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        if not self.sentence:
            return tokens, mask
        words, real = _sentences(batch)
        said = (self.words(words, real) + self.modality_positions[1]) * real.unsqueeze(-1)
        return (
            torch.cat([tokens + self.modality_positions[0], said], 1),
            torch.cat([mask, real], 1),
        )


class _PixelStem(nn.Module):
    """Images (M, 3, size, size) → (M, places, D)."""

    def __init__(self, dim: int, patch: int, generator: torch.Generator) -> None:
        super().__init__()
        # As linear layers over the pixels of a patch: what a convolution without overlap is.
        self.step = patch // 2
        self.first = linear(3 * self.step**2, dim, generator=generator)
        self.second = linear(4 * dim, dim, generator=generator)
        self.norm, self.last = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.third, self.fourth = (
            linear(dim, dim, generator=generator),
            linear(dim, dim, generator=generator),
        )

    def forward(self, images: Tensor) -> Tensor:
        x = nn.functional.pixel_unshuffle(4 * images - 2, self.step).permute(0, 2, 3, 1)
        x = nn.functional.gelu(self.first(x))
        x = nn.functional.pixel_unshuffle(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        x = self.second(x).flatten(1, 2)
        # To the scale of the positions, in whose sum a faint picture would be lost.
        return self.last(x + self.fourth(nn.functional.gelu(self.third(self.norm(x)))))


class _FeatureStem(nn.Module):
    """Features (M, places, width) → (M, places, D)."""

    def __init__(self, width: int, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.lift, self.last = linear(width, dim, generator=generator), nn.LayerNorm(dim)

    def forward(self, features: Tensor) -> Tensor:
        return self.last(self.lift(nn.functional.layer_norm(features, features.shape[-1:])))


def _sentences(batch: Batch) -> tuple[Tensor, Tensor]:
    if batch.condition is None or batch.condition_mask is None:
        raise ValueError("condition: expected a batch with sentences, got one without")
    return batch.condition, batch.condition_mask
