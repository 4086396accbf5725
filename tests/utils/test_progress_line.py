"""How far reading data is: one line on stderr, of what takes a while only."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import images_on_disk as disk
import pytest

from nacgraph.tasks import Images
from nacgraph.tasks.images import listing
from nacgraph.utils.progress_line import telling

Captured = pytest.CaptureFixture[str]


def work(total: int, stop: int | None = None) -> None:
    with telling("reading", total, "files", least=10, every=5) as one_more:
        for k in range(total):
            if k == stop:
                raise ValueError("damaged")
            one_more()


def test_in_a_file_only_the_end_of_much_work_is_told(capsys: Captured) -> None:
    work(9)
    assert capsys.readouterr().err == ""
    work(1200)
    assert capsys.readouterr().err == "reading: 1,200 of 1,200 files\n"


def test_on_a_terminal_one_line_is_kept_up_to_date(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    work(12)
    shown = capsys.readouterr().err
    assert shown.split("\r")[1:] == [f"reading: {k} of 12 files" for k in (5, 10)] + [
        "reading: 12 of 12 files\n"
    ]
    with pytest.raises(ValueError, match="damaged"):
        work(12, stop=7)
    assert capsys.readouterr().err == "\rreading: 5 of 12 files\n"  # what follows has its own line


def test_image_files_are_told_of_unless_they_are_kept(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_telling", partial(telling, unit="files", least=1))
    folder = disk.class_folders(tmp_path / "a")
    tables = Images(data=folder, cache_dir=tmp_path).load().splits
    count = sum(map(len, tables.values()))
    told = capsys.readouterr().err.splitlines()
    assert told == [
        f"{what} images: {count} of {count} files" for what in ("looking at", "reading")
    ]
    Images(data=folder, cache_dir=tmp_path).load()
    assert capsys.readouterr().err == ""
