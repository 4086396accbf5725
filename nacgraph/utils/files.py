"""Files that are written completely or not at all."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from nacgraph.utils.errors import CheckpointError


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` so that ``path`` holds either the old content or all of the new one.

    Raises:
        CheckpointError: If the disk is full or cannot be written; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        why = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
        raise CheckpointError(
            f"{path}: not written, {why} ({len(data):,} bytes needed); the old file is unchanged"
        ) from error
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # A rename is only durable once its folder is; Windows has no handle for a folder.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
