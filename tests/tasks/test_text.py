"""The text task: bytes to ids, its embedded sentences, batches, hidden words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nacgraph.tasks import Batch
from nacgraph.tasks.base import TASKS
from nacgraph.tasks.splits import Table
from nacgraph.tasks.text import Text
from nacgraph.tasks.text.generated import sentences
from nacgraph.tasks.tokenizers import TOKENIZERS
from nacgraph.testing import assert_task

TEXTS = [b"a", b"not bad\x00\xff", b"x" * 30]


def table(texts: list[bytes]) -> Table:
    return Table(np.arange(len(texts)) % 2, {"text": texts})


def batch(texts: list[bytes], **settings: object) -> Batch:
    task = Text(**settings)  # type: ignore[arg-type]
    return task.collate(table(texts), np.arange(len(texts)), None)


def decoded(made: Batch, row: int) -> bytes:
    return bytes((made.inputs[row][made.mask[row]] - 1).tolist())


def test_it_keeps_what_a_task_promises() -> None:
    assert TASKS.get("text") is Text
    assert_task(Text(sentences=200, batch_size=6, bytes=80, drop=0.2))


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5))
def test_ids_are_bytes_and_one(texts: list[bytes]) -> None:
    made = batch(texts)
    assert made.inputs.shape == made.mask.shape == (len(texts), max(map(len, texts)))
    assert [decoded(made, row) for row in range(len(texts))] == texts
    assert not made.inputs[~made.mask].any()
    assert made.inputs[made.mask].min() >= 1 and made.inputs.max() <= 256


def test_long_texts_are_cut_and_that_is_said(tmp_path: Path) -> None:
    made = batch(TEXTS, bytes=9)
    assert [decoded(made, row) for row in range(3)] == [TEXTS[0], TEXTS[1], b"x" * 9]
    file = tmp_path / "t.tsv"
    file.write_bytes(
        b"label\ttext\n" + b"".join(b"%d\t%s\n" % (k % 2, b"y" * k) for k in range(1, 31))
    )
    task = Text(data=file, bytes=20)
    assert "10 of 30 texts cut to 20 bytes" in task.describe()
    assert max(task.lengths(task.table(s)).max() for s in ("train", "val", "test")) == 20
    assert "no text longer than 30 bytes" in Text(data=file, bytes=30).describe()


def test_every_id_has_a_name_and_at_most_one_group() -> None:
    names = Text.token_names
    assert names is not None and len(names) == len(set(names)) == 257 == Text.vocabulary
    assert (names[0], names[ord("a") + 1], names[33], names[11]) == (
        "padding",
        "a",
        "space",
        "newline",
    )
    assert names[1] == "byte 0x00" and names[256] == "byte 0xff"
    members = [name for group in Text.token_groups.values() for name in group]
    assert len(members) == len(set(members)) == 256 and set(members) == set(names[1:])


def test_generated_sentences_are_balanced_unlike_and_repeatable() -> None:
    made = sentences(500, 3)
    assert made == sentences(500, 3) != sentences(500, 4)
    assert len({text for _, text in made}) == 500
    assert sum(label == "positive" for label, _ in made) == 250
    task = Text(sentences=500)
    assert "generated" in task.describe() and "no real" in task.describe()
    assert task.classes == ("negative", "positive")
    sizes = {name: len(task.table(name)) for name in ("train", "val", "test")}
    assert sum(sizes.values()) == 500 and min(sizes.values()) >= 40
    splits = [set(task.table(name).columns["text"]) for name in sizes]
    assert not splits[0] & splits[1] and not splits[0] & splits[2] and not splits[1] & splits[2]


def judged(text: str) -> str:
    """The class of a generated sentence, by reading it."""
    main = text.partition(", although ")[0].rpartition(", but ")[2]
    good = any(f" {word}" in main for word in GOOD)
    negated = any(f" {word} " in main for word in ("not", "never", "hardly"))
    return "positive" if good != negated else "negative"


GOOD = "good clever moving fresh funny superb honest lovely sharp gripping".split()


def test_generated_sentences_mean_what_their_labels_say() -> None:
    for label, text in sentences(2000, 0):
        plain = text.decode().replace("honestly, ", "")
        assert judged(plain) == label, plain


def best_linear_guess(features: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy of least squares on the second half, fitted on the first."""
    features = np.hstack([features, np.ones((len(features), 1))])
    half = len(labels) // 2
    weights = np.linalg.lstsq(features[:half], 2.0 * labels[:half] - 1, rcond=None)[0]
    return float(((features[half:] @ weights > 0) == labels[half:]).mean())


def test_a_bag_of_bytes_or_words_says_little() -> None:
    made = sentences(4000, 0)
    labels = np.array([label == "positive" for label, _ in made])
    counts = np.stack([np.bincount(np.frombuffer(t, np.uint8), minlength=128) for _, t in made])
    assert best_linear_guess(counts, labels) < 0.6
    words = sorted({word for _, text in made for word in text.split()})
    place = {word: k for k, word in enumerate(words)}
    bags = np.zeros((len(made), len(words)))
    for row, (_, text) in enumerate(made):
        np.add.at(bags[row], [place[word] for word in text.split()], 1)
    assert best_linear_guess(bags, labels) < 0.7


def test_training_batches_follow_from_seed_and_step() -> None:
    settings = {"sentences": 300, "batch_size": 8, "drop": 0.3}
    task, again, other = Text(**settings), Text(**settings), Text(**settings, seed=1)  # type: ignore[arg-type]
    for step in (0, 40):
        one, two = task.train_batch(step), again.train_batch(step)
        assert torch.equal(one.inputs, two.inputs) and torch.equal(one.index, two.index)
        assert not torch.equal(one.index, other.train_batch(step).index)
        halves = [task.train_batch(step, rank, 2) for rank in (0, 1)]
        assert torch.equal(torch.cat([h.index for h in halves]).sort()[0], one.index.sort()[0])


def test_batches_are_of_like_length() -> None:
    task = Text(sentences=2000, batch_size=8)
    spread = [b.mask.sum(1).max() - b.mask.sum(1).min() for b in map(task.train_batch, range(50))]
    whole = task.lengths(task.table("train"))
    assert np.mean(spread) < 0.25 * (whole.max() - whole.min())


def test_each_sample_is_evaluated_once_and_as_it_is() -> None:
    task = Text(sentences=300, batch_size=7, drop=0.9)
    texts = task.table("test").columns["text"]
    seen = {}
    for made in task.eval_batches("test"):
        for row, index in enumerate(made.index.tolist()):
            assert index not in seen
            seen[index] = decoded(made, row)
    assert [seen[k] for k in range(len(texts))] == texts


def test_drop_hides_whole_words_and_only_them() -> None:
    texts = [b"one two  three " * 40, b"word", b"a b"]
    task = Text(drop=0.25)
    made = task.collate(table(texts), np.arange(3), np.random.default_rng(0))
    plain = task.collate(table(texts), np.arange(3), None)
    assert torch.equal(made.mask, plain.mask)
    shown = decoded_words(made, 0)
    assert set(shown) == {"one", "two", "three", "___", "_____", ""}
    hidden = sum("_" in word for word in shown) / sum(word != "" for word in shown)
    assert 0.15 < hidden < 0.35
    kept = made.inputs > 0
    assert torch.equal(made.inputs[kept], plain.inputs[kept])
    space = plain.inputs == ord(" ") + 1
    assert kept[space].all()


def decoded_words(made: Batch, row: int) -> list[str]:
    ids = made.inputs[row][made.mask[row]].tolist()
    return "".join("_" if k == 0 else chr(k - 1) for k in ids).split(" ")


def test_padding_and_company_change_no_token() -> None:
    task = Text(bytes=64, stem_layers=2)
    tokenizer = task.tokenizer(12, seed=1)
    alone, mask = tokenizer(batch([TEXTS[1]]))
    together, _ = tokenizer(batch(TEXTS))
    assert mask.all() and torch.allclose(alone[0], together[1, : alone.shape[1]], atol=1e-5)
    assert not together[1, alone.shape[1] :].any()
    again, _ = task.tokenizer(12, seed=1)(batch(TEXTS))
    assert torch.equal(together, again)


def test_the_tokenizer_can_be_built_again_from_its_settings() -> None:
    made = Text(bytes=300, stem_layers=1, window=5).tokenizer(12, seed=1)
    assert json.loads(json.dumps(made.settings)) == made.settings
    again = TOKENIZERS.get("SequenceTokenizer")(**made.settings)
    for name, weight in made.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    assert made.positions.std().item() == pytest.approx(0.1, rel=0.1)
    assert made.symbols.weight.std().item() == pytest.approx(1.0, rel=0.1)


def test_made_up_samples_are_as_long_as_asked() -> None:
    made = Text(bytes=64).dummy_batch(3, 64, torch.Generator().manual_seed(0))
    assert made.inputs.shape == (3, 64) and 1 <= made.inputs.min() and made.inputs.max() < 257


def test_the_size_of_the_data_counts_each_text_once() -> None:
    task = Text(sentences=300)
    length = sum(int(task.lengths(task.table(s)).sum()) for s in ("train", "val", "test"))
    assert length < task.data_bytes() < length + 100 * 300


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bytes": 0}, "bytes: expected at least 1, got 0"),
        ({"drop": 1.0}, "drop: expected a chance from 0 to below 1, got 1.0"),
        ({"drop": -0.1}, "drop: expected a chance"),
        ({"window": 4}, "window: expected an odd number, got 4"),
        ({"sentences": 3}, "sentences: expected at least 20, got 3"),
        ({"stem_layers": -1}, "stem_layers: expected at least 0, got -1"),
        ({"paper_protocol": True}, "paper_protocol: expected --data with the folder aclImdb"),
        ({"seed": -1}, "seed: expected at least 0"),
    ],
)
def test_wrong_parameters_are_told(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Text(**settings)  # type: ignore[arg-type]
