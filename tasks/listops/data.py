"""ListOps sequences: generated as LRA does, kept in a cache, without duplicates."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from nacgraph.tasks.batching import Sequences, concatenate
from nacgraph.tasks.cache import Arrays, cached, default_cache_dir
from nacgraph.tasks.listops.trees import check_lengths, evaluate, grow
from nacgraph.utils.progress_line import tell

_CHUNK = 500  # trees drawn at a time: Ctrl-C is answered between two chunks
_VERSION = 1  # increase with any change of what a seed generates

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Recipe:
    """Settings that, with the seed, fix a set of generated sequences.

    Args:
        shortest: Least number of symbols, inclusive; LRA has 501 (its ``min_length`` 500).
        longest: Greatest number of symbols, inclusive; LRA has 1999 (its ``max_length`` 2000).
        sizes: How many sequences each split has; no sequence is in two.
        max_depth: Depth at which every node is a digit.
        max_args: Most arguments of an operator.
    """

    shortest: int = 501
    longest: int = 1999
    sizes: tuple[int, ...] = (96_000, 2_000, 2_000)
    max_depth: int = 10
    max_args: int = 10

    def file_name(self, seed: int) -> str:
        """Name in the cache folder: it spells out every setting."""
        sizes = "+".join(map(str, self.sizes))
        return (
            f"listops-v{_VERSION}-len{self.shortest}-{self.longest}-depth{self.max_depth}"
            f"-args{self.max_args}-n{sizes}-seed{seed}.npz"
        )


def row_hashes(sequences: Sequences) -> list[bytes]:
    """A 16-byte hash of the symbols of every row, to tell equal rows by."""
    tokens, offsets = sequences.tokens.tobytes(), sequences.offsets.tolist()
    return [
        hashlib.blake2b(tokens[start:stop], digest_size=16).digest()
        for start, stop in pairwise(offsets)
    ]


def show_progress(done: int, total: int) -> None:
    """Print to stderr how much has been generated."""
    tell("generating ListOps", done, total, "sequences")


def _chunks(recipe: Recipe, seed: int, workers: int) -> Iterator[Sequences]:
    """Endless chunks in a fixed order: chunk k has a seed of its own, whoever draws it."""
    # All settings are entropy, so that a set of another size is no beginning of this one.
    shape = (recipe.shortest, recipe.longest, recipe.max_depth, recipe.max_args)

    def chunk(number: int) -> Sequences:
        tokens, offsets = grow((seed, *shape, *recipe.sizes, number), _CHUNK, *shape)
        return Sequences(tokens, offsets, evaluate(tokens, offsets))

    yield chunk(0)  # alone, since it compiles the kernels
    number = 1
    with ThreadPoolExecutor(workers) as pool:  # the kernels run without the interpreter's lock
        while True:
            yield from pool.map(chunk, range(number, number + workers))
            number += workers


def generate(
    recipe: Recipe, seed: int, workers: int = 1, progress: Progress | None = None
) -> Sequences:
    """Draw ``sum(recipe.sizes)`` different sequences, in random order.

    Args:
        recipe: Lengths, sizes and the shape of trees.
        seed: The same seed gives the same sequences, with any number of workers.
        workers: Threads that draw trees.
        progress: Called with (done, total) after every chunk.

    Raises:
        ValueError: If no tree has such a length, or if there are too few different ones.
    """
    check_lengths(recipe.shortest, recipe.longest, recipe.max_depth, recipe.max_args)
    total = sum(recipe.sizes)
    parts: list[Sequences] = []
    seen: set[bytes] = set()
    barren = 0
    for chunk in _chunks(recipe, seed, workers):
        fresh = []
        for row, key in enumerate(row_hashes(chunk)):
            if key not in seen and len(seen) < total:
                seen.add(key)
                fresh.append(row)
        parts.append(chunk.take(np.array(fresh, np.int64)))
        if progress is not None:
            progress(len(seen), total)
        if len(seen) == total:
            break
        barren = 0 if fresh else barren + 1
        if barren == 20:
            raise ValueError(
                f"sizes ask for {total} different sequences of {recipe.shortest} to "
                f"{recipe.longest} symbols, got only {len(seen)}: allow longer ones, or ask for "
                "fewer"
            )
    # Likely short sequences are drawn first; after shuffling all splits are distributed equally.
    return concatenate(parts).take(np.random.default_rng((seed, 0, total)).permutation(total))


def generated_splits(
    recipe: Recipe,
    seed: int,
    cache_dir: Path | str | None = None,
    workers: int = 1,
    progress: Progress | None = show_progress,
) -> list[Sequences]:
    """The splits of ``recipe``, from the cache folder if they are there.

    Args:
        recipe: Lengths, sizes and the shape of trees.
        seed: Seed of the generator.
        cache_dir: Folder to keep them in; None is the user's cache folder.
        workers: Threads that draw trees.
        progress: Called with (done, total) while generating.

    Raises:
        ValueError: As `generate`; also if the cache file is damaged (it says which to delete).
    """

    def make() -> Arrays:
        made = generate(recipe, seed, workers, progress)
        return {
            "tokens": made.tokens,
            "offsets": made.offsets,
            "labels": made.labels.astype(np.uint8),
        }

    folder = default_cache_dir() if cache_dir is None else Path(cache_dir)
    settings = {**asdict(recipe), "seed": seed, "version": _VERSION}
    arrays = cached(folder / recipe.file_name(seed), settings, make)
    everything = Sequences(arrays["tokens"], arrays["offsets"], arrays["labels"].astype(np.int64))
    stops = np.cumsum(recipe.sizes)
    return [
        everything.rows(int(stop) - size, int(stop))
        for stop, size in zip(stops, recipe.sizes, strict=True)
    ]
