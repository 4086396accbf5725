"""Is a sentence true of two scenes? Read from the English alone, for comparison."""

from __future__ import annotations

import re

NUMBERS = {"one": 1, "two": 2, "three": 3}
Thing = dict[str, object]


def holds(sentence: str, scenes: list[list[Thing]]) -> bool:
    """``scenes``: the objects of the left and of the right image."""

    def things(phrase: str, image: str) -> list[Thing]:
        colour, shape = phrase.split()
        shape = {"crosses": "cross"}.get(shape, shape if shape == "cross" else shape.rstrip("s"))
        where = scenes[["left", "right"].index(image)]
        return [t for t in where if (t["colour"], t["shape"]) == (colour, shape)]

    def match(pattern: str) -> tuple[str, ...] | None:
        found = re.fullmatch(pattern.replace("THING", r"(\w+ \w+)"), sentence)
        return None if found is None else found.groups()

    if said := match(r"there (?:is|are) (exactly|at least) (\w+) THING in the (\w+) image"):
        how, number, phrase, image = said
        count = len(things(phrase, image))
        return count == NUMBERS[number] if how == "exactly" else count >= NUMBERS[number]
    if said := match(r"there are more THING than THING in the (\w+) image"):
        return len(things(said[0], said[2])) > len(things(said[1], said[2]))
    if said := match(r"there is a THING in the (\w+) image"):
        return bool(things(*said))
    if said := match(r"one of the images contains a THING"):
        return bool(things(said[0], "left") or things(said[0], "right"))
    if said := match(r"both images contain a THING"):
        return bool(things(said[0], "left") and things(said[0], "right"))
    if said := match(r"a THING is (left of|right of|above|below) a THING in the (\w+) image"):
        phrase, relation, other, image = said
        axis = "column" if relation.endswith("of") else "row"
        before = relation in ("left of", "above")
        return any(
            (a[axis] < b[axis]) if before else (a[axis] > b[axis])  # type: ignore[operator]
            for a in things(phrase, image)
            for b in things(other, image)
        )
    raise AssertionError(f"no such sentence: {sentence}")
