"""Arrays in a user cache folder: written atomically, checked by a digest when read again."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


def default_cache_dir() -> Path:
    """The user's cache folder of this platform, with ``nacgraph`` in it; it may not exist yet."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(chosen):
        return Path(chosen) / "nacgraph"
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "nacgraph" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nacgraph"
    return Path.home() / ".cache" / "nacgraph"


def digest(settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """sha256 over the settings and over name, type, shape and content of every array."""
    total = hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}".encode())
        total.update(array.data)
    return total.hexdigest()


def save(path: Path, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as npz so that ``path`` holds all of it or is what it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = np.array(digest(settings, arrays))
    # Not `tempfile`, whose files no other user may read: a cache folder can be shared.
    draft = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(draft, "xb") as file:
            np.savez(file, sha256=header, **dict(arrays))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:  # Ctrl-C too leaves nothing behind
        draft.unlink(missing_ok=True)
        raise


def load(path: Path, settings: Mapping[str, Any]) -> Arrays:
    """Read arrays that `save` wrote.

    Raises:
        ValueError: If the file is damaged, or holds other settings; it says what to delete.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        stored = str(arrays.pop("sha256"))
    except FileNotFoundError:
        raise
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"the cache file {path} is damaged ({error}): delete it") from error
    found = digest(settings, arrays)
    if found != stored:
        raise ValueError(
            f"the cache file {path} is damaged: its content has sha256 {found[:16]}…, "
            f"{stored[:16]}… is written in it; delete it"
        )
    return arrays


def cached(path: Path, settings: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
    """Arrays from ``path``, or made now and kept there.

    Several processes may do this at once: each writes a file of its own and renames it, and all
    write the same. A folder that cannot be written costs only a warning.
    """
    if path.exists():
        return load(path, settings)
    arrays = make()
    try:
        save(path, settings, arrays)
    except OSError as error:
        warnings.warn(f"not cached, {path} cannot be written: {error}", stacklevel=2)
    return arrays
