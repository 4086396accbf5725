"""A recipe: what to vary, at which sizes, and what to ask of the finished runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from nacgraph.training.run_config import read_yaml
from nacgraph.utils.errors import ConfigError, nearest

KEYS = ("title", "about", "axes", "baseline", "sections", "fields", "data", "scales", "after")
SCALE_KEYS = ("note", "seeds", "fields", "points", "skip")
AFTER_KEYS = ("command", "result", "columns", "series", "only", "flags")
SERIES_KEYS = ("path", "x", "y", "labels", "levels")

Fields = dict[str, Any]
Points = dict[str, str]


@dataclass(frozen=True)
class After:
    """A command to run on every finished run, and what to read from its result.

    Attributes:
        name: Its name, also of the folder of its results.
        command: Words of the command; ``{run}`` is the run folder, ``{seed}`` the cell's seed,
            ``$name`` the path of a dataset. ``--out`` is added.
        result: The file in that folder that it writes last, JSON or CSV.
        columns: Column of the tables → path in the result, as ``series[shots=4].mean``; of several
            numbers that it leads to, as over random draws, their mean.
        series: ``path`` to a list of rows, and which of their keys are ``x`` and ``y``: a curve.
        only: Axis → points that it is run for; all if left out.
        flags: Scale → further words of the command.
    """

    name: str
    command: tuple[str, ...]
    result: str
    columns: Mapping[str, str] = field(default_factory=dict)
    series: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, Sequence[str]] = field(default_factory=dict)
    flags: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def concerns(self, points: Points) -> bool:
        """Whether it is run for a cell of these points."""
        return all(points[axis] in names for axis, names in self.only.items())

    def words(self, scale: str) -> tuple[str, ...]:
        """The command at a scale."""
        return (*self.command, *self.flags.get(scale, ()))


@dataclass(frozen=True)
class Cell:
    """One run: a point of every axis, a seed, and the fields that they set."""

    points: Points
    seed: int
    fields: Fields

    @property
    def name(self) -> str:
        """Name of its folder, such as ``images-nac-ring_of_cliques-s0``."""
        words = "-".join(self.points.values())
        return f"{re.sub(r'[^A-Za-z0-9_.=]+', '-', words).strip('-')}-s{self.seed}"


@dataclass(frozen=True)
class Recipe:
    """The content of a recipe file.

    Attributes:
        title: One line.
        about: The question, and how to read the tables.
        axes: Axis → its points → the fields that each sets.
        baseline: Axis → the point that the others are compared with.
        sections: Axis that gets a table for every point, or "".
        fields: Fields of every cell.
        data: Name of a dataset → what it is; ``$name`` in a field is its path.
        scales: "smoke", "small", "paper" → note, seeds, fields, points, skip.
        after: Commands for the finished runs.
    """

    title: str
    about: str
    axes: Mapping[str, Mapping[str, Fields]]
    baseline: Points
    sections: str
    fields: Fields
    data: Mapping[str, str]
    scales: Mapping[str, Mapping[str, Any]]
    after: Sequence[After]

    def cells(
        self, scale: str, seeds: int | None = None, data: Mapping[str, str] | None = None
    ) -> list[Cell]:
        """Every cell at a scale: all of seed 0, then all of seed 1, and so on.

        Later layers win: fields, those of the scale, those of points, those of the scale's points;
        mappings (``task_set``, ``prior_set``) are merged.

        Args:
            scale: One of ``scales``.
            seeds: Number of seeds; the scale's own if None.
            data: Name of a dataset → its path.

        Raises:
            ConfigError: If there is no such scale, or a dataset that a field or a command uses has
                no path.
        """
        if scale not in self.scales:
            choices = list(self.scales)
            raise ConfigError(
                [f"scale: expected one of {', '.join(choices)}, got {nearest(scale, choices)}"]
            )
        plan, given = self.scales[scale], dict(data or {})
        seeds = plan.get("seeds", 3) if seeds is None else seeds
        if seeds < 1:
            raise ConfigError([f"seeds: expected at least 1, got {seeds}"])
        known = list(self.data)
        problems = [
            f"data: expected one of {', '.join(known) or 'none'}, got {nearest(name, known)}"
            for name in given
            if name not in known
        ]
        cells, asked = [], list[str]()
        for seed, names in product(range(seeds), product(*self.axes.values())):
            points = dict(zip(self.axes, names, strict=True))
            if any(set(points.values()) >= set(group) for group in plan.get("skip", ())):
                continue
            fields_ = _layered(
                [
                    self.fields,
                    plan.get("fields", {}),
                    *(self.axes[axis][name] for axis, name in points.items()),
                    *(plan.get("points", {}).get(name, {}) for name in names),
                ]
            )
            for key, value in fields_.items():
                for name in _named([value]):
                    asked.append(name)
                    fields_[key] = given.get(name)
            cells.append(Cell(points, seed, {**fields_, "seed": seed}))
        asked += [name for each in self.after for name in _named(each.words(scale))]
        problems += [
            f"data: scale {scale} needs {name} ({self.data[name]}): --data {name}=PATH"
            for name in dict.fromkeys(asked)
            if name not in given
        ]
        if problems:
            raise ConfigError(problems)
        return cells


def _named(values: Iterable[Any]) -> list[str]:
    """Names of the datasets among fields' values or a command's words."""
    return [v[1:] for v in values if isinstance(v, str) and v.startswith("$")]


def _layered(layers: Sequence[Mapping[str, Any]]) -> Fields:
    """One mapping of all, later ones over earlier ones."""
    found: Fields = {}
    for layer in layers:
        for key, value in layer.items():
            old = found.get(key)
            both = isinstance(old, Mapping) and isinstance(value, Mapping)
            found[key] = {**old, **value} if both else value  # type: ignore[dict-item]
    return found


def read_recipe(path: Path) -> Recipe:
    """The recipe in a YAML file.

    Raises:
        ConfigError: Listing every problem.
    """
    found = read_yaml(path)
    problems = [f"unknown key {nearest(key, list(KEYS))}" for key in found if key not in KEYS]
    problems += [
        f"{key}: expected, got none" for key in ("title", "axes", "scales") if not found.get(key)
    ]
    if problems:
        raise ConfigError([f"{path}: {text}" for text in problems])
    axes = {name: _points(name, value, problems) for name, value in found["axes"].items()}
    scales = {name: dict(value or {}) for name, value in found["scales"].items()}
    after = [_after(name, value, problems) for name, value in (found.get("after") or {}).items()]
    recipe = Recipe(
        title=str(found["title"]),
        about=str(found.get("about", "")).strip(),
        axes=axes,
        baseline={axis: str(point) for axis, point in (found.get("baseline") or {}).items()},
        sections=str(found.get("sections") or ""),
        fields=dict(found.get("fields") or {}),
        data=dict(found.get("data") or {}),
        scales=scales,
        after=[each for each in after if each is not None],
    )
    problems += _loose_ends(recipe)
    if problems:
        raise ConfigError([f"{path}: {text}" for text in problems])
    return recipe


def _points(axis: str, value: Any, problems: list[str]) -> dict[str, Fields]:
    """``[0.1, 0.3]`` → two values of the field of the axis' name; a mapping is taken as it is."""
    if isinstance(value, list) and value:
        return {f"{axis}={each}": {axis: each} for each in value}
    if isinstance(value, Mapping) and value:
        wrong = [name for name, fields_ in value.items() if not isinstance(fields_ or {}, Mapping)]
        problems += [
            f"axes: {axis}: {name}: expected fields, got {value[name]!r}" for name in wrong
        ]
        return {str(name): dict(f or {}) for name, f in value.items() if name not in wrong}
    problems.append(f"axes: {axis}: expected a list of values or names with fields, got {value!r}")
    return {}


def _after(name: str, value: Any, problems: list[str]) -> After | None:
    where = f"after: {name}"
    if not isinstance(value, Mapping):
        problems.append(f"{where}: expected command and result, got {value!r}")
        return None
    problems += [
        f"{where}: unknown key {nearest(key, list(AFTER_KEYS))}"
        for key in value
        if key not in AFTER_KEYS
    ]
    series = value.get("series") or {}
    problems += [
        f"{where}: series: unknown key {nearest(key, list(SERIES_KEYS))}"
        for key in series
        if key not in SERIES_KEYS
    ]
    command = value.get("command")
    if not isinstance(command, list) or "{run}" not in command or not value.get("result"):
        problems.append(
            f"{where}: expected a command (a list with {{run}}) and a result, got {value}"
        )
        return None
    return After(
        name,
        tuple(map(str, command)),
        str(value["result"]),
        dict(value.get("columns") or {}),
        dict(series),
        {axis: list(names) for axis, names in (value.get("only") or {}).items()},
        {scale: list(map(str, words)) for scale, words in (value.get("flags") or {}).items()},
    )


def _loose_ends(recipe: Recipe) -> list[str]:
    """Names that are not defined: of axes, points, scales' keys, datasets."""
    axes = {axis: list(points) for axis, points in recipe.axes.items()}
    every = [name for names in axes.values() for name in names]
    problems = []
    if len(set(every)) < len(every):
        double = sorted({name for name in every if every.count(name) > 1})
        problems.append(
            f"axes: expected another name for every point, got {', '.join(double)} twice"
        )
    named: list[tuple[str, str, Sequence[str]]]
    named = [("baseline", a, [p]) for a, p in recipe.baseline.items()]
    named += [(f"after: {e.name}: only", a, n) for e in recipe.after for a, n in e.only.items()]
    for where, axis, names in named:
        if axis not in axes:
            problems.append(f"{where}: unknown axis {nearest(axis, list(axes))}")
            continue
        problems += [
            f"{where}: {axis}: unknown point {nearest(name, axes[axis])}"
            for name in names
            if name not in axes[axis]
        ]
    if recipe.sections and recipe.sections not in axes:
        problems.append(f"sections: unknown axis {nearest(recipe.sections, list(axes))}")
    used: list[Mapping[str, Any]] = [recipe.fields]
    used += [fields_ for points in recipe.axes.values() for fields_ in points.values()]
    for scale, plan in recipe.scales.items():
        problems += [
            f"scales: {scale}: unknown key {nearest(key, list(SCALE_KEYS))}"
            for key in plan
            if key not in SCALE_KEYS
        ]
        points = plan.get("points") or {}
        skipped = [name for group in plan.get("skip") or () for name in group]
        problems += [
            f"scales: {scale}: unknown point {nearest(name, every)}"
            for name in (*points, *skipped)
            if name not in every
        ]
        used += [plan.get("fields") or {}, *points.values()]
    problems += [
        f"after: {each.name}: flags: unknown scale {nearest(scale, list(recipe.scales))}"
        for each in recipe.after
        for scale in each.flags
        if scale not in recipe.scales
    ]
    wanted = {name for fields_ in used for name in _named(fields_.values())}
    wanted |= {
        name for e in recipe.after for scale in recipe.scales for name in _named(e.words(scale))
    }
    problems += [
        f"data: expected a line on ${name}, which is used, got none"
        for name in sorted(wanted - set(recipe.data))
    ]
    return problems
