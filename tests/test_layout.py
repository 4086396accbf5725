"""The rules of the house that a script can hold: rooms in order, light imports, no surprises."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence, Set
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import nacgraph
from nacgraph.__main__ import COMMANDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent

# Rooms from the ground up; a room imports itself and rooms before it. priors/, tasks/ and viz/ lie
# at the top of the checkout, viz/statistics is a room of its own below them.
ROOMS = [
    *("utils", "graph", "ops", "nn", "priors", "tasks", "models", "training"),
    *("viz.statistics", "viz", "analysis", "fewshot", "export", "sweep", "testing", "cli"),
    *("__main__", "train", "evaluate", "prior"),
]
# graph draws edges with compiled loops of ops, and ops executes attention over forms of graph.
BESIDE = {("graph", "ops")}
# Doors: methods that import a room further up, only when they are called.
DOORS = {
    ("models", "training"),
    *(("training", room) for room in ("analysis", "fewshot", "export")),  # methods of Run
}
# A prior sees a matrix and a task sees logits, neither ever a circuit; pictures see arrays.
SEES_ONLY = {
    "priors": {"utils", "graph"},
    "tasks": {"utils", "ops", "nn"},
    "viz.statistics": {"utils", "graph", "ops", "priors"},
    "viz": {"utils", "graph", "ops", "priors", "viz.statistics"},
}
SHORT = 80  # lines of a command: parse, call, print
HEAVY = "graspologic jsonargparse lightning matplotlib numba pandas pytorch_lightning rich sklearn"


@cache
def library() -> dict[Path, ast.Module]:
    """Every file that ships, parsed."""
    folders = ("nacgraph", "priors", "tasks", "viz")
    files = sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))
    return {file.relative_to(ROOT): ast.parse(file.read_text("utf-8")) for file in files}


def room(file: Path) -> str:
    """The room of a file, ``nn`` for nacgraph/nn/modfc.py."""
    return room_of(file.with_suffix("").parts[file.parts[0] == "nacgraph" :])


def room_of(parts: Sequence[str]) -> str:
    return "viz.statistics" if tuple(parts[:2]) == ("viz", "statistics") else parts[0]


def modules_imported(file: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, full name) of each import, inside functions too; ``from a import b`` gives a.b."""
    package = ["nacgraph", *file.parts[file.parts[0] == "nacgraph" : -1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, node.module] if node.module else base
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)


def imported_on_loading(file: Path, tree: ast.Module, known: Set[str]) -> set[str]:
    """Those of the ``known`` modules that are imported when this file is."""
    names = {node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)}
    for node in ast.walk(tree):
        lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if lazy or typing:
            names -= set(ast.walk(node))  # type: ignore[arg-type]
    found = set()
    for _, name in modules_imported(file, ast.Module(list(names), [])):  # type: ignore[arg-type]
        while name and name not in known:
            name = name.rpartition(".")[0]
        found.add(name)
    return found - {"", "nacgraph", module_of(file)}


def module_of(file: Path) -> str:
    """``nacgraph.viz.plots`` for viz/plots.py, ``nacgraph.viz`` for viz/__init__.py."""
    parts = file.with_suffix("").parts[file.parts[0] == "nacgraph" :]
    return ".".join(["nacgraph", *(part for part in parts if part != "__init__")])


def found(rule: Callable[[ast.AST], bool]) -> list[str]:
    """``file:line`` of every node of the library for which the rule holds."""
    return [
        f"{file}:{getattr(node, 'lineno', 0)}"
        for file, tree in library().items()
        for node in ast.walk(tree)
        if rule(node)
    ]


def called(node: ast.AST) -> str:
    """The dotted name of the function a node calls: ``np.random.rand``, or ``.normal_``."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def has_keyword(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and any(k.arg == name for k in node.keywords)


def draws_initial_weights() -> set[str]:
    """Functions of the library, and classes by their constructor, with ``*, generator=None``."""
    names = set()
    for tree in library().values():
        for node in tree.body:
            makers = [node]
            if isinstance(node, ast.ClassDef):
                makers = [f for f in node.body if getattr(f, "name", "") == "__init__"]
            for maker in makers:
                if isinstance(maker, ast.FunctionDef) and "generator" in (
                    argument.arg for argument in maker.args.kwonlyargs
                ):
                    names.add(node.name)
    return names


def run_elsewhere(code: str, folder: Path) -> str:
    """Run code from a folder that is not the checkout, with only the bare checkout on the path."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_every_file_has_a_room() -> None:
    rooms = {room(file) for file in library()} - {"__init__"}
    assert rooms <= set(ROOMS), f"without a place in ROOMS: {sorted(rooms - set(ROOMS))}"


def test_a_file_imports_only_rooms_above_it() -> None:
    wrong = []
    for file, tree in library().items():
        here = room(file)
        if here not in ROOMS:  # nacgraph/__init__.py only forwards names, and only when asked
            continue
        allowed = SEES_ONLY.get(here, set(ROOMS[: ROOMS.index(here)])) | {here}
        for line, name in modules_imported(file, tree):
            top, *rest = name.split(".")
            if top != "nacgraph" or not rest or rest[0] == "__version__":
                continue
            home = nacgraph._HOME.get(rest[0])
            seen = room_of(rest if home is None else home.split("."))
            if seen not in allowed and (here, seen) not in {*DOORS, *BESIDE}:
                wrong.append(f"{file}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_no_files_import_each_other_in_a_circle() -> None:
    known = {module_of(file) for file in library()}
    graph = {
        module_of(file): imported_on_loading(file, tree, known) for file, tree in library().items()
    }
    with pytest.raises(CycleError):
        tuple(TopologicalSorter({"a": {"b"}, "b": {"c"}, "c": {"a"}}).static_order())
    assert "nacgraph.nn.circuit" in graph["nacgraph.models.nac"]  # the graph is not empty
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_only_commands_know_of_argparse() -> None:
    wrong = [
        f"{file}:{line}"
        for file, tree in library().items()
        for line, name in modules_imported(file, tree)
        if name.split(".")[0] in ("argparse", "jsonargparse") and room(file) != "cli"
    ]
    assert not wrong


def test_a_command_only_parses_calls_and_prints() -> None:
    commands = {file.stem: file for file in library() if room(file) == "cli"}
    assert set(COMMANDS) <= set(commands)
    lengths = {n: len((ROOT / commands[n]).read_text("utf-8").splitlines()) for n in COMMANDS}
    assert not {name: length for name, length in lengths.items() if length > SHORT}


def test_nothing_imports_the_folders_under_their_bare_names() -> None:
    # `import priors` would make a second copy of every class and registry.
    wrong = []
    for file in sorted([*library(), *(f.relative_to(ROOT) for f in ROOT.glob("tests/**/*.py"))]):
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        for line, name in modules_imported(file, tree):
            if name.split(".")[0] in ("priors", "tasks", "viz"):
                wrong.append(f"{file}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_no_file_grows_out_of_sight() -> None:
    lengths = {file: len((ROOT / file).read_text("utf-8").splitlines()) for file in library()}
    assert not {str(file): n for file, n in lengths.items() if n > 450}


def test_no_global_randomness() -> None:
    takes_generator = {
        *(f"torch.{f}" for f in ("bernoulli", "multinomial", "normal", "poisson")),
        *(f"torch.{f}" for f in ("rand", "randint", "randn", "randperm")),
    }
    in_place = (".bernoulli_", ".exponential_", ".normal_", ".random_", ".uniform_")
    own_state = ("default_rng", "Generator", "PCG64", "Philox", "SeedSequence")

    # Our own layers draw from PyTorch's generator if given none, which only users may do.
    takes_generator |= draws_initial_weights()

    def is_global(node: ast.AST) -> bool:
        name = called(node)
        if name in takes_generator or name.endswith(in_place):
            return not has_keyword(node, "generator")
        if "(" in name:  # a method of something made on the spot, as of a seeded generator
            return False
        if name.startswith(("np.random.", "numpy.random.")):
            given = isinstance(node, ast.Call) and (node.args or node.keywords)
            return name.split(".")[-1] not in own_state or not given
        if name.startswith("random."):
            return name != "random.Random"
        return name.endswith(("manual_seed_all", "seed_everything")) or name in (
            *("torch.manual_seed", "torch.seed", "torch.set_rng_state"),
            *("torch.rand_like", "torch.randn_like", "torch.randint_like"),
        )

    assert not found(is_global)


def test_no_assert_on_input() -> None:
    wrong = found(lambda node: isinstance(node, ast.Assert))
    assert not [place for place in wrong if not place.startswith("nacgraph/testing/")]


def test_nothing_loaded_can_run_code() -> None:
    def is_unsafe(node: ast.AST) -> bool:
        name = called(node)
        if name == "torch.load":
            return not any(
                k.arg == "weights_only" and getattr(k.value, "value", None) is True
                for k in node.keywords  # type: ignore[attr-defined]
            )
        return name in ("eval", "exec", "pickle.load", "pickle.loads", "joblib.load") or (
            isinstance(node, ast.keyword)
            and node.arg == "allow_pickle"
            and getattr(node.value, "value", None) is not False
        )

    assert not found(is_unsafe)


def test_packages_listed_are_the_folders_that_exist() -> None:
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    folders = {file.parent for file in library() if file.name == "__init__.py"}
    assert folders == {file.parent for file in library()}, "a folder without __init__.py"
    names = {".".join(["nacgraph", *f.parts[f.parts[0] == "nacgraph" :]]) for f in folders}
    assert set(setup["packages"]) == names
    for name, folder in setup["package-dir"].items():
        assert Path(folder) in folders and name in names


def test_the_bare_checkout_works_beside_a_users_own_modules(tmp_path: Path) -> None:
    for name in ("priors", "tasks", "viz"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the user\\'s own file')\n")
    code = """
import nacgraph.priors, nacgraph.tasks, nacgraph.viz
for module in (nacgraph, nacgraph.priors, nacgraph.tasks, nacgraph.viz):
    print(module.__name__, module.__file__)
"""
    folders = {"nacgraph": "nacgraph"} | {f"nacgraph.{f}": f for f in ("priors", "tasks", "viz")}
    lines = dict(line.split(" ", 1) for line in run_elsewhere(code, tmp_path).splitlines())
    assert lines == {name: str(ROOT / f / "__init__.py") for name, f in folders.items()}


def test_imports_are_light(tmp_path: Path) -> None:
    code = f"""
import sys, torch, torch_geometric
before = set(sys.modules)
import nacgraph, nacgraph.priors, nacgraph.tasks
for name in nacgraph._HOME:
    getattr(nacgraph, name)
print(*sorted({{m.split(".")[0] for m in set(sys.modules) - before}} & set({HEAVY.split()})))
"""
    assert run_elsewhere(code, tmp_path) == ""


def test_public_names_are_typed_as_they_are_loaded() -> None:
    tree = library()[Path("nacgraph/__init__.py")]
    typed = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nacgraph.")
        for alias in node.names
    }
    assert typed == {name: f"nacgraph.{file}" for name, file in nacgraph._HOME.items()}
    rooms = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "nacgraph"
        for alias in node.names
    }
    assert rooms == set(nacgraph._ROOMS)
    assert {*typed, *rooms} == set(nacgraph.__all__) <= set(dir(nacgraph))


def test_a_star_gives_the_public_names(tmp_path: Path) -> None:
    code = """
import sys
import nacgraph
print(sorted({"torch", "numpy", "yaml"} & set(sys.modules)))
from nacgraph import *
print(all(name in globals() for name in nacgraph.__all__), callable(fit), viz.__name__)
"""
    assert run_elsewhere(code, tmp_path).splitlines() == ["[]", "True True nacgraph.viz"]


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'Nac'"):
        nacgraph.Nac  # noqa: B018


def test_help_and_typos_need_no_torch(tmp_path: Path) -> None:
    code = """
import contextlib, io, sys
from nacgraph.__main__ import COMMANDS, main
said = io.StringIO()
for words in ([], ["trian"], ["train", "--stpes", "3"], *([name, "--help"] for name in COMMANDS)):
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(words)
        except SystemExit:
            pass
    heavy = {"torch", "torch_geometric", "scipy", "pytorch_lightning", "numpy"} & set(sys.modules)
    if heavy:
        raise SystemExit(f"{words} imports {heavy}")
print("usage: nacgraph train" in said.getvalue(), "(nearest: steps)" in said.getvalue())
"""
    assert run_elsewhere(code, tmp_path) == "True True"
