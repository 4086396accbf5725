"""Probing as a whole: its invariances, its rows, its errors."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from probed_circuit import Toy, assert_equal, make, measured
from torch import Tensor, nn

from nacgraph.analysis.probing import contributions, lesions
from nacgraph.graph.design import CircuitDesign
from nacgraph.models.ladder import model_fields
from nacgraph.models.nac import NAC
from nacgraph.tasks import Batch
from nacgraph.tasks.listops.task import ListOps
from nacgraph.tasks.listops.trees import VOCABULARY


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
