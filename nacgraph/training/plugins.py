"""The plugin files of a run: remembered by path and digest, never run by loading the run."""

from __future__ import annotations

import hashlib
import inspect
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nacgraph.utils.registry import LOADED


@dataclass(frozen=True)
class PluginFile:
    """A plugin of a run.

    Attributes:
        path: Where the file was, absolute.
        sha256: What it held when the run was made; None where nobody noted that.
    """

    path: Path
    sha256: str | None

    @classmethod
    def of(cls, path: str | Path) -> PluginFile:
        """The file as this process has run it, or else as it is now."""
        file = Path(path).expanduser().resolve()
        return cls(file, LOADED.get(file) or _digest(file))

    def state(self) -> str:
        """Whether the file is still what it was."""
        if not self.path.is_file():
            return "no longer there"
        if self.sha256 is None:
            return "whether it changed since is not known"
        same = _digest(self.path) == self.sha256
        return "unchanged since the run was made" if same else "CHANGED since the run was made"

    def now(self) -> PluginFile | None:
        """What this process has run in its place: the same path, content or name."""
        if self.path not in LOADED and _is_module(self.path):  # such as the script itself
            return PluginFile(self.path, _digest(self.path))
        by_content = (path for path, digest in LOADED.items() if digest == self.sha256)
        by_name = (path for path in LOADED if path.name == self.path.name)
        here = self.path if self.path in LOADED else next(by_content, next(by_name, None))
        return None if here is None else PluginFile(here, LOADED[here])


def plugins_of(paths: Sequence[str | Path], *parts: type) -> list[PluginFile]:
    """The plugin files of a run, with those that define its parts: a task or prior of a script."""
    files = {PluginFile.of(path).path for path in paths}
    for part in parts:
        if part.__module__.partition(".")[0] == "nacgraph":
            continue
        # A class of an installed package is offered by its entry point, and needs no file.
        with suppress(TypeError, OSError):  # one of a notebook has none
            file = Path(inspect.getfile(part)).resolve()
            if "." not in part.__module__ and "site-packages" not in file.parts:
                files.add(file)
    return [PluginFile.of(file) for file in sorted(files)]


def _is_module(file: Path) -> bool:
    """Whether a module of this process is from this file."""
    paths = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return any(Path(p).name == file.name and Path(p).resolve() == file for p in paths if p)


def _digest(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def missing(files: Sequence[PluginFile]) -> str | None:
    """What to say of a run that cannot be read without these plugins; None if all have run."""
    absent = [file for file in files if file.now() is None]
    if not absent:
        return None
    named = ", ".join(f"{file.path} ({file.state()})" for file in absent)
    flags = shlex.join([word for file in absent for word in ("--plugin", str(file.path))])
    return (
        f"the run used plugin {named}; reading a run never runs code, so add {flags} "
        f"(in Python: plugins={[str(file.path) for file in absent]})"
    )


def changes(files: Sequence[PluginFile]) -> list[str]:
    """A remark on each plugin that has run here with other content than the run's."""
    return [
        f"plugin {now.path} is not the file that the run was made with: its content changed"
        for file in files
        if (now := file.now()) is not None and file.sha256 not in (None, now.sha256)
    ]
