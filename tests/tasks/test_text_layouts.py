"""Text on disk: IMDB's folders, TSV files, and what is damaged in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nacgraph.tasks.data_report import DataError, DataReport
from nacgraph.tasks.splits import Data
from nacgraph.tasks.text import Text
from nacgraph.tasks.text.layouts import read_text


def imdb(root: Path, each: int = 12) -> Path:
    """aclImdb with ``each`` reviews a folder, and what else comes with it."""
    top = root / "aclImdb"
    for split in ("train", "test"):
        for label, stars in (("pos", 8), ("neg", 3)):
            folder = top / split / label
            folder.mkdir(parents=True)
            for k in range(each):
                (folder / f"{k}_{stars}.txt").write_text(f"{split} {label} {k}<br />")
    (top / "train" / "unsup").mkdir()
    (top / "train" / "unsup" / "0_0.txt").write_text("of no class")
    (top / "train" / "labeledBow.feat").write_text("9 0:9 1:1")
    (top / "imdb.vocab").write_text("the\nand\n")
    (top / "README").write_text("Large Movie Review Dataset v1.0")
    return top


def tsv(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows))
    return path


def read(path: Path, paper_protocol: bool = False) -> Data:
    return read_text(path, DataReport(), paper_protocol)


def collected(path: Path) -> list[str]:
    """All damage, each with the folder left out; the first of it is what training stops at."""
    found = DataReport(collect=True)
    read_text(path, found, False)
    if found.damage:
        with pytest.raises(DataError) as caught:
            read_text(path, DataReport(), False)
        assert str(caught.value) == found.damage[0]
    return [text.removeprefix(str(path)).lstrip("/,: ") for text in found.damage]


def test_imdb_is_read_with_validation_carved_from_train(tmp_path: Path) -> None:
    top = imdb(tmp_path)
    task = Text(data=top)
    assert task.classes == ("neg", "pos")
    assert [len(task.table(name)) for name in ("train", "val", "test")] == [22, 2, 24]
    for split, word in (("train", b"train"), ("val", b"train"), ("test", b"test")):
        table = task.table(split)
        for label, text in zip(table.labels, table.columns["text"], strict=True):
            assert text.startswith(word + (b" pos " if label else b" neg "))
    assert "carved from train" in task.describe()
    assert not any("unsup" in str(file) for file in task.check()[1].files)


def test_the_folder_above_will_do(tmp_path: Path) -> None:
    top = imdb(tmp_path)
    assert read(tmp_path).splits["train"].columns == read(top).splits["train"].columns


def test_the_papers_protocol_validates_on_the_test_set(tmp_path: Path) -> None:
    task = Text(data=imdb(tmp_path), paper_protocol=True)
    assert len(task.table("train")) == 24 and task.table("val") is task.table("test")
    assert "the validation set is the test set" in task.describe()


def test_the_order_is_that_of_the_ids(tmp_path: Path) -> None:
    texts = read(imdb(tmp_path)).splits["train"].columns["text"]
    assert [text.split()[2] for text in texts[:12]] == [b"%d<br" % k for k in range(12)]


def test_a_test_set_alone_can_be_evaluated_on(tmp_path: Path) -> None:
    top = imdb(tmp_path)
    (top / "train").rename(tmp_path / "away")
    task = Text(data=top)
    assert len(task.table("test")) == 24
    with pytest.raises(ValueError, match="holds no train split"):
        task.train_batch(0)


def test_all_damage_of_imdb_is_named(tmp_path: Path) -> None:
    top = imdb(tmp_path)
    (top / "train/pos/3_8.txt").write_text(" \n")
    (top / "train/pos/4_8.txt").rename(top / "train/pos/4_2.txt")
    (top / "train/pos/review.txt").write_text("hello")
    (top / "train/pos/.DS_Store").write_text("of a desktop")
    (top / "test/neg/1_3.txt").rename(top / "test/neg/1_5.txt")
    for file in (top / "test" / "pos").iterdir():
        file.unlink()
    assert sorted(collected(top)) == sorted(
        [
            "train/pos/review.txt: expected a review called <id>_<rating>.txt, got another name",
            "train/pos/3_8.txt: expected a review, got an empty file",
            "train/pos/4_2.txt: expected a rating of 7 to 10 in pos, got 2",
            "test/neg/1_5.txt: expected a rating of 1 to 4 in neg, got 5",
            "test/pos: expected reviews, got an empty folder",
        ]
    )
    (top / "test" / "pos").rmdir()
    assert "test/pos: expected a folder of reviews, got none" in collected(top)
    found = DataReport(collect=True)
    assert len(read_text(top, found, False).splits["train"]) == 22  # the others are still read


def test_a_file_becomes_three_splits(tmp_path: Path) -> None:
    rows = [(word, f"{word} {k}") for k in range(20) for word in ("bad", "good", "fair")]
    task = Text(data=tsv(tmp_path / "t.tsv", rows))
    assert task.classes == ("bad", "fair", "good")
    assert [len(task.table(name)) for name in ("train", "val", "test")] == [48, 6, 6]
    for name in ("train", "val", "test"):
        table = task.table(name)
        texts = table.columns["text"]
        assert [text.split()[0].decode() for text in texts] == [
            task.classes[k] for k in table.labels
        ]


def test_numbers_are_classes_in_their_order(tmp_path: Path) -> None:
    rows = [(str(k), "text") for k in (10, 9, 2, 10)]
    assert read(tsv(tmp_path / "t.tsv", rows)).classes == ("2", "9", "10")


def test_a_folder_of_files_has_their_splits(tmp_path: Path) -> None:
    for k, name in enumerate(("train", "val", "test")):
        tsv(tmp_path / f"{name}.tsv", [("a", name), ("b", name)] * (k + 1))
    data = read(tmp_path)
    assert {name: len(table) for name, table in data.splits.items()} == {
        "train": 2,
        "val": 4,
        "test": 6,
    }
    (tmp_path / "val.tsv").unlink()
    assert set(read(tmp_path).splits) == {"train", "test"}
    tsv(tmp_path / "test.tsv", [("a", "x"), ("c", "y"), ("d", "z")])
    assert collected(tmp_path) == ["test.tsv: expected labels of train.tsv (a, b), got c, d"]


def test_what_is_between_label_and_line_end_is_the_text(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes(
        b"\xef\xbb\xbflabel\ttext\r\n"
        b'0\t"He said ""no"", twice"\r\n'
        b'1\t"Great" is what he said\r\n'
        b"\r\n"
        b'0\t"never closed\n'
        b'"1"\t\xff\x00\xfe raw bytes \n'
        b"1\t last"
    )
    assert read(path).splits["train"].columns["text"] == [
        b'He said "no", twice',
        b'"Great" is what he said',
        b'"never closed',
        b"\xff\x00\xfe raw bytes ",
        b" last",
    ]
    assert read(path).classes == ("0", "1")


TEXT = st.binary(min_size=1, max_size=30).filter(
    lambda text: text.strip() and not set(text) & set(b'\t\n\r"')
)


@given(rows=st.lists(st.tuples(st.sampled_from(["0", "1", "né"]), TEXT), min_size=1, max_size=6))
def test_any_bytes_come_back(
    rows: list[tuple[str, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "t.tsv"
    path.write_bytes(b"label\ttext\n" + b"".join(a.encode() + b"\t" + b + b"\n" for a, b in rows))
    data = read(path)
    table = data.splits["train"]
    assert [
        (data.classes[k], t) for k, t in zip(table.labels, table.columns["text"], strict=True)
    ] == rows


def test_all_damage_of_a_file_is_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("label\ttext\n1\tfine\n\tno label\n0\t \nalone\n1\ta\tb\n0\tfine too\n")
    assert collected(path) == [
        "line 3: expected a label, got none",
        "line 4: expected a text, got none",
        "line 5: expected 2 columns, label and text, got 1",
        "line 6: expected 2 columns, label and text, got 3",
    ]
    found = DataReport(collect=True)
    assert read_text(path, found, False).splits["train"].columns["text"] == [b"fine", b"fine too"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\tclass\n", "line 1: expected the header label<TAB>text, got 'text\\tclass'"),
        (
            "label\ttext\ttext\n",
            "line 1: expected the header label<TAB>text, got 'label\\ttext\\ttext'",
        ),
        ("label,text\n1,a\n", "line 1: expected the header label<TAB>text, got 'label,text'"),
        ("<!DOCTYPE html>\n", "line 1: expected the header label<TAB>text, got '<!DOCTYPE html>'"),
        ("", "line 1: expected the header label<TAB>text, got ''"),
        ("label\ttext\n", "expected rows after the header, got none that can be used"),
    ],
)
def test_files_that_are_no_tsv_of_ours(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(content)
    assert collected(path) == [message]


def test_an_unknown_layout_lists_those_that_are_known(tmp_path: Path) -> None:
    (tmp_path / "pos").mkdir()
    (tmp_path / "notes.md").touch()
    with pytest.raises(ValueError, match="aclImdb.*label<TAB>text.*train.tsv.*notes.md, pos"):
        read(tmp_path)


def test_the_papers_protocol_is_of_imdb_alone(tmp_path: Path) -> None:
    path = tsv(tmp_path / "t.tsv", [("a", "x")])
    with pytest.raises(ValueError, match="paper_protocol: expected the folder aclImdb"):
        read(path, paper_protocol=True)


def test_no_such_data(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        Text(data=tmp_path / "absent")


@pytest.mark.parametrize(
    "header", ["label\ttext", "\ufeffLabel\tTEXT", '"label"\t"text"', " label \t text "]
)
def test_spellings_of_the_header_are_one_header(header: str, tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(f"{header}\na\tgood\nb\tbad\n", "utf-8")
    assert read(path).splits["train"].columns["text"] == [b"good", b"bad"]
    first, _, second = header.removeprefix("\ufeff").partition("\t")
    path.write_text(f"{second}\t{first}\ngood\ta\nbad\tb\n", "utf-8")
    assert read(path).splits["train"].columns["text"] == [b"good", b"bad"]


def test_labels_are_one_in_every_form_of_unicode_and_fields_may_be_long(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    long = "x" * 300_000
    path.write_text(f"label\ttext\ncaf\u00e9\t{long}\ncafe\u0301\tb\n", "utf-8")
    data = read(path)
    assert data.classes == ("caf\u00e9",)
    assert [len(text) for text in data.splits["train"].columns["text"]] == [300_000, 1]
