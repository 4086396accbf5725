"""The NLVR2 task in a model: words make the circuit, images go through it, samples stay apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nacgraph.models.nac import NAC, NACConfig
from nacgraph.tasks.base import Batch
from nacgraph.tasks.nlvr2 import NLVR2, ImagePairTokenizer, SentenceTokenizer
from nacgraph.tasks.nlvr2.sentences import COLOURS, NUMBERS, SHAPES
from nacgraph.tasks.nlvr2.tokenizers import MOST_WORDS
from nacgraph.tasks.nlvr2.words import encode, split_words, word_ids
from nacgraph.tasks.tokenizers import TOKENIZERS

SMALL = {"train_size": 80, "val_size": 40, "test_size": 40}
CONFIG = NACConfig(
    modules=6, readouts=2, width=16, code_dim=8, signature_dim=8, heads=2, head_dim=4,
    read_heads=2, read_head_dim=8, rounds=2, read_every=0, condition="task",
    graphs="per_sample",
)  # fmt: skip


def nlvr2(**more: object) -> NLVR2:
    return NLVR2(**{**SMALL, "batch_size": 8, **more})


def model_of(task: NLVR2, condition: str = "task") -> NAC:
    conditioner = task.conditioner(16) if condition == "task" else None
    config = replace(CONFIG, condition=condition)
    return NAC(config, task.tokenizer(16), 2, None, 0, conditioner)


def mixed(task: NLVR2) -> Batch:
    """Sentences of unlike length."""
    table = task.table("val")
    order = torch.tensor([len(said) for said in table.columns["words"]]).argsort()
    index = torch.cat([order[:3], order[-3:]]).numpy()
    return task.collate(table, index, None)


@pytest.mark.parametrize("condition", ["task", "none", "inputs"])
def test_a_sample_is_answered_and_designed_as_alone(condition: str) -> None:
    task = nlvr2(condition=condition)
    model, batch = model_of(task, condition).eval(), mixed(task)
    assert batch.condition_mask is not None and not batch.condition_mask.all()
    together = model(batch).logits
    for row in range(len(batch)):
        one = batch.rows(slice(row, row + 1))
        assert one.condition is not None and one.condition_mask is not None
        words = int(one.condition_mask.sum())
        one = replace(
            one, condition=one.condition[:, :words], condition_mask=one.condition_mask[:, :words]
        )
        torch.testing.assert_close(model(one).logits[0], together[row], rtol=0, atol=1e-5)
        if condition != "none":
            mine, all_ = (model.design(b, *model.tokenizer(b)) for b in (one, batch))
            for name, tensor in mine.descriptors().items():
                theirs = all_.descriptors()[name][row]
                torch.testing.assert_close(tensor[0], theirs, rtol=0, atol=1e-5)


def test_a_design_follows_from_its_own_sentence_alone() -> None:
    task = nlvr2()
    model, batch = model_of(task), mixed(task)
    words = model.conditioner.words.symbols
    seen: list[Tensor] = []

    def keep(_: object, __: object, out: Tensor) -> Tensor:
        seen.append(out.requires_grad_())
        out.retain_grad()
        return out

    words.register_forward_hook(keep)
    images = batch.inputs.requires_grad_()
    design = model.design(batch, *model.tokenizer(batch))
    assert design.conditional
    sum(t[1].square().sum() for t in design.descriptors().values()).backward()
    (grad,) = [out.grad for out in seen]
    assert grad is not None and grad[1].any() and not grad[[0, 2, 3, 4, 5]].any()
    assert images.grad is None  # the generator sees no image


def test_no_answer_sees_another_sample() -> None:
    task = nlvr2()
    model, batch = model_of(task).train(), mixed(task)
    batch = replace(batch, inputs=batch.inputs.requires_grad_())
    model(batch, torch.Generator().manual_seed(0)).logits[2].square().sum().backward()
    grad = batch.inputs.grad
    assert grad is not None and grad[2].any() and not grad[[0, 1, 3, 4, 5]].any()


def test_other_sentences_make_other_circuits() -> None:
    task = nlvr2()
    model, batch = model_of(task).eval(), mixed(task)
    design = model.design(batch, *model.tokenizer(batch))
    codes = design.processor_codes
    assert not torch.allclose(codes[0], codes[5])
    swapped = replace(batch, inputs=batch.inputs.flip(0))
    again = model.design(swapped, *model.tokenizer(swapped))
    assert torch.equal(again.processor_codes, codes)


@settings(max_examples=10)
@given(st.integers(0, 5), st.booleans())
def test_padding_of_sentences_changes_nothing(more: int, everything: bool) -> None:
    task = nlvr2(condition="none" if everything else "task", stem_layers=2)
    module = task.tokenizer(8) if everything else task.conditioner(8)
    batch = mixed(task)
    assert batch.condition is not None and batch.condition_mask is not None
    # Whatever stands at padding: other words.
    longer = replace(
        batch,
        condition=torch.nn.functional.pad(batch.condition, (0, 0, 0, more), value=7),
        condition_mask=torch.nn.functional.pad(batch.condition_mask, (0, more)),
    )
    tokens, mask = module(batch)
    padded, real = module(longer)
    torch.testing.assert_close(padded[real], tokens[mask], rtol=0, atol=1e-6)
    assert not padded[~real].any()
    assert real.sum() == mask.sum()


def test_tokens_know_which_image_and_where() -> None:
    task = nlvr2()
    tokenizer, batch = task.tokenizer(16), mixed(task)
    blank = replace(batch, inputs=torch.zeros_like(batch.inputs))
    tokens, mask = tokenizer(blank)
    assert tokens.shape == (len(batch), 18, 16) and mask.shape == (len(batch), 18) and mask.all()
    places = tokens[0].detach()
    assert torch.pdist(places).min() > 0.1
    # One patch is one token.
    marked = batch.inputs.clone()
    marked[0, 1, :, 8:16, 16:24] = 0.5 - marked[0, 1, :, 8:16, 16:24]
    changed = (tokenizer(replace(batch, inputs=marked))[0] != tokenizer(batch)[0]).any(-1)
    assert changed.nonzero().tolist() == [[0, 9 + 5]]


def test_tokenizers_can_be_built_again_from_their_settings() -> None:
    before = torch.random.get_rng_state()
    for module in (
        SentenceTokenizer(8, seed=3),
        SentenceTokenizer(8, features=5, stem_layers=2),
        ImagePairTokenizer(8, 16, 4, seed=3),
        ImagePairTokenizer(8, sentence=True),
        ImagePairTokenizer(8, 0, features=(4, 6), sentence=True, sentence_features=5),
    ):
        again = TOKENIZERS.get(type(module).__name__)(**module.settings)
        assert all(map(torch.equal, module.state_dict().values(), again.state_dict().values()))
        for name, parameter in module.named_parameters():
            assert parameter.ndim < 2 or ("position" in name) == (
                parameter.shape[-1] == 8 and not name.endswith("weight")
            )
    assert torch.equal(before, torch.random.get_rng_state())


def test_wrong_batches_are_refused() -> None:
    task = nlvr2()
    batch = mixed(task)
    with pytest.raises(ValueError, match=r"expected two images of shape \(3, 16, 16\), got \(2, 3"):
        ImagePairTokenizer(8, 16)(batch)
    with pytest.raises(ValueError, match="expected a batch with sentences, got one without"):
        task.conditioner(8)(replace(batch, condition=None))
    with pytest.raises(ValueError, match="an even divisor of the image's 24 pixels, got 5"):
        ImagePairTokenizer(8, 24, 5)


def test_words_are_told_apart() -> None:
    assert split_words("One dog isn't BLACK; 2 are.") == [
        "one",
        "dog",
        "isn't",
        "black",
        ";",
        "2",
        "are",
        ".",
    ]
    ours = {w for text in nlvr2().table("train").columns["sentence"] for w in text.split()}
    ours |= {*COLOURS, *SHAPES, *NUMBERS, *(s + "s" for s in SHAPES), "crosses"}
    assert len({word_ids(word, 1024) for word in ours}) == len(ours)
    many = [f"word{chr(97 + k % 26)}{chr(97 + k // 26 % 26)}{k // 676}" for k in range(7000)]
    assert len({word_ids(word, 1024) for word in many}) > 6950
    assert all(1 <= k <= 1024 for word in many for k in word_ids(word, 1024))
    one, two, again = encode(["a dog", "dog a", "a dog"], 64)
    assert one is again and (one == two[::-1]).all() and one.shape == (2, 2)


def test_long_sentences_keep_all_their_words() -> None:
    module = SentenceTokenizer(8, stem_layers=0)
    count = MOST_WORDS + 9
    ids = torch.arange(1, 2 * count + 1).view(1, count, 2)
    blank = torch.zeros(1, dtype=torch.long)
    batch = Batch(blank, blank, blank, blank, ids, torch.ones(1, count, dtype=torch.bool))
    tokens, mask = module(batch)
    assert mask.all() and torch.pdist(tokens[0].detach()).min() > 0


def test_batches_hold_what_the_rows_say() -> None:
    task = nlvr2()
    table = task.table("test")
    seen = []
    for batch in task.eval_batches("test"):
        assert batch.condition is not None and batch.condition_mask is not None
        for row, k in enumerate(batch.index.tolist()):
            seen.append(k)
            assert batch.labels[row] == table.labels[k]
            words = int(batch.condition_mask[row].sum())
            assert words == len(table.tags["sentence"][k].split())
            assert (batch.condition[row, :words].numpy() == table.columns["words"][k]).all()
            for side, name in enumerate(("left", "right")):
                wanted = torch.from_numpy(table.columns[name][k]) / 255
                torch.testing.assert_close(batch.inputs[row, side], wanted)
    assert sorted(seen) == list(range(len(table)))
    one, two = task.train_batch(3), nlvr2().train_batch(3)
    assert torch.equal(one.inputs, two.inputs) and torch.equal(one.index, two.index)
    assert not torch.equal(one.index, nlvr2(seed=1).train_batch(3).index)


def test_made_up_samples_fit_the_model() -> None:
    for condition in ("task", "none"):
        task = nlvr2(condition=condition)
        batch = task.dummy_batch(3, 99, torch.Generator().manual_seed(0))
        assert model_of(task, condition).eval()(batch).logits.shape == (3, 2)
        assert batch.inputs.shape == (3, 2, 3, 24, 24) and task.token_kinds(batch) is None
    assert 0 < task.data_bytes() < 2**20


def test_a_run_on_scenes_can_be_tried_on_files_only_at_its_size() -> None:
    task = nlvr2()
    assert task.data_signature() == {"image_size": 24, "features": None, "word_features": 0}
    task.match_sizes({})
    task.match_sizes(task.data_signature())
    with pytest.raises(ValueError, match=r"expected features \[5, 6\] as in the run, got images"):
        task.match_sizes({**task.data_signature(), "features": [5, 6]})
