"""The embedded data: sets of scenes and sentences as tables of samples."""

from __future__ import annotations

import numpy as np

from nacgraph.tasks.nlvr2.scenes import Sets, World, make_sets, render
from nacgraph.tasks.nlvr2.sentences import FORMS, NAMES, held_back, words_of
from nacgraph.tasks.splits import SPLITS, Data, Table

SET = 4  # samples of a set: two sentences, each with two pairs of images
SOURCE = "NLVR2: generated scenes and sentences, not NLVR2's photographs"


def generated(world: World, sizes: tuple[int, int, int], seed: int) -> Data:
    """Splits of at least these sizes, rounded up to whole sets."""
    tables = {}
    for key, (name, size) in enumerate(zip(SPLITS, sizes, strict=True)):
        sets = make_sets(world, -(-size // SET), (seed, key), known_only=name == "train")
        tables[name] = as_table(world, sets, name)
    return Data(tables, ("False", "True"), SOURCE)


def as_table(world: World, sets: Sets, split: str) -> Table:
    """The four samples of every set, one after the other.

    Columns: left, right (3, SIZE, SIZE) uint8 · sentence · scene (2, cells), of which each object
    is put into words by `scenes.objects`. The pictures of a pair are held once.
    """
    images = render(world, sets.scenes, sets.shifts).transpose(0, 1, 2, 5, 3, 4)
    images = np.ascontiguousarray(images)
    count = len(images)
    which, sentence, pair = (
        axis.ravel() for axis in np.meshgrid(range(count), (0, 1), (0, 1), indexing="ij")
    )
    texts = [words_of(claims, world.shapes) for claims in sets.claims]
    said = [texts[s][k] for k, s in zip(which, sentence, strict=True)]
    form = [NAMES[sets.claims[s].form[k]] for k, s in zip(which, sentence, strict=True)]
    pairs = list(zip(which.tolist(), pair.tolist(), strict=True))
    return Table(
        (sentence == pair).astype(np.int64),
        {
            "left": [images[k, p, 0] for k, p in pairs],
            "right": [images[k, p, 1] for k, p in pairs],
            "sentence": said,
            "scene": sets.scenes[which, pair],
        },
        {
            "skill": [FORMS[name][0] for name in form],
            "form": form,
            "sentence": said,
            "known": ["new" if held_back(text) else "seen" for text in said],
            "identifier": [
                f"{split}-{k}-{p}-{s}" for (k, p), s in zip(pairs, sentence, strict=True)
            ],
        },
    )
