"""Arrays from ``.npz`` files of anyone: bounded in memory, checked, never code."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from nacgraph.utils.errors import CheckpointError

LIMIT = 1 << 31  # bytes of one file's arrays
RATIO = 200  # bytes that one packed byte may stand for; small files may be nothing but zeros
FREE = 1 << 26  # bytes that are read whatever they were packed into


def read_arrays(path: Path, limit: int = LIMIT) -> dict[str, np.ndarray]:
    """The numeric arrays of an ``.npz`` file by name.

    Nothing is unpacked before its declared size is known to be below ``limit`` and in proportion
    to the file.

    Raises:
        CheckpointError: If the file is damaged, holds something other than numbers, or is larger
            than expected.
    """
    try:
        most = min(limit, max(FREE, RATIO * path.stat().st_size))
        with zipfile.ZipFile(path) as archive:
            found, total = {}, 0
            for info in archive.infolist():
                found[info.filename.removesuffix(".npy")] = array = _read(archive, info, most)
                total += array.nbytes
                if total > most:
                    raise ValueError(f"expected at most {most:,} bytes of arrays, got more")
            return found
    except FileNotFoundError:
        raise
    except (
        *(OSError, ValueError, EOFError, KeyError, TypeError, SyntaxError, RecursionError),
        *(NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error),
    ) as error:
        raise CheckpointError(f"{path}: damaged, or no .npz of numbers ({error})") from error


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> np.ndarray:
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in read:
            raise ValueError(f"{info.filename}: expected version 1.0 or 2.0, got {version}")
        shape, fortran, dtype = read[version](file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.kind not in "biuf" or not 0 <= size <= most:
            raise ValueError(
                f"{info.filename}: expected numbers of at most {most:,} bytes, got {dtype} {shape}"
            )
        data = file.read(size + 1)  # to the end, where the checksum is compared
        if len(data) != size:
            raise ValueError(f"{info.filename}: expected {size:,} bytes, got others")
    array = np.frombuffer(data, dtype).copy()
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
