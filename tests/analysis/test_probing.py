"""Probing: weights are those that the circuit uses, lesions really remove, nothing else matters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nacgraph.analysis.probing import Probe, affordable, contributions, lesions, probe
from nacgraph.analysis.probing.reading import read_weights, readings
from nacgraph.analysis.probing.removal import Lesions, paired
from nacgraph.analysis.probing.roles import role, top_kinds
from nacgraph.analysis.probing.sensitivity import Sensitivities, contribution, sensitivities
from nacgraph.analysis.probing.similarity import correlations, cosines
from nacgraph.graph.design import CircuitDesign
from nacgraph.graph.forms import SampledGraph
from nacgraph.models.ladder import model_fields
from nacgraph.models.nac import NAC, NACConfig
from nacgraph.nn.blocks import ReadIn
from nacgraph.tasks import Batch, Task
from nacgraph.tasks.listops.task import ListOps
from nacgraph.tasks.listops.trees import VOCABULARY
from nacgraph.tasks.tokenizers import SequenceTokenizer

SMALL = NACConfig(
    modules=6, readouts=3, width=8, code_dim=5, signature_dim=4, heads=2, head_dim=3,
    read_heads=2, read_head_dim=4, rounds=3, unique_layers=2, read_every=1, bandwidth=1.0,
)  # fmt: skip
KINDS = 7


class Toy(Task):
    """Random sequences of six kinds; ``pad`` adds padding, ``size`` cuts batches."""

    num_classes = 4
    token_names = ("padding", "a", "b", "c", "(", ")", "never")
    token_groups = {"letters": ("a", "b", "c"), "brackets": ("(", ")")}  # noqa: RUF012

    def __init__(self, size: int = 4, pad: int = 0, lengths: tuple[int, ...] = (5, 1, 9, 3, 7, 4)):
        self.size, self.pad, self.lengths = size, pad, lengths

    def sequences(self) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        return [rng.integers(1, 6, size=n) for n in self.lengths]

    def eval_batches(
        self, split: str, rank: int = 0, world: int = 1, limit: int | None = None
    ) -> Iterator[Batch]:
        rows = self.sequences()[:limit]
        for start in range(0, len(rows), self.size):
            part = rows[start : start + self.size]
            width = max(map(len, part)) + self.pad
            inputs = np.zeros((len(part), width), np.int64)
            for row, tokens in enumerate(part):
                inputs[row, : len(tokens)] = tokens
            index = torch.arange(start, start + len(part))
            ids = torch.from_numpy(inputs)
            yield Batch(ids, ids > 0, index % self.num_classes, index)

    def tokenizer(self, dim: int, seed: int = 0) -> nn.Module:
        return SequenceTokenizer(KINDS, dim, 40, seed=seed)

    def train_batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        raise NotImplementedError

    def baselines(self, split: str) -> dict[str, float]:
        return {"majority_accuracy": 0.25}

    def describe(self) -> str:
        return "toy"


def make(**changes: Any) -> NAC:
    model = NAC(replace(SMALL, **changes), Toy().tokenizer(8), 4).double().eval()
    with torch.no_grad():  # far from the start, where modules hardly differ
        for layer in model.modules():
            if isinstance(layer, ReadIn):
                layer.key.alpha.fill_(0.7)
                layer.key.weight.mul_(2)
    return model


def measured(model: NAC, task: Task | None = None, **changes: Any) -> Probe:
    return probe(model, task or Toy(), **{"samples": 6, "lesion_samples": 4, **changes})


def assert_equal(a: Probe, b: Probe, order: list[int] | None = None) -> None:
    """Every number alike, those of modules in another order if one is given."""
    order = list(range(len(a.entropy))) if order is None else order
    by_module = {
        "token_attention",
        "entropy",
        "relative_entropy",
        "position",
        "voice",
        "accuracy_lost",
        "accuracy_lost_se",
        "loss_gained",
        "loss_gained_se",
        "contribution",
        "contribution_se",
    }
    for name in (field.name for field in fields(Probe)):
        x, y = getattr(a, name), getattr(b, name)
        if name == "role":
            x = tuple(x[k] for k in order)
        elif name in by_module:
            x = x[order]
        elif name.startswith("reading_"):
            x = x[:, order]
        elif name in ("link", "code_similarity"):
            x = x[order][:, order]
        elif name == "similarity_link":  # its p-value draws relabellings
            x, y = ([each["value"] for each in pair.values()] for pair in (x, y))
        if isinstance(x, (np.ndarray, list, float)):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12, err_msg=name)
        else:
            assert x == y, name


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    shared=st.booleans(), masked=st.booleans(),
)  # fmt: skip
def test_weights_are_those_of_the_read_in(lengths: list[int], shared: bool, masked: bool) -> None:
    read_in = make().circuit.read_ins[0]
    states = torch.randn(6, 8).double() if shared else torch.randn(len(lengths), 6, 8).double()
    codes, tokens = torch.randn(6, 5).double(), torch.randn(len(lengths), max(lengths), 8).double()
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None] if masked else None
    with torch.no_grad(), readings(read_in) as calls:
        wanted = read_in(states, codes, tokens, mask)
        (call,) = calls
        weights = read_weights(call)
        sums = weights.sum(-1)
        torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-12)
        if mask is not None:
            assert weights.masked_select(~mask[:, None, None, :]).eq(0).all()
        # Through the value projection, the exit and the ModFFN they give the read-in's output.
        gates, ffn = read_in.modulations(codes)
        read = (weights @ tokens.unsqueeze(1)) * gates[2]
        value = read_in.value.weight.view(2, 4, 8)
        read = torch.einsum("bhud,hcd->buhc", read, value).flatten(2)
        out = states + read_in.out_proj.project(read * gates[3])
        out = read_in.ffn(out, codes, ffn)
        torch.testing.assert_close(out, wanted, rtol=0, atol=1e-10)
        torch.testing.assert_close(read_weights(call, 2, 5), weights[:, :, 2:5])


def test_a_sample_without_tokens_is_read_by_nobody() -> None:
    read_in = make().circuit.read_ins[0]
    mask = torch.tensor([[True, True, False], [False, False, False]])
    with torch.no_grad(), readings(read_in) as calls:
        read_in(
            torch.randn(6, 8).double(),
            torch.randn(6, 5).double(),
            torch.randn(2, 3, 8).double(),
            mask=mask,
        )
        weights = read_weights(calls[0])
    assert weights[1].eq(0).all() and weights[0].sum() == pytest.approx(12)


def test_without_keys_attention_is_chance() -> None:
    model = make()
    with torch.no_grad():
        for read_in in model.circuit.read_ins:
            read_in.key.weight.zero_()
    task = Toy()
    found = measured(model, task)
    rows = task.sequences()
    share = np.mean([[(row == kind).mean() for kind in range(1, 6)] for row in rows], axis=0)
    assert found.token_names == ("a", "b", "c", "(", ")")  # those that occur
    np.testing.assert_allclose(found.token_share, share)
    np.testing.assert_allclose(found.lift, np.ones((6, 5)))
    np.testing.assert_allclose(found.entropy, np.mean([np.log(len(row)) for row in rows]))
    np.testing.assert_allclose(found.relative_entropy, 1)
    np.testing.assert_allclose(found.position, 0.5)
    assert set(found.role) == {"mixed"}


def test_a_probe_tells_what_a_module_reads() -> None:
    model = make(modules=2, readouts=1, read_heads=1, read_head_dim=2, read_every=0)
    read_in = model.circuit.read_ins[0]
    with torch.no_grad():
        # Opening brackets are one direction of the tokens, which keys measure and queries want.
        model.tokenizer.symbols.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
        model.tokenizer.positions.zero_()
        model.tokenizer.symbols.weight[4] += torch.tensor([8.0, -8] + [0] * 6).double()
        for layer in (read_in.query, read_in.key):
            layer.alpha.zero_()
            layer.weight.zero_()
        read_in.key.weight[0, 0] = 3
        read_in.state_norm.weight.zero_()
        read_in.state_norm.bias.fill_(1)
        read_in.query.weight[0, 0] = 3
    found = measured(model, Toy(lengths=(30, 35, 25)), lesion_samples=0, samples=3)
    assert found.token_attention[:, 3].min() > 0.95
    assert found.role == ("brackets", "brackets")
    assert all(found.top_tokens(u)[0][0] == "(" for u in (0, 1))
    assert (found.relative_entropy < 0.7).all()


def test_roles_and_top_kinds_follow_their_rules() -> None:
    share = np.array([0.4, 0.35, 0.1, 0.15])
    groups = {"digits": [0, 1], "operators": [2], "closing brackets": [3]}

    def of(*mass: float) -> str:
        return role(np.array(mass), share, groups)

    assert of(*share) == "mixed"
    assert of(0.5, 0.45, 0.02, 0.03) == "digits"  # odds ratio 6.3, lift only 1.27
    assert of(0.3, 0.2, 0.45, 0.05) == "operators"
    assert of(0.0, 0.0, 0.0, 1.0) == "closing brackets"
    assert of(0.3, 0.2, 0.2, 0.3) == "mixed"  # two groups, neither ahead
    assert role(np.array([1.0]), np.array([1.0]), {"all": [0], "none": []}) == "mixed"
    assert top_kinds(np.array([0.4, 0.1, 0.3, 0.2]), share) == [2, 3]
    assert top_kinds(share, share) == []


CASES: dict[str, dict[str, Any]] = {
    "reads every round": {},
    "reads once": {"read_every": 0},
    "reads every second round": {"read_every": 2, "rounds": 5, "unique_layers": 0},
    "threshold": {"eval_mode": "threshold"},
    "no link cut": {"min_weight": 0.0},
    "samples own graphs": {"graphs": "per_sample", "eval_mode": "hard"},
    "perceiver_io": model_fields("perceiver_io"),
}


@pytest.mark.parametrize("name", CASES)
def test_lesions_equal_running_the_rest_of_the_design(name: str) -> None:
    model, task = make(**CASES[name]), Toy()
    mode = "threshold" if name == "threshold" else "expected"
    batches = list(task.eval_batches("val"))
    found = lesions(model, task, batches, mode)

    def run(kept: list[int]) -> tuple[Tensor, Tensor]:
        loss, right = [], []
        for batch in batches:
            tokens, mask = model.tokenizer(batch)
            design = model.generator().select(torch.tensor(kept))
            logits = model.circuit(tokens, design, mask, mode=mode).logits
            loss.append(nn.functional.cross_entropy(logits, batch.labels, reduction="none"))
            right.append(logits.argmax(-1) == batch.labels)
        return torch.cat(loss), torch.cat(right)

    with torch.no_grad():
        for module in range(6):
            loss, right = run([k for k in range(6) if k != module])
            np.testing.assert_allclose(found.without_loss[module], loss, rtol=0, atol=1e-12)
            assert found.without_correct[module].tolist() == right.tolist()
        loss, right = run(list(range(6)))
    np.testing.assert_allclose(found.loss, loss, rtol=0, atol=1e-12)
    assert found.correct.tolist() == right.tolist()
    assert found.index.tolist() == list(range(6))
    assert np.abs(found.without_loss - found.loss).max() > 1e-4


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_the_gates(name: str) -> None:
    model, task = make(**CASES[name]), Toy()
    mode = "threshold" if name == "threshold" else "expected"
    found = sensitivities(model, task, list(task.eval_batches("val")), mode)
    assert found.gain.shape == (6, 6) and found.index.tolist() == list(range(6))
    batch = next(task.eval_batches("val"))
    tokens, mask = model.tokenizer(batch)
    design = model.generator()

    def loss(module: int, gate: float) -> Tensor:
        """The loss when the links from a module to others weigh ``gate`` times as much."""

        def weigh(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            *states, graph, out_gate = arguments
            weight = graph.log_weight.clone()
            receivers = torch.arange(len(weight))
            others = receivers != module if graph.num_receivers == 6 else receivers >= 0
            weight[others, module] += np.log(gate)
            return (*states, SampledGraph(graph.probability, weight, graph.mask), out_gate)

        blocks = [*model.circuit.propagators, model.circuit.read_out]
        hooks = [block.attention.register_forward_pre_hook(weigh) for block in blocks]
        logits = model.circuit(tokens, design, mask, mode=mode).logits
        for hook in hooks:
            hook.remove()
        return nn.functional.cross_entropy(logits, batch.labels, reduction="none")

    with torch.no_grad():
        for module in (0, 4):
            slope = (loss(module, 1 + 1e-5) - loss(module, 1 - 1e-5)) / 2e-5
            np.testing.assert_allclose(found.gain[module, :4], -slope, rtol=0, atol=1e-8)


def test_gradients_foretell_lesions_among_many_modules() -> None:
    model, task = make(modules=40), Toy(lengths=(5, 8, 9, 3, 7, 4) * 2)
    batches = list(task.eval_batches("val"))
    exact = lesions(model, task, batches)
    gain = sensitivities(model, task, batches).gain
    true = exact.without_loss - exact.loss
    assert np.corrcoef(gain.ravel(), true.ravel())[0, 1] > 0.95


def test_paired_and_regression_estimates() -> None:
    mean, error = paired(np.array([[1.0, 2, 3, 6], [0, 0, 0, 0]]))
    np.testing.assert_allclose(mean, [3, 0])
    np.testing.assert_allclose(error, [np.sqrt(14 / 3) / 2, 0])
    assert paired(np.ones((2, 1)))[1] is None

    gain = np.random.default_rng(0).normal(size=(3, 10))
    first = Sensitivities(gain, np.arange(10)[::-1])

    def removed(loss: np.ndarray, rows: list[int]) -> Lesions:
        right = np.ones(loss.shape, bool)
        return Lesions(np.array(rows), np.zeros(len(rows)), right[0], loss, right)

    rows = [9, 2, 5]  # the columns 0, 7, 4
    mean, error = contribution(first, removed(1.5 * gain[:, [0, 7, 4]], rows))
    np.testing.assert_allclose(mean, 1.5 * gain.mean(1))  # gradients say all: no error but of N
    np.testing.assert_allclose(error, 1.5 * gain[:, [0, 7, 4]].std(1, ddof=1) / np.sqrt(10))
    mean, _ = contribution(first, removed(np.zeros((3, 3)), rows))
    np.testing.assert_allclose(mean, 0)
    mean, error = contribution(first, None)
    np.testing.assert_allclose(mean, gain.mean(1))
    all_rows = list(range(10))
    loss = np.random.default_rng(1).normal(size=(3, 10))
    np.testing.assert_allclose(contribution(first, removed(loss, all_rows))[0], loss.mean(1))
    assert contribution(first, removed(loss[:, :1], [3]))[1] is None


def test_the_cut_into_batches_does_not_matter() -> None:
    model = make()
    found = measured(model)
    assert_equal(found, measured(model, Toy(size=1)))
    assert_equal(found, measured(model, Toy(size=6)))


def test_padding_does_not_matter() -> None:
    model = make()
    assert_equal(measured(model), measured(model, Toy(pad=5)))


def test_relabelling_modules_relabels_what_they_do() -> None:
    model, order = make(), [4, 0, 5, 2, 1, 3]
    found = measured(model)
    with torch.no_grad():
        for parameter in (model.generator.processor_codes, model.generator.processor_signatures):
            parameter.copy_(parameter[order])
    assert_equal(found, measured(model), order)
    assert len(set(np.round(found.contribution, 9))) == 6


def test_rows_are_those_of_the_report_and_plain_json() -> None:
    model, seen = make(), []
    found = measured(model, progress=lambda stage, share: seen.append((stage, share)))
    modules, readouts = found.modules(), found.readouts()
    json.dumps([modules, readouts, found.similarity_link], allow_nan=False)
    assert [row["module"] for row in modules] == list(range(6))
    assert {
        "read_entropy",
        "top_tokens",
        "role",
        "confidence",
        "accuracy_lost",
        "loss_gained",
        "loss_gained_se",
        "accuracy_lost_se",
        "position",
    } <= set(modules[0])
    assert [row["readout"] for row in readouts] == [0, 1, 2]
    assert sum(row["confidence"] for row in readouts) == pytest.approx(1)
    assert sum(row["confidence_largest"] for row in readouts) == pytest.approx(1)
    np.testing.assert_allclose(found.token_attention.sum(1), 1)
    assert found.reading_attention.shape == (3, 6, 5)
    np.testing.assert_allclose(found.reading_attention.mean(0), found.token_attention)
    np.testing.assert_allclose(contributions(found), found.contribution)
    assert found.samples == 6 and found.lesion_samples == 4 and not found.reasons
    for stage in ("reading", "gradients", "lesions"):
        shares = [share for name, share in seen if name == stage]
        assert shares == sorted(shares) and shares[-1] == 1
    assert sum(name == "lesions" for name, _ in seen) >= 6  # one a module


def test_accuracy_and_read_outs_are_those_of_the_model() -> None:
    model, task = make(), Toy(size=6)
    found = measured(model, task, lesion_samples=6)
    (batch,) = task.eval_batches("val")
    with torch.no_grad():
        out = model(batch)
        p, r = model.generator().links(model.config.bandwidth)
    assert found.accuracy == float((out.logits.argmax(-1) == batch.labels).double().mean())
    assert found.loss == pytest.approx(float(task.loss(out.logits, batch)))
    np.testing.assert_allclose(found.confidence, out.confidence.mean(0))
    np.testing.assert_allclose(found.confidence_sd, out.confidence.std(0))
    np.testing.assert_allclose(found.link, p)
    np.testing.assert_allclose(found.readout_degree, r.sum(1))
    np.testing.assert_allclose(found.voice, out.confidence.mean(0) @ r)


def test_the_model_is_left_as_it_was() -> None:
    model = make().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = measured(model)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert_equal(first, measured(model))


def test_perceiver_io_links_all() -> None:
    found = measured(make(**model_fields("perceiver_io")))
    assert (found.link == 1).all() and (found.readout_degree == 6).all()
    for each in found.similarity_link.values():
        assert each["value"] is None and "equally likely" in each["reason"]


def test_what_cannot_be_measured_has_a_reason() -> None:
    lonely = measured(make(modules=1), Toy(lengths=(1,)), samples=1)
    assert lonely.loss_gained is None and "only module" in lonely.reasons["loss_gained"]
    assert lonely.relative_entropy is None and "one token" in lonely.reasons["relative_entropy"]
    assert lonely.confidence_sd is None and "confidence_sd" in lonely.reasons
    assert lonely.similarity_link["pearson"]["value"] is None
    row = lonely.modules()[0]
    assert row["accuracy_lost"] is None and row["read_entropy_relative"] is None
    json.dumps([lonely.modules(), lonely.readouts()], allow_nan=False)

    whole = measured(make(), lesion_samples=0)
    assert whole.accuracy is None and "no modules were removed" in whole.reasons["accuracy_lost"]
    assert whole.contribution_se is not None and whole.lesion_samples == 0
    single = measured(make(), lesion_samples=1)
    assert single.loss_gained_se is None and "single sample" in single.reasons["loss_gained_se"]


class Kindless(Toy):
    def token_kinds(self, batch: Batch) -> Tensor | None:
        return None


def test_tokens_may_have_no_kinds_or_no_names() -> None:
    found = measured(make(), Kindless())
    assert found.token_attention is None and "no kinds" in found.reasons["token_attention"]
    assert found.role is None and found.lift is None and found.top_tokens(0) is None
    assert (found.entropy > 0).all()
    plain = Toy()
    plain.token_names, plain.token_groups = None, {}  # type: ignore[misc]
    named = measured(make(), plain)
    assert named.token_names == ("1", "2", "3", "4", "5")
    assert named.role is None and "no groups" in named.reasons["role"]


class Doubled(Toy):
    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return 2 * super().loss(logits, batch)


def test_a_tasks_own_loss_counts() -> None:
    model = make()
    once, twice = measured(model), measured(model, Doubled())
    np.testing.assert_allclose(twice.loss_gained, 2 * once.loss_gained)
    np.testing.assert_allclose(twice.contribution, 2 * once.contribution)


class Conditional(nn.Module):
    def __init__(self, model: NAC) -> None:
        super().__init__()
        self.inner = model.generator

    def forward(self, tokens: Tensor, mask: Tensor) -> CircuitDesign:
        design = self.inner()
        each = design.descriptors().values()
        return CircuitDesign(*(x.expand(len(tokens), *x.shape) for x in each))


def test_errors_say_what_was_wanted() -> None:
    model = make()
    with pytest.raises(ValueError, match="samples: expected at least 1, got 0"):
        measured(model, samples=0)
    with pytest.raises(ValueError, match="lesion_samples: expected"):
        measured(model, lesion_samples=-1)
    with pytest.raises(ValueError, match="no samples"):
        measured(model, Toy(lengths=()))
    with pytest.raises(ValueError, match="2 modules"):
        lesions(make(modules=1), Toy(), list(Toy().eval_batches("val")))
    model.generator = Conditional(model)
    with pytest.raises(ValueError, match="conditional"):
        measured(model)


def test_correlations_over_pairs() -> None:
    codes = np.random.default_rng(0).normal(size=(9, 3))
    near = cosines(codes)
    np.testing.assert_allclose(np.diag(near), 1)
    assert near[0, 1] == pytest.approx(
        codes[0] @ codes[1] / np.linalg.norm(codes[0]) / np.linalg.norm(codes[1])
    )
    bent = np.exp(3 * near)  # another scale, the same order
    found = correlations(near, bent)
    rows, columns = np.triu_indices(9, 1)
    pearson = np.corrcoef(near[rows, columns], bent[rows, columns])[0, 1]
    assert found["pearson"]["value"] == pytest.approx(pearson)
    assert found["spearman"]["value"] == pytest.approx(1)
    assert found["spearman"]["p"] == pytest.approx(1 / 200)
    assert correlations(near, -near)["pearson"]["value"] == pytest.approx(-1)
    other = np.random.default_rng(5).normal(size=(9, 9))
    assert correlations(near, other + other.T)["pearson"]["p"] > 0.05
    assert "pairs" in correlations(near[:2, :2], bent[:2, :2])["pearson"]["reason"]


def test_fewer_samples_are_affordable_for_more_modules() -> None:
    counts = [affordable(make(modules=n), 40) for n in (2, 500, 1200, 3000)]
    assert counts[0] == 128 and counts == sorted(counts, reverse=True)
    assert 8 <= counts[2] < 128 and counts[-1] == 0
    assert affordable(make(modules=200), 4000) <= affordable(make(modules=200), 40)


def test_listops_names_its_tokens() -> None:
    assert len(ListOps.token_names) == VOCABULARY
    assert ListOps.token_names[10:] == ("9", "[MIN", "[MAX", "[MED", "[SM", "]")
    grouped = [name for names in ListOps.token_groups.values() for name in names]
    assert sorted(grouped) == sorted(ListOps.token_names[1:])
    batch = Batch(
        torch.tensor([[11, 1, 15]]), torch.ones(1, 3).bool(), torch.zeros(1), torch.zeros(1)
    )
    task = ListOps(max_length=20, min_length=3)
    assert task.token_kinds(batch) is batch.inputs
    assert task.token_kinds(replace(batch, inputs=torch.rand(1, 3))) is None
