"""Recipes: those that ship are valid, layers win in order, mistakes are named."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import images_on_disk as disk
import pytest
from small_recipe import write

from nacgraph.cli.options import parse
from nacgraph.sweep import Sweep, read_recipe
from nacgraph.sweep.jobs import cell_flags, jobs_of
from nacgraph.training.build import build_model, build_target, build_task
from nacgraph.training.plan import check_parts
from nacgraph.utils.errors import ConfigError

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
ON_IMAGES = [path for path in RECIPES if "data: $images" in path.read_text("utf-8")]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_has_all_scales_and_valid_cells(path: Path) -> None:
    recipe = read_recipe(path)
    assert set(recipe.scales) >= {"smoke", "small", "paper"}
    for scale in recipe.scales:
        cells = recipe.cells(scale, data={name: os.devnull for name in recipe.data})
        assert len({cell.name for cell in cells}) == len(cells)
        # There need not be a GPU here.
        Sweep(recipe, path.stem, scale, cells, Path(), ["--device=auto"]).check(
            lambda flags: check_parts(parse(flags).config)
        )


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_makes_models_of_its_smoke_cells(path: Path, cache: str) -> None:
    for cell in read_recipe(path).cells("smoke"):
        config = parse([*cell_flags(cell), f"--cache-dir={cache}"]).config
        check_parts(config)
        model = build_model(config, build_task(config), build_target(config))
        assert model.num_parameters() > 0


@pytest.mark.parametrize("path", ON_IMAGES, ids=lambda path: path.stem)
def test_recipes_on_images_take_classes_of_any_name(path: Path, tmp_path: Path) -> None:
    recipe = read_recipe(path)
    for k in range(12):
        disk.picture(tmp_path / f"kind{k % 3}" / f"{k}.png", k)
    for scale in ("small", "paper"):
        for cell in recipe.cells(scale, 1, dict.fromkeys(recipe.data, str(tmp_path))):
            task = build_task(parse([*cell_flags(cell), "--device=auto"]).config)
            assert task.num_classes == 3


def test_later_layers_win(tmp_path: Path) -> None:
    recipe = read_recipe(
        write(
            tmp_path,
            fields={
                "steps": 1,
                "rounds": 1,
                "modules": 1,
                "width": 2,
                "task_set": {"x": 1, "y": 1},
            },
            axes={"model": {"a": {"modules": 3, "width": 6, "task_set": {"y": 3}}, "b": {}}},
            baseline={},
            scales={
                "smoke": {
                    "seeds": 1,
                    "fields": {"rounds": 2, "modules": 2, "width": 4},
                    "points": {"a": {"width": 8}},
                    "skip": [["b"]],
                }
            },
        )
    )
    (cell,) = recipe.cells("smoke")
    assert cell.fields == {
        "steps": 1,
        "rounds": 2,
        "modules": 3,
        "width": 8,
        "seed": 0,
        "task_set": {"x": 1, "y": 3},
    }
    assert cell.points == {"model": "a"} and cell.name == "a-s0"


def test_datasets_are_asked_for_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, fields={"data": "$photos"}, data={"photos": "a folder of photographs"})
    recipe = read_recipe(path)
    with pytest.raises(ConfigError, match=r"needs photos \(a folder of photographs\): --data pho"):
        recipe.cells("smoke")
    with pytest.raises(ConfigError, match="data: expected one of photos, got 'fotos'"):
        recipe.cells("smoke", data={"fotos": "x", "photos": "y"})
    assert {c.fields["data"] for c in recipe.cells("smoke", data={"photos": "/x"})} == {"/x"}
    after = {
        "few": {
            "command": ["fewshot", "{run}", "--seed", "{seed}"],
            "result": "f.json",
            "flags": {"small": ["--dataset", "$photos"]},
        }
    }
    recipe = read_recipe(write(tmp_path, after=after, data={"photos": "a folder of photographs"}))
    with pytest.raises(ConfigError, match=r"scale small needs photos \(a folder of photographs\)"):
        recipe.cells("small")
    for scale, tail in (("smoke", ()), ("small", ("--dataset", "/x"))):
        cells = recipe.cells(scale, data={"photos": "/x"})
        jobs = jobs_of(cells, recipe.after, tmp_path, scale, data={"photos": "/x"})
        assert [job.steps[1].argv[:-2] for job in jobs] == [
            ("fewshot", str(job.folder), "--seed", str(cell.seed), *tail)
            for job, cell in zip(jobs, cells, strict=True)
        ]
    with pytest.raises(ConfigError, match="scale: expected one of smoke, small, got 'smal'"):
        recipe.cells("smal")
    with pytest.raises(ConfigError, match="seeds: expected at least 1, got 0"):
        recipe.cells("smoke", 0, {"photos": "/x"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tilte": "x"}, "unknown key 'tilte' (nearest: title)"),
        ({"axes": {}}, "axes: expected, got none"),
        ({"axes": {"model": 3}}, "axes: model: expected a list of values or names with fie"),
        ({"axes": {"model": {"a": 3}}}, "axes: model: a: expected fields, got 3"),
        ({"axes": {"x": {"a": {}}, "y": {"a": {}}}, "baseline": {}}, "every point, got a twice"),
        ({"baseline": {"modle": "full"}}, "baseline: unknown axis 'modle' (nearest: model)"),
        ({"baseline": {"model": "ful"}}, "baseline: model: unknown point 'ful' (nearest: full)"),
        ({"sections": "bandwith"}, "sections: unknown axis 'bandwith' (nearest: bandwidth)"),
        ({"scales": {"smoke": {"seed": 1}}}, "scales: smoke: unknown key 'seed' (nearest: seeds)"),
        ({"scales": {"smoke": {"points": {"ful": {}}}}}, "scales: smoke: unknown point 'ful'"),
        ({"fields": {"data": "$x"}}, "data: expected a line on $x, which is used, got none"),
        ({"after": {"a": {"command": ["prune"], "result": "x"}}}, "after: a: expected a command"),
        ({"after": {"a": {"command": ["prune", "{run}"], "result": "x", "colums": {}}}},
         "after: a: unknown key 'colums' (nearest: columns)"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_recipe_is_said(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(ConfigError) as error:
        read_recipe(path)
    assert f"{path}: " in str(error.value) and message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fields": {"plugin": "evil.py"}}, "field plugin: expected on the command line"),
        ({"fields": {"plugin=evil.py --x": 1}}, "field plugin: expected on the command line"),
        ({"axes": {"plugin": ["evil.py"]}, "baseline": {}}, "field plugin: expected on the"),
        ({"axes": {"model": {"a": {"out": "/x"}}}, "baseline": {}}, "field out: expected on the"),
        ({"scales": {"smoke": {"fields": {"resume": "auto"}}}}, "field resume: expected on the"),
        ({"scales": {"smoke": {"points": {"full": {"config": "x"}}}}}, "field config: expected on"),
        ({"fields": {"task_set": {"cache_dir": "/x"}}}, "field cache_dir: expected on the command"),
        ({"fields": {"task.cache_dir": "/x"}}, "field task.cache_dir: expected on the command"),
        *(
            ({"after": {"a": {"command": [command, "{run}"], "result": "x"}}},
             f"after: a: command: expected one of analyze, embed, fewshot, prune, renditions, got "
             f"{command!r}")
            for command in ("train", "data", "export", "__main__", "{run}", "../evil")
        ),
        *(
            ({"after": {"a": {"command": ["prune", "{run}", *words], "result": "x"}}},
             f"after: a: {words[0].partition('=')[0]}")
            for words in (["--plugin", "e.py"], ["--plugin=e.py"], ["--out=/x"], ["cache_dir=/x"])
        ),
        ({"after": {"a": {"command": ["prune", "{run}"], "result": "x",
                          "flags": {"smoke": ["--out", "/x"]}}}}, "after: a: --out: expected on"),
        *(
            ({"after": {name: {"command": ["prune", "{run}"], "result": "x"}}},
             "expected the name of a new folder")
            for name in ("../a", "/elsewhere/a", "..", "cells", "a/b", "")
        ),
        *(
            ({"after": {"a": {"command": ["prune", "{run}"], "result": result}}},
             "after: a: result: expected the name of a file")
            for result in ("../x", "/etc/passwd", "..", "a/b")
        ),
    ],
)  # fmt: skip
def test_a_recipe_starts_no_code_and_names_no_folder(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        read_recipe(write(tmp_path, **changes))
    assert message in str(error.value)


@pytest.mark.parametrize("key", ["about", "axes", "baseline", "sections", "fields", "data"])
@pytest.mark.parametrize("value", [3, [3], [[{}]], {3: 4}, {"a": [1]}, {"a": {"b": 3}}, "text"])
def test_a_recipe_of_another_shape_is_refused_in_words(
    tmp_path: Path, key: str, value: Any
) -> None:
    with suppress(ConfigError):  # and no other error
        read_recipe(write(tmp_path, **{key: value})).cells("smoke")
    for place in ({"scales": {"smoke": value}}, {"after": {"a": value}}):
        with suppress(ConfigError):
            read_recipe(write(tmp_path, **place)).cells("smoke")
    for part in ("seeds", "fields", "points", "skip", "note"):
        with suppress(ConfigError):
            read_recipe(write(tmp_path, scales={"smoke": {part: value}})).cells("smoke")
    good = {"command": ["prune", "{run}"], "result": "x"}
    for part in ("command", "result", "columns", "series", "only", "flags"):
        with suppress(ConfigError):
            read_recipe(write(tmp_path, after={"a": {**good, part: value}})).cells("smoke")
