"""Environments that are not as libraries would like them, and names that a terminal would obey."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_run import arguments, environment

from nacgraph.__main__ import at_home, main
from nacgraph.utils.errors import printable


@pytest.mark.parametrize(
    "odd",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "ascii", "MPLBACKEND": "module://of.no.such.notebook"},
        {"HOME": None, "RANK": "1", "SLURM_PROCID": "2"},
    ],
    ids=["cp1252", "ascii", "launchers"],
)
def test_a_run_goes_on(tmp_path: Path, odd: dict[str, str | None]) -> None:
    flags = arguments(tmp_path / "cache", "--out", str(tmp_path / "run"), "--steps=2")
    there = {k: v for k, v in {**environment(), **odd}.items() if v is not None}
    done = subprocess.run(
        [sys.executable, "-m", "nacgraph", "train", *flags], env=there, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "summary.json").is_file()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["train", "--out=/dev/null/run"], "error: "),
        (["train", "--seed", str(2**80)], "seed: expected a whole number >= 0"),
        (["train", "--task-set", "a={"], "error: "),
        (["evaluate", "{run}", "--threads", "-1"], "expected a whole number >= 0"),
        (["analyze", "{run}", "--seed", str(2**64)], "expected a whole number >= 0"),
    ],
)
def test_one_line_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    try:
        code = main([text.replace("{run}", str(tmp_path)) for text in argv])
    except SystemExit as end:  # of argparse
        code = int(end.code or 0)
    assert code in (2, 4) and message in capsys.readouterr().err


def test_home_is_found_after_an_equals_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/at/home")
    assert at_home("--out=~/runs") == "--out=" + os.path.join("/at/home", "runs")
    for text in ("--out=a~", "a=~", "--only=x~y", "~", "--x"):
        assert at_home(text) == text


def test_a_terminal_obeys_no_name() -> None:
    assert printable("a\x1b[31mb\x9bc\r\n\td") == "a\\x1b[31mb\\x9bc\\x0d\n\td"
