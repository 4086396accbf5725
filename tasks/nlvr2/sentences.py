"""Sentences about two scenes, and whether they are true: the grammar of the generated set."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

COLOURS = ("red", "green", "blue", "yellow")
SHAPES = ("circle", "square", "triangle", "cross")
SIDES = ("left", "right")
NUMBERS = ("zero", "one", "two", "three")
RELATIONS = ("left of", "right of", "above", "below")

# Form → its skill, the numbers it may name, how many phrases it has, whether it names a side.
FORMS: dict[str, tuple[str, tuple[int, ...], int, bool]] = {
    "exactly": ("hard cardinality", (1, 2, 3), 1, True),
    "at least": ("soft cardinality", (2, 3), 1, True),
    "more": ("soft cardinality", (0,), 2, True),
    "there is": ("existential", (0,), 1, True),
    "one of": ("existential", (0,), 1, False),
    "both": ("existential", (0,), 1, False),
    "relation": ("spatial", (0, 1, 2, 3), 2, True),
}
NAMES = tuple(FORMS)
SKILLS = tuple(dict.fromkeys(form[0] for form in FORMS.values()))


@dataclass(frozen=True)
class Claims:
    """N sentences as arrays (N) int64; what a form does not use is 0.

    Attributes:
        form: Which of `NAMES`.
        number: The number it names; for "relation" which of `RELATIONS`.
        first: Kind of object (colour * shapes + shape) of its first phrase.
        second: Kind of its second phrase.
        side: Which of `SIDES`.
    """

    form: np.ndarray
    number: np.ndarray
    first: np.ndarray
    second: np.ndarray
    side: np.ndarray

    def __len__(self) -> int:
        return len(self.form)

    def take(self, index: np.ndarray) -> Claims:
        """The sentences ``index``."""
        return Claims(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def put(self, index: np.ndarray, other: Claims) -> None:
        """Replace the sentences ``index``."""
        for name in self.__dataclass_fields__:
            getattr(self, name)[index] = getattr(other, name)


def draw(
    skill: np.ndarray, colours: int, shapes: int, rng: np.random.Generator, known_only: bool
) -> Claims:
    """Sentences of these skills (N, numbers in `SKILLS`), forms of a skill equally often.

    With ``known_only`` none of them is one of those held back from training (`held_back`).
    """
    count, kinds = len(skill), colours * shapes
    form, number = np.zeros(count, np.int64), np.zeros(count, np.int64)
    u, v = rng.random(count), rng.random(count)
    for s, name in enumerate(SKILLS):
        here = skill == s
        forms = np.array([k for k, f in enumerate(FORMS.values()) if f[0] == name])
        form[here] = forms[(u[here] * len(forms)).astype(int)]
    for k, (_, numbers, _, _) in enumerate(FORMS.values()):
        here = form == k
        number[here] = np.array(numbers)[(v[here] * len(numbers)).astype(int)]
    phrases = np.array([f[2] for f in FORMS.values()])[form]
    sided = np.array([f[3] for f in FORMS.values()])[form]
    first = rng.integers(0, kinds, count)
    other = (first + rng.integers(1, kinds, count)) % kinds
    claims = Claims(
        form,
        number,
        first,
        np.where(phrases == 2, other, 0),
        np.where(sided, rng.integers(0, 2, count), 0),
    )
    if known_only:
        texts = words_of(claims, shapes)
        again = np.flatnonzero([held_back(text) for text in texts])
        if len(again):
            claims.put(again, draw(skill[again], colours, shapes, rng, True))
    return claims


def held_back(text: str) -> bool:
    """Whether this sentence is one of the tenth that never train, so that tests have new ones."""
    return zlib.crc32(text.encode()) % 10 == 0


def words_of(claims: Claims, shapes: int) -> list[str]:
    """The sentences in English, without a full stop."""
    rows = zip(*(getattr(claims, n).tolist() for n in claims.__dataclass_fields__), strict=True)
    return [_sentence(NAMES[f], number, a, b, side, shapes) for f, number, a, b, side in rows]


def _sentence(form: str, number: int, first: int, second: int, side: int, shapes: int) -> str:
    one, two = (f"{COLOURS[k // shapes]} {SHAPES[k % shapes]}" for k in (first, second))
    many, others = (name + ("es" if name.endswith("s") else "s") for name in (one, two))
    here = SIDES[side]
    if form in ("exactly", "at least"):
        counted = f"is {form} one {one}" if number == 1 else f"are {form} {NUMBERS[number]} {many}"
        return f"there {counted} in the {here} image"
    return {
        "more": f"there are more {many} than {others} in the {here} image",
        "there is": f"there is a {one} in the {here} image",
        "one of": f"one of the images contains a {one}",
        "both": f"both images contain a {one}",
        "relation": f"a {one} is {RELATIONS[number]} a {two} in the {here} image",
    }[form]


def truth(claims: Claims, scenes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each claim is true of its scenes, and whether that hangs on places.

    It does for a spatial claim whose two objects are there once each and differ on the axis that
    is asked for: then where they are decides, not which objects there are.

    Shapes:
        claims N · scenes (N, 2, cells) with 0 for an empty cell, else 1 + kind · (N), (N) bool
    """
    rows = np.arange(len(claims))
    first = scenes == claims.first[:, None, None] + 1
    second = scenes == claims.second[:, None, None] + 1
    counts, others = first.sum(-1), second.sum(-1)
    here, number = counts[rows, claims.side], claims.number
    values = {
        "exactly": here == number,
        "at least": here >= number,
        "more": here > others[rows, claims.side],
        "there is": here > 0,
        "one of": counts.sum(-1) > 0,
        "both": (counts > 0).all(-1),
    }
    result, placed = np.zeros(len(claims), bool), np.zeros(len(claims), bool)
    for name, value in values.items():
        asked = claims.form == NAMES.index(name)
        result[asked] = value[asked]
    asked = np.flatnonzero(claims.form == NAMES.index("relation"))
    side, relation = claims.side[asked], number[asked]
    a, b = first[asked, side], second[asked, side]
    width = round(scenes.shape[-1] ** 0.5)
    row, column = np.divmod(np.arange(scenes.shape[-1]), width)
    # Left of and above: some first object comes before some second one along the axis; mirrored,
    # so that right of and below are the same question.
    axis = np.where(relation[:, None] < 2, column, row)
    axis = np.where(relation[:, None] % 2 == 0, axis, width - 1 - axis)
    nearest = np.where(a, axis, width).min(-1)
    farthest = np.where(b, axis, -1).max(-1)
    result[asked] = nearest < farthest
    placed[asked] = (a.sum(-1) == 1) & (b.sum(-1) == 1) & (nearest != farthest)
    return result, placed
