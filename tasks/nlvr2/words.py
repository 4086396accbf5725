"""Sentences as ids of words, for any English: hashed, so that no vocabulary has to be kept."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np

HASHES = 2
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|[0-9]+|[^\sa-z0-9]")


def split_words(sentence: str) -> list[str]:
    """``"One dog isn't black."`` → ["one", "dog", "isn't", "black", "."]."""
    return _WORD.findall(sentence.lower())


def word_ids(word: str, buckets: int) -> tuple[int, ...]:
    """Two ids from 1 to ``buckets``: words that share one of them hardly ever share both."""
    code = zlib.crc32(word.encode())
    return 1 + code % buckets, 1 + zlib.crc32(word.encode(), code) % buckets


def encode(sentences: Sequence[str], buckets: int) -> list[np.ndarray]:
    """Ids of each sentence, (words, 2) int64; equal sentences share one array."""
    known: dict[str, np.ndarray] = {}
    words: dict[str, tuple[int, ...]] = {}
    for sentence in sentences:
        if sentence not in known:
            ids = [
                words.setdefault(word, word_ids(word, buckets)) for word in split_words(sentence)
            ]
            known[sentence] = np.array(ids, np.int64).reshape(-1, HASHES)
    return [known[sentence] for sentence in sentences]
