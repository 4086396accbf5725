"""LRA's ListOps files: the text form, reading, damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from listops_reference import TREES, Tree, nested, sequences, words

from nacgraph.tasks.listops.data import Recipe, generate
from nacgraph.tasks.listops.trees import SYMBOLS
from nacgraph.tasks.listops.tsv import read_tsv, source_text, write_tsv


@settings(max_examples=60)
@given(TREES)
def test_text_is_nested_as_lra_nests_it(tree: Tree) -> None:
    assert source_text(sequences(words(tree)).tokens) == nested(tree)


def test_files_are_read_back(tmp_path: Path) -> None:
    made = generate(Recipe(4, 60, (200,)), 0)
    write_tsv(tmp_path / "a.tsv", made)
    again = read_tsv(tmp_path / "a.tsv")
    assert again.tokens.tolist() == made.tokens.tolist()
    assert again.offsets.tolist() == made.offsets.tolist()
    assert again.labels.tolist() == made.labels.tolist()


def test_a_file_of_lra_is_read(tmp_path: Path) -> None:
    file = tmp_path / "basic_test.tsv"
    quoted = '"( ( ( [SM 9 ) ( ( ( [MIN 4 ) 5 ) ] ) ) ] )"'
    lines = ["Source\tTarget", "( ( ( [MAX 2 ) 3 ) ] )\t3", "", f"{quoted}\t3", ""]
    file.write_bytes("\r\n".join(lines).encode())
    read = read_tsv(file)
    assert [[SYMBOLS[t - 1] for t in read.row(i)] for i in range(2)] == [
        ["[MAX", "2", "3", "X"],
        ["[SM", "9", "[MIN", "4", "5", "X", "X"],
    ]
    assert read.labels.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: header"),
        ("source\ttarget\n1\t1\n", "line 1: header"),
        ("<html>\n", "line 1: header"),
        ("Source\tTarget\n", "no sequences"),
        ("Source\tTarget\n1\t1\n[MOD 1 ]\t1\n", "line 3: unknown symbol '\\[MOD'"),
        ("Source\tTarget\n12\t1\n", "line 2: unknown symbol '12'"),
        ("Source\tTarget\n1\t1.0\n", "line 2: Target must be an integer"),
        ("Source\tTarget\n1\t\n", "line 2: Target must be"),
        ("Source\tTarget\n1\t10\n", "line 2: Target must be an integer from 0 to 9, got '10'"),
        ("Source\tTarget\n1\t-1\n", "line 2: Target must be"),
        ("Source\tTarget\n( )\t1\n", "line 2: Source is empty"),
        ("Source\tTarget\n1\t1\n1\n", "line 3: a row has 2 columns, got 1"),
        ("Source\tTarget\n1\t1\t1\n", "line 2: a row has 2 columns, got 3"),
        ("Source\tTarget\n1 2 3 4\t1\n", "line 2: at most 3 symbols"),
        (b"Source\tTarget\n\xff\t1\n", "a.tsv"),
        ('Source\tTarget\n"' + "1 " * 100_000, "line 2: field larger"),
    ],
)
def test_damaged_files_are_named_with_the_line(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    file = tmp_path / "a.tsv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as error:
        read_tsv(file, max_length=3)
    assert str(file) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"basic_val\.tsv"):
        read_tsv(tmp_path / "basic_val.tsv")
