"""Generated pairs of scenes, drawn for two sentences at a time: no side alone gives the answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nacgraph.tasks.nlvr2.sentences import COLOURS, NAMES, SHAPES, SKILLS, Claims, draw, truth

GRID, CELL, OBJECT = 3, 8, 6  # cells a side, pixels of a cell and of an object in it
CELLS, SIZE, SHIFTS = GRID * GRID, GRID * CELL, CELL - OBJECT + 1
GROUND = 40
PAINT = {
    "red": (230, 50, 50),
    "green": (60, 200, 70),
    "blue": (60, 90, 240),
    "yellow": (235, 215, 60),
}
RELATION = NAMES.index("relation")
NEAR = 0.5  # share of the false spatial sentences that are so only by where the objects are
PATIENCE = 60  # draws after which a pair of sentences is given up: some contradict each other


@dataclass(frozen=True)
class World:
    """What a scene may contain, and which sentences are made about it.

    Attributes:
        colours: How many of `COLOURS`.
        shapes: How many of `SHAPES`.
        objects: Most objects in an image.
        skills: Skills of the sentences, some of `SKILLS`.
    """

    colours: int = 3
    shapes: int = 3
    objects: int = 5
    skills: tuple[str, ...] = SKILLS

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("colours", self.colours, 2, len(COLOURS)),
            ("shapes", self.shapes, 2, len(SHAPES)),
            ("objects", self.objects, 4, CELLS),
        ):
            if not low <= value <= high:
                raise ValueError(f"{name}: expected {low} to {high}, got {value}")
        if not self.skills or (strange := [s for s in self.skills if s not in SKILLS]):
            got = ", ".join(strange) if self.skills else "none"
            raise ValueError(f"skills: expected some of {', '.join(SKILLS)}, got {got}")


@dataclass(frozen=True)
class Sets:
    """Sets of two image pairs and two sentences, four samples each.

    Sentence 0 is true of pair 0 and false of pair 1; sentence 1 is false of pair 0 and true of
    pair 1. So a model that sees only the sentences, or only the images, is right half of the time,
    exactly, whatever was learned.

    Shapes:
        scenes (N, pair 2, image 2, cells) int8, 0 empty, else 1 + colour * shapes + shape ·
        shifts (N, 2, 2, cells, 2) int8, pixels down and right within the cell · claims: two of N
    """

    scenes: np.ndarray
    shifts: np.ndarray
    claims: tuple[Claims, Claims]


def make_sets(world: World, count: int, seed: tuple[int, ...], known_only: bool) -> Sets:
    """``count`` sets; skills come equally often, and so does each combination of two."""
    rng = np.random.default_rng(seed)
    kinds = np.array([SKILLS.index(name) for name in world.skills])
    turn = np.arange(count)
    skills = (kinds[turn % len(kinds)], kinds[turn // len(kinds) % len(kinds)])

    def sentences(which: np.ndarray) -> tuple[Claims, Claims]:
        one, two = (draw(s[which], world.colours, world.shapes, rng, known_only) for s in skills)
        return one, two

    claims = sentences(turn)
    near = rng.random((2, count)) < NEAR
    scenes = np.zeros((count, 2, 2, CELLS), np.int8)
    pending = turn
    while len(pending):
        missing = np.ones((len(pending), 2), bool)
        for _ in range(PATIENCE):
            rows, pair = np.nonzero(missing)
            if not len(rows):
                break
            at = pending[rows]
            mine = claims[0].take(at), claims[1].take(at)
            plants = near[0, at] | (pair == 0), near[1, at] | (pair == 1)
            tried = _propose(world, mine, plants, rng)
            good = np.ones(len(rows), bool)
            for part, claim in enumerate(mine):
                said, placed = truth(claim, tried)
                spatial = claim.form == RELATION
                good &= (said == (pair == part)) & (~spatial | (placed == plants[part]))
            scenes[at[good], pair[good]] = tried[good]
            missing[rows[good], pair[good]] = False
        pending = pending[missing.any(1)]
        for old, new in zip(claims, sentences(pending), strict=True):
            old.put(pending, new)
    shifts = rng.integers(0, SHIFTS, (*scenes.shape, 2), dtype=np.int8)
    return Sets(scenes, shifts, claims)


def _propose(
    world: World,
    claims: tuple[Claims, Claims],
    plants: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """Scenes (N, 2, cells) where objects that are spoken of are common.

    Half of an image's objects are of one kind that is spoken of, a quarter of the others that
    are, and a quarter of any kind; where ``plants`` says so, what a spatial claim is about is
    there once.
    """
    count, kinds = len(claims[0]), world.colours * world.shapes
    named = np.stack([k for c in claims for k in (c.first, c.second)], 1)  # (N, 4)
    # The objects of an image in a row, (N, 2, objects), then dealt out to its cells.
    shape = count, 2, world.objects
    slot = rng.integers(0, 4, shape)
    kind = rng.integers(0, kinds, shape)
    u = rng.random(shape)
    slot = np.where(u < 0.5, slot[..., :1], slot)
    kind = np.where(u < 0.75, named[np.arange(count)[:, None, None], slot], kind) + 1
    kind *= np.arange(world.objects) < rng.integers(2, world.objects + 1, (count, 2, 1))
    for part, claim in enumerate(claims):
        at = np.flatnonzero((claim.form == RELATION) & plants[part])
        side, pair = claim.side[at], (claim.first[at] + 1, claim.second[at] + 1)
        for place, one in enumerate(pair):
            row = kind[at, side]
            row[row == one[:, None]] = 0
            row[:, 2 * part + place] = one
            kind[at, side] = row
    cells = rng.random((count, 2, CELLS)).argsort(-1)[..., : world.objects]
    scenes = np.zeros((count, 2, CELLS), np.int8)
    np.put_along_axis(scenes, cells, kind.astype(np.int8), -1)
    return scenes


def sprites(world: World) -> np.ndarray:
    """Every kind of cell at every shift: (1 + kinds, SHIFTS, SHIFTS, CELL, CELL, 3) uint8."""
    y, x = np.mgrid[:OBJECT, :OBJECT] - (OBJECT - 1) / 2
    masks = {
        "circle": (y**2 + x**2 <= 9) & (y**2 + x**2 > 1),  # a ring: a small disc is a square
        "square": np.ones_like(y, bool),
        "triangle": np.abs(x) <= (y + OBJECT / 2 + 0.5) / 2,
        "cross": (np.abs(x) < 1) | (np.abs(y) < 1),
    }
    kinds = world.colours * world.shapes
    cells = np.full((1 + kinds, SHIFTS, SHIFTS, CELL, CELL, 3), GROUND, np.uint8)
    for kind in range(kinds):
        paint = np.array(PAINT[COLOURS[kind // world.shapes]], np.uint8)
        mask = masks[SHAPES[kind % world.shapes]]
        for down in range(SHIFTS):
            for right in range(SHIFTS):
                part = cells[1 + kind, down, right, down : down + OBJECT, right : right + OBJECT]
                part[mask] = paint
    return cells


def render(world: World, scenes: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Images of scenes: (…, cells) and (…, cells, 2) → (…, SIZE, SIZE, 3) uint8."""
    lead = scenes.shape[:-1]
    cells = sprites(world)[scenes, shifts[..., 0], shifts[..., 1]]
    cells = cells.reshape(-1, GRID, GRID, CELL, CELL, 3)
    return cells.transpose(0, 1, 3, 2, 4, 5).reshape(*lead, SIZE, SIZE, 3)


def objects(world: World, scene: np.ndarray) -> list[dict[str, object]]:
    """The objects of one image (cells) in words: colour, shape, row, column."""
    return [
        {
            "colour": COLOURS[(code - 1) // world.shapes],
            "shape": SHAPES[(code - 1) % world.shapes],
            "row": cell // GRID,
            "column": cell % GRID,
        }
        for cell, code in enumerate(scene.tolist())
        if code
    ]
