"""Episodes, fine-tuning and counting: what few-shot numbers rest on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fewshot_tasks import CLASSES, Clusters, small
from hypothesis import given, settings
from hypothesis import strategies as st

from nacgraph.fewshot import (
    Recipe,
    adapt,
    answered,
    draw_episode,
    learning,
    make_pool,
    parts_of,
)
from nacgraph.tasks import Batch

KNOWN = CLASSES[:3]
GENERATOR = "generator."


def pool() -> Any:
    return make_pool(Clusters(), KNOWN, 3, 20)


def test_a_pool_holds_every_sample_of_new_classes_and_no_other() -> None:
    found = pool()
    assert found.classes == CLASSES[3:] and found.short == ()
    assert np.bincount(found.table.labels).tolist() == [30] * 5  # all splits together
    whole = Clusters().load()
    for name in CLASSES[3:]:
        mine = found.table.labels == found.classes.index(name)
        rows = {found.table.columns["tokens"][k].tobytes() for k in np.flatnonzero(mine)}
        wanted = {
            table.columns["tokens"][k].tobytes()
            for table in whole.splits.values()
            for k in np.flatnonzero(table.labels == whole.classes.index(name))
        }
        assert rows == wanted and len(rows) == 30


def test_classes_too_few_or_too_small_are_counted_in_the_error() -> None:
    counts = r"got 5: of 8 classes of this data, 3 are of pre-training .* and 0 have too few"
    with pytest.raises(ValueError, match=f"ways: expected at least 6 .* 20 samples each, {counts}"):
        make_pool(Clusters(), KNOWN, 6, 20)
    with pytest.raises(ValueError, match="got 0: .* and 5 have too few samples"):
        make_pool(Clusters(), KNOWN, 2, 31)
    task = Clusters()
    data = task.load()
    few = {  # two samples of "dog" are left
        name: table.take(np.flatnonzero(table.labels != 3)[: len(table)])
        for name, table in data.splits.items()
    }
    few["val"] = data.splits["val"]
    task._data = replace(data, splits=few)
    found = make_pool(task, KNOWN, 4, 20)
    assert found.short == ("dog",) and "dog" not in found.classes
    assert np.bincount(found.table.labels).tolist() == [30] * 4


@settings(max_examples=20)
@given(
    st.integers(2, 5), st.integers(1, 5), st.integers(1, 8), st.integers(0, 99), st.integers(0, 9)
)
def test_an_episode_follows_from_seed_and_number_alone(
    ways: int, shots: int, queries: int, seed: int, number: int
) -> None:
    source = pool()
    one = draw_episode(source, ways, shots, queries, seed, number)
    torch.rand(3)
    again = draw_episode(pool(), ways, shots, queries, seed, number)
    assert one.classes == again.classes and one.digest == again.digest
    torch.testing.assert_close(one.support.inputs, again.support.inputs, rtol=0, atol=0)
    assert one.support.labels.bincount().tolist() == [shots] * ways
    assert one.queries.labels.bincount().tolist() == [queries] * ways
    assert len(set(one.classes)) == ways and not set(one.classes) & set(KNOWN)

    seen = samples(one.support)
    asked = samples(one.queries)
    assert len({s for s, _ in seen + asked}) == ways * (shots + queries)  # none twice
    centre = {name: k for k, name in enumerate(CLASSES)}
    table = source.table
    truth = {
        t.tobytes(): int(k) for t, k in zip(table.columns["tokens"], table.labels, strict=True)
    }
    for content, label in seen + asked:
        assert source.classes[truth[content]] == one.classes[label]
        assert one.classes[label] in centre

    # More shots add samples to the same ones; queries stay.
    more = draw_episode(source, ways, shots + 2, queries, seed, number)
    assert more.classes == one.classes and set(seen) < set(samples(more.support))
    assert samples(more.queries) == asked and more.digest != one.digest
    assert draw_episode(source, ways, shots, queries, seed, number + 1).digest != one.digest
    assert draw_episode(source, ways, shots, queries, seed + 1, number).digest != one.digest


def samples(batch: Batch) -> list[tuple[bytes, int]]:
    return [
        (row[real].numpy().tobytes(), int(label))
        for row, real, label in zip(batch.inputs, batch.mask, batch.labels, strict=True)
    ]


def test_the_digest_sees_a_changed_number() -> None:
    one = draw_episode(pool(), 3, 2, 4, 0, 0)
    other = draw_episode(make_pool(Clusters(scale=1.001), KNOWN, 3, 20), 3, 2, 4, 0, 0)
    assert one.classes == other.classes and one.digest != other.digest


def test_wrong_counts_are_named() -> None:
    for name in ("ways", "shots", "queries"):
        sizes = {"ways": 3, "shots": 1, "queries": 2, name: 0}
        with pytest.raises(ValueError, match=f"{name}: expected at least 1, got 0"):
            draw_episode(pool(), **sizes, seed=0, number=0)
    with pytest.raises(ValueError, match="ways: expected at most the 5 classes, got 6"):
        draw_episode(pool(), 6, 1, 1, 0, 0)
    with pytest.raises(ValueError, match=r"expected 20 \+ 11 samples, got 30"):
        draw_episode(pool(), 2, 11, 20, 0, 0)


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        ("head", set()),
        ("codes", {"generator.processor_codes", "generator.readout_codes"}),
        ("signatures,head", {"generator.processor_signatures", "generator.readout_signatures"}),
    ],
)
def test_only_what_is_asked_for_learns(parts: str, names: set[str]) -> None:
    model = small()
    before = {name: p.clone() for name, p in model.state_dict().items()}
    recipe = Recipe(parts_of(parts), steps=4, rate=0.01)
    assert set(learning(model, recipe.parts)) == names
    tuned = adapt(model, draw_episode(pool(), 3, 4, 2, 0, 0).support, 3, recipe)
    head = {"circuit.read_out.head.weight", "circuit.read_out.head.bias"}
    changed = {
        name
        for name, p in tuned.state_dict().items()
        if p.shape != before[name].shape or not torch.equal(p, before[name])
    }
    assert changed == names | head
    assert tuned.circuit.read_out.head.weight.shape == (3, 16)
    for name, p in model.state_dict().items():  # the model itself stays
        assert torch.equal(p, before[name])
    assert all(p.requires_grad for p in model.parameters())


def test_all_learns_everything_that_pretraining_could() -> None:
    model = small()
    recipe = Recipe(("all",), steps=3, rate=0.01)
    tuned = adapt(model, draw_episode(pool(), 3, 4, 2, 0, 0).support, 3, recipe)
    before = model.state_dict()
    for name, p in tuned.named_parameters():
        if "read_out.head" not in name:
            assert not torch.equal(p, before[name]), name


def test_what_pretraining_fixed_stays_fixed() -> None:
    perceiver = small(model="perceiver_io")
    assert set(learning(perceiver, ("signatures",))) == set()
    assert not any("alpha" in n or "signatures" in n for n in learning(perceiver, ("all",)))
    assert set(learning(perceiver, ("codes",))) == set(learning(small(), ("codes",)))
    assert learning(small(eval_kernel="threshold"), ("signatures",)) == {}


def test_a_conditional_circuit_has_no_codes_to_adapt() -> None:
    model = small(condition="inputs")
    with pytest.raises(ValueError, match="adapt: expected head or all for a conditional circuit"):
        learning(model, ("codes",))
    support = draw_episode(pool(), 3, 4, 2, 0, 0).support
    for parts in ("head", "all"):
        tuned = adapt(model, support, 3, Recipe((parts,), steps=2))
        assert answered(tuned, support).shape == (12, 3)


def test_a_head_alone_learns_what_it_would_inside_the_model() -> None:
    model, episode = small(), draw_episode(pool(), 3, 4, 5, 0, 0)
    recipe = Recipe(("head",), steps=5, rate=0.02, batch_size=5)
    quick = adapt(model, episode.support, 3, recipe)
    # The slow way: everything is run again at every step, with one more parameter that has no
    # effect, so that nothing is taken as known.
    for p in model.parameters():
        p.requires_grad_(False)
    model.circuit.read_out.confidence.bias.requires_grad_(True)
    slow = adapt(model, episode.support, 3, replace(recipe, parts=("all",)))
    torch.testing.assert_close(
        answered(quick, episode.queries), answered(slow, episode.queries), rtol=0, atol=1e-5
    )


def test_tuning_repeats_itself_and_nothing_else_decides_it() -> None:
    model, episode = small(), draw_episode(pool(), 3, 8, 5, 0, 0)
    recipe = Recipe(steps=4, batch_size=7)
    one = answered(adapt(model, episode.support, 3, recipe), episode.queries)
    torch.manual_seed(99)
    two = answered(adapt(model.train(), episode.support, 3, recipe), episode.queries)
    assert torch.equal(one, two)
    other = answered(adapt(model, episode.support, 3, recipe, episode=1), episode.queries)
    assert not torch.equal(one, other)


def test_queries_are_answered_one_by_one() -> None:
    model, episode = small(), draw_episode(pool(), 5, 1, 15, 0, 0)
    logits = answered(model, episode.queries)
    assert len(logits) == 75  # more than one part
    alone = answered(model, episode.queries.rows(slice(70, 71)))
    torch.testing.assert_close(logits[70:71], alone, rtol=0, atol=1e-5)


def test_without_a_step_all_classes_are_as_likely() -> None:
    episode = draw_episode(pool(), 3, 2, 4, 0, 0)
    tuned = adapt(small(), episode.support, 3, Recipe(steps=0))
    assert not answered(tuned, episode.queries).any()


@pytest.mark.parametrize("parts", ["head", "codes", "all"])
def test_separate_classes_are_learned(parts: str) -> None:
    source = make_pool(Clusters(spread=0.05), KNOWN, 3, 20)
    episode = draw_episode(source, 3, 8, 10, 0, 0)
    recipe = Recipe(parts_of(parts), steps=40, rate=0.03)
    logits = answered(adapt(small(), episode.support, 3, recipe), episode.queries)
    assert (logits.argmax(-1) == episode.queries.labels).float().mean() > 0.6


def test_bf16_stays_near() -> None:
    episode = draw_episode(pool(), 3, 4, 4, 0, 0)
    plain = answered(small(), episode.queries)
    half = answered(small(), episode.queries, "bf16-mixed")
    assert half.dtype == torch.float32 and not torch.equal(plain, half)
    torch.testing.assert_close(plain, half, rtol=0, atol=0.1)
    adapt(small(), episode.support, 3, Recipe(steps=1, precision="bf16-mixed"))


def test_parts_are_read_in_one_order() -> None:
    assert parts_of("signatures, codes") == parts_of("codes,signatures") == ("codes", "signatures")
    for text in ("code", "", "all,"):
        with pytest.raises(
            ValueError, match="adapt: expected some of codes, signatures, head, all"
        ):
            parts_of(text)
