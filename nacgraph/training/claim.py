"""A run folder belongs to one process at a time."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from nacgraph.utils.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


def counts(path: Path) -> bool:
    """Whether a file in a folder is of a run: neither a lock nor a draft."""
    return path.name != LOCK and not (path.name.startswith(".") and path.suffix == ".tmp")


@contextmanager
def claimed(choose: Callable[[], Path], new: bool = False) -> Iterator[Path]:
    """Hold a folder, made if it is missing, against every other process, and give it back.

    The lock ends with its process, however that ends; what it says tells others whom to ask. A
    folder in which nothing was left is removed again, with those that were made for it.

    Args:
        choose: Says which folder; asked again where one that has to be ``new`` is there by now.
        new: Whether the folder has to be.

    Raises:
        ConfigError: If another process holds it, or it cannot be made.
    """
    while True:
        folder = choose()
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(exist_ok=not new)
            break
        except OSError as error:
            if not (new and folder.is_dir()):
                got = f"{folder} ({error.strerror})"
                raise ConfigError([f"out: expected a folder that can be made, got {got}"]) from None
    held: int | None = None
    try:
        held = _lock(folder / LOCK)
        yield folder
    finally:
        if held is not None:
            with suppress(OSError):  # while it is still ours
                (folder / LOCK).unlink()
            os.close(held)
        with suppress(OSError):  # not empty, or not there any more
            for each in missing:
                each.rmdir()


def _lock(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            here = os.fstat(handle)
            if not path.exists() or path.stat().st_ino != here.st_ino:
                os.close(handle)  # its holder has just removed it
                continue
            holder = _holder(path)
            # A file system may not pass locks on between hosts: then what it says has to do.
            if holder.get("host", socket.gethostname()) != socket.gethostname():
                raise BlockingIOError
        except OSError:
            os.close(handle)
            said = _holder(path)
            raise ConfigError(
                [
                    f"out: {path.parent} is in use by process {said.get('process')} on "
                    f"{said.get('host')} since {said.get('since')}; wait for it, give another "
                    f"--out, or, if it is no longer there, remove {path}"
                ]
            ) from None
        record = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "since": datetime.now().astimezone().isoformat(" ", "seconds"),
        }
        os.ftruncate(handle, 0)
        os.pwrite(handle, (json.dumps(record) + "\n").encode(), 0)
        return handle


def _holder(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        if isinstance(found := json.loads(path.read_text("utf-8")), dict):
            return found
    return {}


def remove_start(folder: Path) -> None:
    """Take back what a run wrote that never got to a checkpoint."""
    if list((folder / "checkpoints").glob("*.json")):
        return
    for name in ("config.yaml", "data.json", "samples.npz", "metrics.csv"):
        (folder / name).unlink(missing_ok=True)
    for name in ("tensorboard", "frames", "checkpoints"):
        shutil.rmtree(folder / name, ignore_errors=True)
