"""LRA's ListOps files: the text form, reading, damage."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listops_reference import TREES, Tree, nested, sequences, words

from nacgraph.tasks.data_report import DataReport
from nacgraph.tasks.listops.data import Recipe, generate
from nacgraph.tasks.listops.task import ListOps
from nacgraph.tasks.listops.trees import SYMBOLS
from nacgraph.tasks.listops.tsv import read_tsv, source_text, symbol_ids, write_tsv


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
        ("", "line 1: expected the header Source<TAB>Target, got ''"),
        ("Source,Target\n1,1\n", "line 1: expected the header"),
        ("<html>\n", "line 1: expected the header"),
        ("Source\tTarget\n", "expected rows after the header"),
        ("Source\tTarget\n1\t1\n[MOD 1 ]\t1\n", "line 3: expected symbols among .*'\\[MOD'"),
        ("Source\tTarget\n12\t1\n", "line 2: expected symbols among .*, got '12'"),
        ("Source\tTarget\n1\t1.0\n", "line 2: expected an integer from 0 to 9 as Target"),
        ("Source\tTarget\n1\t\n", "line 2: expected an integer from 0 to 9"),
        ("Source\tTarget\n1\t10\n", "line 2: expected an integer .* as Target, got '10'"),
        ("Source\tTarget\n1\t-1\n", "line 2: expected an integer from 0 to 9"),
        ("Source\tTarget\n( )\t1\n", "line 2: expected symbols in Source, got none"),
        ("Source\tTarget\n1\t1\n1\n", "line 3: expected 2 columns, Source and Target, got 1"),
        ("Source\tTarget\n1\t1\t1\n", "line 2: expected 2 columns, Source and Target, got 3"),
        ("Source\tTarget\n[SM 1 2 3 ]\t6\n", "line 2: expected at most 4 symbols, got 5"),
        (b"Source\tTarget\n\xff\t1\n", "line 2: expected symbols among"),
        ("Source\tTarget\n1\t1\n[MAX 2 9 ]\t3\n", "line 3: expected the value 9 as Target, got 3"),
        ("Source\tTarget\n[MAX 2 9\t9\n", "line 2: expected one list .* got 1 that is not closed"),
        ("Source\tTarget\n[MAX 2 [SM 1\t2\n", "line 2: .*, got 2 that are not closed"),
        ("Source\tTarget\n2 ]\t2\n", "line 2: .*, got 1 symbols behind its end"),
        ("Source\tTarget\n]\t2\n", "line 2: .*, got a \\] that closes nothing"),
        ("Source\tTarget\n[MAX ]\t2\n", "line 2: .*, got a list without arguments"),
        ("Source\tTarget\n[MAX 2 [MIN ] ]\t2\n", "line 2: .*, got a list without arguments"),
        ("Source\tTarget\n( 2\t2\n", r"line 2: expected parentheses .*, got 1 \( and 0 \)"),
    ],
)
def test_damaged_files_are_named_with_the_line(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    file = tmp_path / "a.tsv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as error:
        read_tsv(file, max_length=4)
    assert str(file) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"basic_val\.tsv"):
        read_tsv(tmp_path / "basic_val.tsv")


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_bytes(b"\xef\xbb\xbftarget\tid\tSOURCE\n9\tx\t[MAX 2 9 ]\n")
    found = DataReport()
    assert read_tsv(file, found=found).labels.tolist() == [9]
    assert [str(each) for each in found.left_out] == ["1, columns of a.tsv that are not read: id"]


def test_all_damage_is_collected_and_the_rest_is_read(tmp_path: Path) -> None:
    rows = ["[MAX 2 9 ]\t9", "[MAX 2 9 ]\t3", "[MAX 2 9\t9", "[MED 3 6 ]\t4"]
    file = tmp_path / "a.tsv"
    file.write_text("Source\tTarget\n" + "\n".join(rows) + "\n")
    found = DataReport(collect=True)
    assert read_tsv(file, found=found).labels.tolist() == [9, 4]
    assert [text.split(": ")[0] for text in found.damage] == [
        f"{file}, line 4",
        f"{file}, line 3",
    ]


def test_long_fields_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text("Source\tTarget\n[MAX " + "1 " * 100_000 + "]\t1\n")
    assert read_tsv(file).lengths.tolist() == [100_002]


@settings(max_examples=40)
@given(TREES, st.integers(0, 10_000))
def test_a_cut_list_is_refused_and_a_whole_one_is_not(tree: Tree, place: int) -> None:
    symbols = words(tree)
    assert len(symbol_ids(" ".join(symbols), "here")) == len(symbols)
    if cut := symbols[: place % len(symbols)]:
        with pytest.raises(ValueError, match="here: expected one list that is closed"):
            symbol_ids(" ".join(cut), "here")


def release(folder: Path) -> Path:
    """LRA's release: folders around the files, and other tasks beside them."""
    lists = folder / "lra_release" / "lra_release" / "listops-1000"
    lists.mkdir(parents=True)
    (lists.parent / "pathfinder32").mkdir()
    for split in ("train", "val", "test"):
        write_tsv(lists / f"basic_{split}.tsv", generate(Recipe(4, 20, (20,)), 0))
    (lists / "basic_dev.tsv").write_text("")
    return folder / "lra_release"


@pytest.mark.parametrize("kind", ["folder", "lra.tar.gz", "lra.gz", "lra.tar.xz", "lra.zip"])
def test_the_release_of_lra_is_read_as_folder_and_as_archive(tmp_path: Path, kind: str) -> None:
    data = release(tmp_path / "in")
    if kind.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / kind, "w") as archive:
            for path in sorted(data.rglob("*")):
                archive.write(path, path.relative_to(data.parent))
    elif kind != "folder":
        with tarfile.open(tmp_path / kind, "w:xz" if "xz" in kind else "w:gz") as archive:
            archive.add(data, data.name)
    task = ListOps(
        data=data if kind == "folder" else tmp_path / kind, cache_dir=tmp_path / "c", min_length=3
    )
    assert [len(task.split(name)) for name in ("train", "val", "test")] == [20, 20, 20]
    read, found = task.check()
    assert read is not None and set(read.splits) == {"train", "val", "test"}
    assert not found.damage
    assert [str(each) for each in found.left_out] == ["1, not of this layout: basic_dev.tsv"]


def test_two_folders_of_lists_are_not_guessed_between(tmp_path: Path) -> None:
    data = release(tmp_path)
    shutil.copytree(data / "lra_release" / "listops-1000", data / "lra_release" / "listops-2000")
    with pytest.raises(ValueError, match=r"expected one folder with basic_\*\.tsv, got .*-1000, "):
        ListOps(data=data).split("test")
