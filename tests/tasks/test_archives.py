"""Archives: unpacked once, whole or not at all, and never outside of the cache."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nacgraph.tasks import archives
from nacgraph.tasks.archives import opened
from nacgraph.tasks.data_report import DataError

FILES = {"set/train/a.txt": b"one", "set/test/b.txt": b"two" * 400, "set/empty": b""}
PAGE = b"\n<!DOCTYPE html><html><body>404</body></html>"


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def made(path: Path, files: Mapping[str, bytes]) -> Path:
    return (zipped if path.suffix == ".zip" else tarred)(path, files)


def content(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def refused(path: Path, cache: Path) -> str:
    """The message, after it was checked that nothing at all was left behind."""
    with pytest.raises(DataError) as caught:
        opened(path, cache)
    assert not cache.exists() or not list((cache / "unpacked").iterdir())
    assert str(path) in str(caught.value)
    return str(caught.value).replace(str(path), "ARCHIVE")


KINDS = pytest.mark.parametrize("name", ["d.zip", "d.tar", "d.tar.gz", "d.TGZ"])


@KINDS
def test_an_archive_becomes_the_folder_in_it(name: str, tmp_path: Path) -> None:
    path = made(tmp_path / name, FILES)
    folder = opened(path, tmp_path / "cache")
    assert folder is not None and folder.name == "set" and folder.parent.name.startswith("d-")
    assert content(folder.parent) == FILES
    assert (tmp_path / "cache" / "unpacked") in folder.parents


@KINDS
def test_an_archive_is_unpacked_once(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made(tmp_path / name, FILES)
    first = opened(path, tmp_path / "cache")
    assert str(path) in capsys.readouterr().err
    assert first is not None
    (first / "mark").touch()
    assert opened(path, tmp_path / "cache") == first and (first / "mark").exists()
    assert capsys.readouterr().err == ""
    made(path, {**FILES, "set/new": b"new"})  # another archive of that name
    again = opened(path, tmp_path / "cache")
    assert again is not None and again != first and (again / "new").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("files", "given_back"),
    [
        ({"only.tsv": b"x"}, "only.tsv"),
        ({"a/x": b"x", "b/x": b"x"}, ""),
        ({"train/a/x": b"x"}, ""),  # a split alone is no top folder
        ({"set/x": b"x", "__MACOSX/._x": b"x", ".DS_Store": b"x"}, "set"),
        ({"./set/./x": b"x"}, "set"),
        ({"set\\x": b"x"}, "set"),
    ],
)
@KINDS
def test_what_a_user_would_point_at(
    name: str, files: dict[str, bytes], given_back: str, tmp_path: Path
) -> None:
    if "\\" in next(iter(files)):
        name = "d.tar"  # zipfile itself turns them around when it writes
    found = opened(made(tmp_path / name, files), tmp_path / "cache")
    assert found is not None
    (root,) = (tmp_path / "cache" / "unpacked").iterdir()
    assert found == root / given_back and found.exists()


@pytest.mark.parametrize("name", ["a.npz", "a.tsv", "images-idx3-ubyte.gz", "zip", "a.zip.txt"])
def test_other_files_are_given_back(name: str, tmp_path: Path) -> None:
    path = zipped(tmp_path / name, FILES)
    assert opened(path, tmp_path / "cache") == path
    assert not (tmp_path / "cache").exists()


def test_folders_and_nothing_are_given_back(tmp_path: Path) -> None:
    folder = tmp_path / "folder.zip"
    folder.mkdir()
    assert opened(folder) == folder and opened(None) is None
    assert opened(tmp_path / "absent.zip") == tmp_path / "absent.zip"  # the task says so


@pytest.mark.parametrize(
    "member", ["../out", "set/../../out", "/out", "\\out", "..\\out", "C:\\out", "c:out", ".."]
)
@KINDS
def test_no_member_leaves_the_archive(name: str, member: str, tmp_path: Path) -> None:
    path = made(tmp_path / name, {"fine": b"1", member: b"2"})
    if path.suffix == ".zip":  # zipfile keeps what it is given, on this system
        with zipfile.ZipFile(path) as archive:
            assert archive.namelist()[1].replace("\\", "/") == member.replace("\\", "/")
    before = set(tmp_path.rglob("*"))
    message = refused(path, tmp_path / "cache")
    assert message.endswith("expected a place inside of the archive, got one outside")
    assert {p for p in tmp_path.rglob("*") if "cache" not in p.parts} <= before | {
        tmp_path / "cache",
        tmp_path / "cache" / "unpacked",
    }


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_tar_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "d.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("set/odd")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    message = refused(path, tmp_path / "cache")
    assert message == "ARCHIVE, set/odd: expected a file or a folder, got a link or a device"


def test_zip_links_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("odd")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc")
    message = refused(path, tmp_path / "cache")
    assert message == "ARCHIVE, odd: expected a file or a folder, got a link or a device"


@pytest.mark.parametrize("name", ["d.zip", "d.tgz"])
def test_bombs_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ALLOWANCE", 1000)
    path = made(tmp_path / name, {"fine": b"1", "zeros": bytes(3_000_000)})
    assert "ARCHIVE, zeros: expected at most" in refused(path, tmp_path / "cache")
    monkeypatch.setattr(archives, "ALLOWANCE", 10_000_000)
    assert opened(path, tmp_path / "cache") is not None


def test_a_tar_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.tar"
    info = tarfile.TarInfo("huge")
    info.size = 1 << 42
    path.write_bytes(info.tobuf() + bytes(2048))
    assert "ARCHIVE, huge: expected at most" in refused(path, tmp_path / "cache")


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MEMBERS", 2)
    path = zipped(tmp_path / "d.zip", FILES)
    assert "set/empty: expected at most" in refused(path, tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("d.zip", PAGE, "expected a zip archive, got an HTML page: a download that failed?"),
        ("d.tar.gz", PAGE, "expected a tar archive, got an HTML page: a download that failed?"),
        ("d.zip", b"", "expected a zip archive, got an empty file"),
        ("d.tgz", b"", "expected a tar archive, got an empty file"),
        ("d.zip", gzip.compress(b"x", mtime=0), "expected a zip archive, got a gzip file"),
        ("d.tar", b"PK\x03\x04" + bytes(600), "expected a tar archive, got a zip archive"),
        ("d.tar", b"hello there, this is", "got a file that begins with b'hello there, thi'"),
        ("d.zip", b"version https://git-lfs.github.com/spec/v1", "got a pointer of Git LFS"),
    ],
)
def test_what_only_looks_like_an_archive(name: str, data: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    assert what in refused(tmp_path / name, tmp_path / "cache")


@KINDS
def test_an_empty_archive_is_refused(name: str, tmp_path: Path) -> None:
    assert "got an empty archive" in refused(made(tmp_path / name, {}), tmp_path / "cache")


@KINDS
def test_cut_archives_are_refused(name: str, tmp_path: Path) -> None:
    noise = {f"set/{k}": bytes((k * j * j) % 251 for j in range(3000)) for k in range(9)}
    whole = made(tmp_path / name, noise).read_bytes()
    # The third ends a plain tar exactly between two members.
    for length in (len(whole) // 10, len(whole) // 2, min(5 * 3584, len(whole) * 3 // 4)):
        (tmp_path / name).write_bytes(whole[:length])
        message = refused(tmp_path / name, tmp_path / "cache")
        assert "cut short" in message or "got a gzip file" in message


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("set/x", b"A" * 100)
    data = bytearray((tmp_path / "d.zip").read_bytes())
    data[data.index(b"AAAA")] = ord("B")
    (tmp_path / "d.zip").write_bytes(data)
    assert "ARCHIVE, after set/x: the archive is damaged" in refused(
        tmp_path / "d.zip", tmp_path / "cache"
    )


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped(tmp_path / "d.zip", {"x": b"secret"}).read_bytes())
    data[6] |= 1  # local header
    data[data.index(b"PK\x01\x02") + 8] |= 1  # central directory
    (tmp_path / "d.zip").write_bytes(data)
    assert "got an encrypted" in refused(tmp_path / "d.zip", tmp_path / "cache")


@KINDS
def test_a_member_that_is_file_and_folder(name: str, tmp_path: Path) -> None:
    path = made(tmp_path / name, {"x": b"1", "x/y": b"2"})
    assert "expected a file or a folder, got both" in refused(path, tmp_path / "cache")


def test_another_process_may_be_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = zipped(tmp_path / "d.zip", FILES), tmp_path / "cache"
    write = archives._write

    def late(path: Path, members: archives.Members, draft: Path, limit: int) -> None:
        write(path, members, draft, limit)
        if "nested" not in os.environ:
            monkeypatch.setenv("nested", "1")
            assert opened(path, cache) is not None

    monkeypatch.setattr(archives, "_write", late)
    folder = opened(path, cache)
    assert folder is not None and content(folder.parent) == FILES
    assert len(list((cache / "unpacked").iterdir())) == 1


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop: Callable[..., None] = interrupted
    monkeypatch.setattr(archives, "_copy", stop)
    with pytest.raises(KeyboardInterrupt):
        opened(zipped(tmp_path / "d.zip", FILES), tmp_path / "cache")
    assert not list((tmp_path / "cache" / "unpacked").iterdir())


NAMES = st.text("ab.\\/:C\x01é", min_size=1, max_size=8)


@given(names=st.lists(NAMES, min_size=1, max_size=4), flip=st.integers(0, 10**6))
def test_any_names_and_any_flipped_byte_stay_inside(
    names: list[str], flip: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("any")
    for name in ("d.zip", "d.tar", "d.tgz"):
        path = made(root / name, {each: b"content" for each in dict.fromkeys(names)})
        data = bytearray(path.read_bytes())
        if flip % 2:
            data[flip % len(data)] ^= 1 << flip % 8
            path.write_bytes(data)
        try:
            found = opened(path, root / "cache")
        except DataError as error:
            assert str(path) in str(error)
        else:
            assert found is not None and (root / "cache" / "unpacked") in found.parents
    assert {each.name for each in root.iterdir()} <= {"d.zip", "d.tar", "d.tgz", "cache"}
    assert {each.name for each in (root / "cache").iterdir()} == {"unpacked"}
