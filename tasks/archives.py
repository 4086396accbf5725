"""Data given as an archive: unpacked once into the cache, never outside of it."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import re
import secrets
import shutil
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from nacgraph.tasks.cache import default_cache_dir
from nacgraph.tasks.data_report import DataError
from nacgraph.tasks.splits import SPLITS

# Compressed text shrinks to a tenth or a twentieth; a bomb to a thousandth and less.
RATIO, ALLOWANCE = 200, 64 << 20
MEMBERS = 5_000_000
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_CHUNK = 1 << 20
_BEGINNINGS = (
    (b"PK\x03\x04", "a zip archive"), (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"), (b"\xfd7zXZ", "an xz file"), (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a rar archive"), (b"version https://git-lfs", "a pointer of Git LFS"),
)  # fmt: skip
_ERRORS = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, gzip.BadGzipFile),
    *(EOFError, RuntimeError, ValueError, struct.error),
)
# What the system says of places and names that cannot be.
_DAMAGE = (errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ)


def opened(path: Path | None, cache_dir: Path | None = None) -> Path | None:
    """The folder that an archive unpacks to; any other path as it is.

    A .zip or .tar file, or one of .tar.gz, .tgz, .tar.bz2, .tar.xz, or a .gz file that holds an
    archive, is unpacked once, into a folder of the cache that is named
    after the file and a digest of its place, size and time of change. Of an archive that holds
    one folder, or one file, that is given. Others that are archives inside (.npz) are not opened.

    Args:
        path: File or folder; None stays None.
        cache_dir: The cache; None is the user's cache folder.

    Raises:
        DataError: If the file is no archive or a damaged one, or if a member is a link or a
            device, has a place outside of the archive, or is absurdly large; it names both.
        OSError: If the cache cannot be written.
    """
    kind = _kind(path)
    if path is None or kind is None:
        return path
    cache = default_cache_dir() if cache_dir is None else cache_dir
    final = cache / "unpacked" / _name(path)
    if not final.is_dir():
        print(f"unpacking {path} into {final}", file=sys.stderr, flush=True)
        _unpack(path, kind, final)
    return _top(final)


def _kind(path: Path | None) -> str | None:
    if path is None or not path.is_file():
        return None
    name = path.name.lower()
    if name.endswith(".zip"):
        return "zip"
    if name.endswith(_TAR):
        return "tar"
    return "tar" if name.endswith(".gz") and _holds_tar(path) else None


def _holds_tar(path: Path) -> bool:
    """Whether a gzip file is an archive, as LRA's ``lra_release.gz``, and not one file, as IDX."""
    try:
        with gzip.open(path) as file:
            return file.read(262)[257:] == b"ustar"
    except (OSError, EOFError, zlib.error):
        return False


def _name(path: Path) -> str:
    """A folder's name that changes with the archive. Its content is not read for that: sets of
    images have gigabytes."""
    state = path.stat()
    key = f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}"
    stem = re.sub(r"(\.tar)?\.\w+$", "", path.name)
    return f"{stem}-{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def _top(folder: Path) -> Path:
    """What a user would point at: the only thing in the archive, unless that is a split."""
    held = [e for e in folder.iterdir() if not e.name.startswith(".") and e.name != "__MACOSX"]
    return held[0] if len(held) == 1 and held[0].name not in SPLITS else folder


def _unpack(path: Path, kind: str, final: Path) -> None:
    """Unpack into a draft folder, and give it its name only when all of it is there."""
    draft = final.with_name(f".{final.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    draft.mkdir(parents=True)
    limit = RATIO * path.stat().st_size + ALLOWANCE
    try:
        _write(path, _zipped(path) if kind == "zip" else _tarred(path), draft, limit)
        try:
            draft.rename(final)
        except OSError:
            if not final.is_dir():  # otherwise another process was faster, with the same
                raise
    finally:  # after an error, and on Ctrl-C, nothing is left behind
        shutil.rmtree(draft, ignore_errors=True)


Member = tuple[str, bool, int, IO[bytes] | None]  # name, folder?, bytes, content
Members = Iterator[Member]


def _write(path: Path, members: Members, draft: Path, limit: int) -> None:
    left, count, name = limit, 0, ""
    try:
        for name, folder, size, content in members:
            target = draft.joinpath(*_parts(path, name))
            left, count = left - size, count + 1
            if left < 0 or count > MEMBERS:
                raise DataError(
                    f"{path}, {name}: expected at most {limit:,} bytes and {MEMBERS:,} members in "
                    f"an archive of this size, got more: a bomb?"
                )
            if folder:
                target.mkdir(parents=True, exist_ok=True)
            elif content is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(content, target, size)
    except DataError:
        raise
    except _ERRORS as error:
        where = f", after {name}" if name else ""
        text = str(error) or type(error).__name__
        raise DataError(f"{path}{where}: the archive is damaged or cut short ({text})") from error
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise DataError(f"{path}, {name}: expected a file or a folder, got both") from error
    except OSError as error:
        if error.errno not in _DAMAGE:  # a full disk, say, is not the archive's fault
            raise
        raise DataError(f"{path}, after {name or 'nothing'}: damaged ({error.strerror})") from error
    if not count:
        raise DataError(f"{path}: expected files, got an empty archive")


def _copy(content: IO[bytes], target: Path, size: int) -> None:
    """Write a member, as many bytes as its header announces."""
    with content, open(target, "wb") as file:
        while size > 0 and (part := content.read(min(_CHUNK, size))):
            file.write(part)
            size -= len(part)
        if size:
            raise EOFError(f"{target.name} is cut short")
        content.read(1)  # at its end a zip member's checksum is compared


def _parts(path: Path, name: str) -> list[str]:
    r"""The folders and the file of a member's name, none of them outside of the archive.

    ``\`` separates folders too: some programs for Windows write that.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    absolute = name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name)
    if absolute or ".." in parts or "\0" in name:
        raise DataError(f"{path}, {name}: expected a place inside of the archive, got one outside")
    return parts


def _zipped(path: Path) -> Members:
    if not zipfile.is_zipfile(path):
        what = _looks(path)
        short = " that is cut short" if what == "a zip archive" else ""
        raise DataError(f"{path}: expected a zip archive, got {what}{short}")
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            mode = stat.S_IFMT(info.external_attr >> 16)
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(
                    f"{path}, {info.filename}: expected a file or a folder, got a link or a device"
                )
            if info.flag_bits & 1:
                raise DataError(f"{path}, {info.filename}: expected a plain file, got an encrypted")
            content = None if info.is_dir() else archive.open(info)
            yield info.filename, info.is_dir(), info.file_size, content


def _tarred(path: Path) -> Members:
    try:
        archive = tarfile.open(path, "r:*")
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise DataError(f"{path}: expected a tar archive, got {_looks(path)}") from error
    with archive:
        for info in archive:
            if not (info.isreg() or info.isdir()):
                raise DataError(
                    f"{path}, {info.name}: expected a file or a folder, got a link or a device"
                )
            yield info.name, info.isdir(), info.size, archive.extractfile(info)
        # tarfile takes a file that stops between two members for a whole one: look for the empty
        # block at the end. Reading on has gzip compare its checksum.
        end = archive.fileobj
        if end is None or end.tell() == archive.offset:
            raise EOFError("its end is missing")
        end.read(_CHUNK)


def _looks(path: Path) -> str:
    """What a file contains whose content does not match its name."""
    with open(path, "rb") as file:
        start = file.read(512)
    if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml|head)", start, re.IGNORECASE):
        return "an HTML page: a download that failed?"
    if start[257:262] == b"ustar":
        return "a tar archive"
    for beginning, what in _BEGINNINGS:
        if start.startswith(beginning):
            return what
    return f"a file that begins with {start[:16]!r}" if start else "an empty file"
