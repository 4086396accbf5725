"""Names for classes: decorators, entry points, and a user's own file."""

from __future__ import annotations

from pathlib import Path

import pytest

from nacgraph.utils.registry import Registry, load_plugin


class Animal:
    pass


@pytest.fixture
def animals() -> Registry[Animal]:
    registry: Registry[Animal] = Registry("animal", "nacgraph_test.animals")

    @registry.register("zebra")
    class Zebra(Animal):
        pass

    @registry.register("ant")
    class Ant(Animal):
        pass

    return registry


def offer(folder: Path, entry: str, source: str) -> None:
    """A package installed in ``folder`` that offers one entry point."""
    module = entry.split(" = ")[1].split(":")[0]  # one of its own: Python keeps what it imported
    (folder / f"{module}.py").write_text(source)
    info = folder / "menagerie-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: menagerie\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[nacgraph_test.animals]\n{entry}\n")


def test_names_are_in_order_and_get_gives_the_class(animals: Registry[Animal]) -> None:
    assert animals.names() == ["ant", "zebra"]
    assert animals.get("ant").__name__ == "Ant"


def test_an_unknown_name_lists_the_choices_and_the_nearest(animals: Registry[Animal]) -> None:
    with pytest.raises(
        ValueError, match=r"animal: expected one of ant, zebra; got 'zebr'.*'zebra'"
    ):
        animals.get("zebr")


def test_a_name_cannot_be_taken_twice(animals: Registry[Animal]) -> None:
    with pytest.raises(ValueError, match="'ant' is taken by"):
        animals.register("ant")(Animal)
    assert animals.get("ant").__name__ == "Ant"


def test_a_name_is_not_empty(animals: Registry[Animal]) -> None:
    with pytest.raises(ValueError, match="expected a non-empty string"):
        animals.register("")


def test_an_entry_point_is_found(
    animals: Registry[Animal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path, "lion = savanna:Lion", "class Lion:\n    legs = 4\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert animals.names() == ["ant", "lion", "zebra"]
    assert vars(animals.get("lion"))["legs"] == 4


def test_a_broken_entry_point_is_listed_and_told_when_asked_for(
    animals: Registry[Animal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path, "mole = burrow:Mole", "import no_such_module_here\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "mole" in animals.names()
    assert animals.get("ant").__name__ == "Ant"
    offered = dict(animals.offered())
    assert list(offered) == ["ant", "mole", "zebra"] and offered["ant"] is animals.get("ant")
    assert isinstance(offered["mole"], ValueError) and "does not load" in str(offered["mole"])
    with pytest.raises(ValueError, match=r"'mole'.*does not load: ModuleNotFoundError"):
        animals.get("mole")


def test_an_entry_point_must_be_a_class(
    animals: Registry[Animal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path, "rock = quarry:rock", "rock = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="expected a class behind entry point"):
        animals.get("rock")


def test_a_plugin_is_run_and_announced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text("answer = 42\n")
    assert load_plugin(file).answer == 42
    assert capsys.readouterr().err == f"running plugin {file}\n"


def test_a_plugin_loaded_twice_keeps_its_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from nacgraph.utils.registry import Registry\n"
        "def enter(registry):\n"
        "    @registry.register('cat')\n"
        "    class Cat: pass\n"
        "    return Cat\n"
    )
    registry: Registry[Animal] = Registry("animal", "nacgraph_test.animals")
    load_plugin(file).enter(registry)
    again = load_plugin(file).enter(registry)
    assert registry.get("cat") is again


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.py", None, "expected an existing file"),
        ("notes.txt", "x = 1", "expected a .py file"),
        ("broken.py", "1 / 0", "raised ZeroDivisionError"),
        ("typo.py", "def (", "raised SyntaxError"),
    ],
)
def test_a_plugin_that_cannot_be_run(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        load_plugin(tmp_path / name)
