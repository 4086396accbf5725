"""Names for classes: one small registry a kind of plugin, and the door for a user's own file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

from nacgraph.utils.errors import did_you_mean

LOADED: dict[Path, str] = {}
"""Plugin files that this process has run, and the sha256 of each as it was then."""

T = TypeVar("T")
C = TypeVar("C", bound=type)


class Registry(Generic[T]):
    """Classes of one kind by name: registered by a decorator, or offered by an entry point.

    Entry points are loaded when they are asked for, so a broken one never hides the others.

    Args:
        kind: What the classes are, for messages: ``"prior"``, ``"task"``.
        group: Entry-point group in which other packages offer theirs: ``"nacgraph.priors"``.
        shipped: Name → ``"module:Class"`` of those that ship, loaded when they are asked for, so
            that their names are known without importing torch.
    """

    def __init__(self, kind: str, group: str, shipped: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self.group = group
        self.shipped = dict(shipped or {})
        self._classes: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[C], C]:
        """Class decorator that enters a class under ``name``.

        Raises:
            ValueError: If the name is empty, or already stands for another class.
        """
        if not isinstance(name, str) or not name:
            raise ValueError(f"{self.kind} name: expected a non-empty string, got {name!r}")

        def enter(cls: C) -> C:
            if not isinstance(cls, type):
                raise ValueError(f"{self.kind} {name!r}: expected a class, got {cls!r}")
            if name in self.shipped and _place(cls) != self.shipped[name]:
                self.get(name)  # so that the name is seen to be taken
            present = self._classes.get(name)
            # The same source class again (a plugin loaded twice, a reload) takes its own place.
            if present is not None and _source(present) != _source(cls):
                raise ValueError(
                    f"{self.kind} name {name!r} is taken by {'.'.join(_source(present))}; "
                    f"expected a free name for {'.'.join(_source(cls))}"
                )
            self._classes[name] = cls
            return cls

        return enter

    def names(self) -> list[str]:
        """All names in order, those of entry points included (without loading them)."""
        return sorted({*self._classes, *self.shipped, *self._entry_points()})

    def get(self, name: str) -> type[T]:
        """The class called ``name``.

        Raises:
            ValueError: If nothing has that name (choices and the nearest are listed), or if
                its entry point cannot be loaded.
        """
        if name in self._classes:
            return self._classes[name]
        if name in self.shipped:
            module, _, cls = self.shipped[name].partition(":")
            self._classes[name] = getattr(importlib.import_module(module), cls)
            return self._classes[name]
        entry = self._entry_points().get(name)
        if entry is None:
            raise ValueError(self._unknown(name))
        try:
            loaded = entry.load()
        except Exception as error:  # whatever the plugin's import raises is reported with its name
            raise ValueError(
                f"{self.kind} {name!r} is offered by entry point {entry.value!r}, "
                f"which does not load: {type(error).__name__}: {error}"
            ) from error
        if name not in self._classes:
            if not isinstance(loaded, type):
                raise ValueError(
                    f"{self.kind} {name!r}: expected a class behind entry point "
                    f"{entry.value!r}, got {type(loaded).__name__}"
                )
            self._classes[name] = loaded
        return self._classes[name]

    def offered(self) -> Iterator[tuple[str, type[T] | ValueError]]:
        """Every name with its class, or with the error of an entry point that does not load."""
        for name in self.names():
            try:
                yield name, self.get(name)
            except ValueError as error:  # one broken plugin must not hide the others
                yield name, error

    def _entry_points(self) -> dict[str, importlib.metadata.EntryPoint]:
        return {entry.name: entry for entry in importlib.metadata.entry_points(group=self.group)}

    def _unknown(self, name: str) -> str:
        choices = self.names()
        hint = did_you_mean(name, choices)
        return f"{self.kind}: expected one of {', '.join(choices)}; got {name!r}{hint}"


def plugin_list(plugins: Sequence[str | Path]) -> list[str | Path]:
    """The files of an argument ``plugins``.

    Raises:
        ValueError: If it is one path, whose letters would be taken for files.
    """
    if isinstance(plugins, (str, Path)):
        raise ValueError(f"plugins: expected a list of files, got {str(plugins)!r}")
    return list(plugins)


def load_plugin(path: str | Path) -> ModuleType:
    """Run one Python file given by the user, so that what it registers can be found by name.

    The file is code and is run as such; that is announced on stderr in one line.

    Raises:
        ValueError: If the file is missing, is no ``.py`` file, or raises while it runs.
    """
    file = Path(path).expanduser()
    if file.suffix != ".py":
        raise ValueError(f"plugin: expected a .py file, got {str(path)!r}")
    if not file.is_file():
        raise ValueError(f"plugin: expected an existing file, got {str(path)!r}")
    file = file.resolve()
    # One module name per path: two users' my_prior.py must not replace each other.
    name = f"nacgraph_plugin_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"plugin: expected a Python source file, got {str(path)!r}")
    print(f"running plugin {path}", file=sys.stderr)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up here
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ValueError(f"plugin {str(path)!r} raised {type(error).__name__}: {error}") from error
    LOADED[file] = digest
    return module


def _place(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _source(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__
