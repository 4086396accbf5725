"""Generated NLVR2: every sentence as true as its label says, and nothing to learn from one side."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nlvr2_checker import holds

from nacgraph.tasks.nlvr2 import NLVR2
from nacgraph.tasks.nlvr2.generated import generated
from nacgraph.tasks.nlvr2.scenes import CELL, GRID, GROUND, OBJECT, PAINT, World, objects
from nacgraph.tasks.nlvr2.sentences import FORMS, SKILLS, held_back
from nacgraph.tasks.splits import Table

SIZES = (2000, 400, 400)


def tables(world: World | None = None, seed: int = 0) -> dict[str, Table]:
    return dict(generated(world or World(), SIZES, seed).splits)


def scene_of(world: World, table: Table, row: int) -> list[list[dict[str, object]]]:
    return [objects(world, table.columns["scene"][row, image]) for image in range(2)]


@settings(max_examples=6)
@given(
    st.integers(2, 4), st.integers(2, 4), st.integers(4, 7), st.integers(0, 99),
    st.sets(st.sampled_from(SKILLS), min_size=1),
)  # fmt: skip
def test_every_label_is_what_the_sentence_says_of_the_scene(
    colours: int, shapes: int, most: int, seed: int, skills: set[str]
) -> None:
    world = World(colours, shapes, most, tuple(sorted(skills)))
    table = generated(world, (4, 4, 160), seed).splits["test"]
    for row, label in enumerate(table.labels):
        scene = scene_of(world, table, row)
        assert holds(table.tags["sentence"][row], scene) == bool(label)
        assert all(len(image) <= most for image in scene)
    assert set(table.tags["skill"]) == skills


def test_every_form_comes_and_skills_come_equally_often() -> None:
    for table in tables().values():
        assert set(table.tags["form"]) == set(FORMS)
        counts = Counter(table.tags["skill"])
        assert set(counts) == set(SKILLS)
        assert max(counts.values()) - min(counts.values()) <= 32


def test_neither_sentence_nor_images_say_the_answer() -> None:
    for table in tables().values():
        truths: dict[str, list[int]] = defaultdict(list)
        pairs: dict[bytes, list[int]] = defaultdict(list)
        for row, label in enumerate(table.labels.tolist()):
            truths[table.tags["sentence"][row]].append(label)
            pixels = table.columns["left"][row].tobytes() + table.columns["right"][row].tobytes()
            pairs[pixels].append(label)
        for labels in (*truths.values(), *pairs.values()):
            assert 2 * sum(labels) == len(labels)
        assert max(map(len, pairs.values())) == 2


def test_a_classifier_of_words_stays_at_chance() -> None:
    task = NLVR2(train_size=4000, test_size=2000, val_size=4)
    train, test = task.table("train"), task.table("test")
    grams = [[*w, *zip(w, w[1:], strict=False)] for w in map(str.split, train.tags["sentence"])]
    number = {gram: k for k, gram in enumerate(dict.fromkeys(g for said in grams for g in said))}

    def counts(table: Table) -> np.ndarray:
        result = np.ones((len(table), len(number) + 1))
        for row, text in enumerate(table.tags["sentence"]):
            words = text.split()
            for gram in (*words, *zip(words, words[1:], strict=False)):
                if gram in number:
                    result[row, number[gram]] += 1
        return result

    noise = np.random.default_rng(0).normal(size=len(train)) * 0.01  # or the fit would be 0
    weights = np.linalg.lstsq(counts(train), 2 * train.labels - 1 + noise, rcond=None)[0]
    right = (counts(test) @ weights > 0) == (test.labels == 1)
    # Exactly half: equal sentences get equal answers, and half of them are true.
    assert right.mean() == 0.5
    assert task.baselines("test") == {"majority_accuracy": 0.5, "sentence_only_accuracy": 0.5}


def test_a_tenth_of_the_sentences_is_new_in_the_test_split() -> None:
    found = tables()
    trained = set(found["train"].tags["sentence"])
    assert not any(map(held_back, trained)) and set(found["train"].tags["known"]) == {"seen"}
    for name in ("val", "test"):
        for text, known in zip(
            found[name].tags["sentence"], found[name].tags["known"], strict=True
        ):
            assert known == ("new" if held_back(text) else "seen")
            assert known == "seen" or text not in trained
        assert 0.03 < found[name].tags["known"].count("new") / len(found[name]) < 0.25


def test_spatial_sentences_are_often_false_by_places_alone() -> None:
    world = World(skills=("spatial",))
    table = generated(world, (4, 4, 400), 0).splits["test"]
    near = []
    for row in np.flatnonzero(table.labels == 0):
        text, scene = table.tags["sentence"][row], scene_of(world, table, row)
        words = text.split()
        image = scene[["left", "right"].index(words[-2])]
        there = Counter((t["colour"], t["shape"]) for t in image)
        second = words.index("a", 1)
        pair = [tuple(words[1:3]), tuple(words[second + 1 : second + 3])]
        near.append([there[kind] for kind in pair] == [1, 1])
    assert 0.35 < np.mean(near) < 0.65


def test_pictures_show_the_scenes() -> None:
    world = World(4, 4, 6)
    table = tables(world)["val"]
    seen = set()
    for row in range(200):
        for side, name in enumerate(("left", "right")):
            picture = table.columns[name][row].transpose(1, 2, 0)
            things = {(t["row"], t["column"]): t for t in scene_of(world, table, row)[side]}
            for place in np.ndindex(GRID, GRID):
                cell = picture[tuple(slice(CELL * k, CELL * (k + 1)) for k in place)]
                painted = (cell != GROUND).any(-1)
                if place not in things:
                    assert not painted.any()
                    continue
                thing = things[place]
                assert (cell[painted] == PAINT[str(thing["colour"])]).all()
                rows, columns = np.nonzero(painted)
                down, right = rows.min(), columns.min()
                shape = painted[down : down + OBJECT, right : right + OBJECT]
                assert shape.sum() == painted.sum()
                seen.add((thing["shape"], shape.tobytes()))
    assert len(seen) == 4 == len({shape for shape, _ in seen})


def test_a_seed_fixes_everything() -> None:
    one, two, other = tables(seed=1), tables(seed=1), tables(seed=2)
    for name, table in one.items():
        assert table.tags == two[name].tags
        assert np.array_equal(np.stack(table.columns["left"]), np.stack(two[name].columns["left"]))
    assert one["train"].tags["sentence"] != other["train"].tags["sentence"]
    same = set(map(bytes, one["train"].columns["scene"])) & set(
        map(bytes, one["test"].columns["scene"])
    )
    assert len(same) < 10  # splits share no scenes but by chance


def test_wrong_worlds_are_named() -> None:
    for wrong, message in (
        ({"colours": 5}, "colours: expected 2 to 4, got 5"),
        ({"shapes": 1}, "shapes: expected 2 to 4, got 1"),
        ({"objects": 3}, "objects: expected 4 to 9, got 3"),
        ({"skills": "spatial, negation"}, "skills: expected some of .*, got negation"),
        ({"skills": ""}, "skills: expected some of .*, got none"),
        ({"train_size": 0}, "train_size: expected a whole number >= 1, got 0"),
        ({"condition": "auto"}, "condition: expected one of task, none, inputs, got 'auto'"),
        ({"patch": 5}, "patch: expected an even number, got 5"),
        ({"patch": 10}, "image_size: expected a multiple of patch = 10, got 24"),
        ({"window": 4}, "window: expected an odd number, got 4"),
    ):
        with pytest.raises(ValueError, match=message):
            NLVR2(**wrong)
