"""A recipe: what to vary, at which sizes, and what to ask of the finished runs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from nacgraph.training.run_config import read_yaml
from nacgraph.utils.errors import ConfigError, nearest

KEYS = ("title", "about", "axes", "baseline", "sections", "fields", "data", "scales", "after")
READING = ("analyze", "embed", "fewshot", "prune", "renditions")
"""Commands that a recipe may ask for: they read a run and write into the folder of ``--out``."""
OURS = ("cache_dir", "out", "plugin", "resume", "seed")  # fields that no recipe sets
MOST = 100_000  # cells
OWN_FOLDERS = ("cells", "logs", "submitit")  # of a sweep

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
        if (count := seeds * math.prod(map(len, self.axes.values()))) > MOST:
            raise ConfigError([f"cells: expected at most {MOST:,}, got {count:,}"])
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


def names_of(fields_: Mapping[str, Any]) -> Iterator[str]:
    """Names of fields, those within mappings too; what is no name of a field stays whole."""
    for name, value in fields_.items():
        yield re.split(r"[^\w.-]", str(name))[0]
        if isinstance(value, Mapping):
            yield from names_of(value)


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
    problems += [text for key in KEYS for text in misshapen(key, found.get(key), SHAPES[key])]
    if problems:
        raise ConfigError([f"{path}: {text}" for text in problems])
    axes = {name: _points(name, value) for name, value in found["axes"].items()}
    after = [_after(name, value, problems) for name, value in (found.get("after") or {}).items()]
    recipe = Recipe(
        title=str(found["title"]),
        about=str(found.get("about") or "").strip(),
        axes=axes,
        baseline={axis: str(point) for axis, point in (found.get("baseline") or {}).items()},
        sections=str(found.get("sections") or ""),
        fields=dict(found.get("fields") or {}),
        data=dict(found.get("data") or {}),
        scales={name: _scale(value or {}) for name, value in found["scales"].items()},
        after=[each for each in after if each is not None],
    )
    problems += _loose_ends(recipe)
    if problems:
        raise ConfigError([f"{path}: {text}" for text in problems])
    return recipe


PLAIN = (str, int, float, bool)
ANY = object()
SHAPES: dict[str, Any] = {
    "title": PLAIN,
    "about": PLAIN,
    "axes": {str: ([PLAIN], {PLAIN: {str: ANY}})},
    "baseline": {str: PLAIN},
    "sections": PLAIN,
    "fields": {str: ANY},
    "data": {str: PLAIN},
    "scales": {
        str: {
            "note": PLAIN,
            "seeds": int,
            "fields": {str: ANY},
            "points": {PLAIN: {str: ANY}},
            "skip": [[PLAIN]],
        }
    },
    "after": {
        str: {
            "command": [PLAIN],
            "result": str,
            "columns": {str: str},
            "series": {"path": PLAIN, "x": str, "y": str, "labels": [PLAIN], "levels": ANY},
            "only": {str: [PLAIN]},
            "flags": {str: [PLAIN]},
        }
    },
}
"""What a recipe may hold: ``[each]``, ``{kind of key: each}``, ``{"key": what}``, or types."""


def misshapen(where: str, value: Any, shape: Any) -> list[str]:
    """What does not have its shape, by its place; a null is what was left out."""
    if value is None or shape is ANY:
        return []
    kinds = shape if isinstance(shape, tuple) else (shape,)
    shape = next((kind for kind in kinds if _is_a(value, kind)), None)
    if shape is None:
        return [f"{where}: expected {' or '.join(map(_words, kinds))}, got {value!r:.80}"]
    if isinstance(shape, type):
        return []
    if not isinstance(value, Mapping):
        return [text for each in value for text in misshapen(where, each, shape[0])]
    keys = list(shape)
    if isinstance(keys[0], str):
        found = [f"{where}: unknown key {nearest(str(k), keys)}" for k in value if k not in keys]
        return found + [
            text for k in keys for text in misshapen(f"{where}: {k}", value.get(k), shape[k])
        ]
    named = "text" if keys[0] is str else "a plain value"
    found = [
        f"{where}: expected {named} as a name, got {k!r}"
        for k in value
        if not isinstance(k, keys[0])
    ]
    return found + [
        text
        for k, each in value.items()
        for text in misshapen(f"{where}: {k}", each, shape[keys[0]])
    ]


def _is_a(value: Any, kind: Any) -> bool:
    if isinstance(kind, type):
        return isinstance(value, kind) and isinstance(value, bool) <= (kind is bool)
    return isinstance(value, Mapping if isinstance(kind, Mapping) else list)


def _words(kind: Any) -> str:
    if isinstance(kind, type):
        return {str: "text", int: "a whole number", float: "a number", bool: "true or false"}[kind]
    if isinstance(kind, list):
        return "a list of values"
    return "fields" if kind == {str: ANY} else "names with fields"


def _points(axis: str, value: Any) -> dict[str, Fields]:
    """``[0.1, 0.3]`` → two values of the field of the axis' name; a mapping is taken as it is."""
    if isinstance(value, list):
        return {f"{axis}={each}": {axis: each} for each in value}
    return {str(name): dict(fields_ or {}) for name, fields_ in (value or {}).items()}


def _scale(value: Mapping[str, Any]) -> dict[str, Any]:
    """A scale as it is written, without what is null; names of points are text."""
    found = {key: each for key, each in value.items() if each is not None}
    if "points" in found:
        found["points"] = {str(k): fields_ or {} for k, fields_ in found["points"].items()}
    if "skip" in found:
        found["skip"] = [list(map(str, group or ())) for group in found["skip"]]
    return found


def _after(name: str, value: Mapping[str, Any] | None, problems: list[str]) -> After | None:
    where, value = f"after: {name}", value or {}
    command, result = [str(word) for word in value.get("command") or ()], value.get("result") or ""
    if "{run}" not in command or not result:
        problems.append(
            f"{where}: expected a command (a list with {{run}}) and a result, got {dict(value)}"
        )
        return None
    flags = {
        scale: list(map(str, words or ())) for scale, words in (value.get("flags") or {}).items()
    }
    # A recipe may come from anyone: it asks for numbers, starts nothing and names no folder.
    if command[0] not in READING:
        problems.append(
            f"{where}: command: expected one of {', '.join(READING)}, got {command[0]!r}"
        )
    own = [f"--{each.replace('_', '-')}" for each in OURS if each != "seed"] + ["cache_dir"]
    problems += [
        f"{where}: {word}: expected on the command line of the sweep"
        for word in (*command, *(word for words in flags.values() for word in words))
        if word.partition("=")[0] in own
    ]
    if name in OWN_FOLDERS or not re.fullmatch(r"[\w=+-][\w.=+-]*", name):
        problems.append(f"{where}: expected the name of a new folder, got {name!r}")
    if Path(result).name != result or result == "..":
        problems.append(f"{where}: result: expected the name of a file, got {result!r}")
    series = value.get("series") or {}
    if series and not (series.get("x") and series.get("y")):
        problems.append(f"{where}: series: expected x and y, got {dict(series)}")
    return After(
        name,
        tuple(command),
        result,
        dict(value.get("columns") or {}),
        {key: each for key, each in series.items() if each is not None},
        {axis: list(map(str, names or ())) for axis, names in (value.get("only") or {}).items()},
        flags,
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
    problems += [
        f"field {name}: expected on the command line of the sweep, got it in a recipe"
        for name in dict.fromkeys(name for fields_ in used for name in names_of(fields_))
        if name.replace("-", "_").removeprefix("task.") in (*OURS, "config", "help", "print_config")
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
