"""Gates (modulations) are made once a step, or once for many batches, and never stale."""

from __future__ import annotations

import pytest
import torch
from small_circuit import batch_of, make

import nacgraph.ops.pointwise
from nacgraph import NAC
from nacgraph.nn.modfc import ModFC


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[ModFC]:
    """Every layer whose gate was made, in order."""
    made: list[ModFC] = []
    gate = ModFC.gate

    def count(self: ModFC, scale: torch.Tensor) -> torch.Tensor:
        made.append(self)
        return gate(self, scale)

    monkeypatch.setattr(ModFC, "gate", count)
    return made


def layers(model: NAC) -> int:
    return sum(isinstance(m, ModFC) for m in model.modules())


def test_once_a_step_however_many_rounds(counted: list[ModFC]) -> None:
    model = make(rounds=7, unique_layers=2, read_every=1)
    noise = torch.Generator().manual_seed(0)
    model.train()(batch_of([5, 3]), noise).logits.sum().backward()
    assert len(counted) == len(set(counted)) == layers(model)
    counted.clear()
    model(batch_of([5, 3]), noise)  # a further step makes them anew
    assert len(counted) == layers(model)


def test_prepared_once_for_many_batches(counted: list[ModFC]) -> None:
    model = make(rounds=3).eval()
    batches = [batch_of([5, 3]), batch_of([2, 4, 1], seed=1)]
    with torch.no_grad():
        circuit = model.prepare()
        assert circuit is not None and len(counted) == layers(model)
        counted.clear()
        prepared = [model(batch, circuit=circuit).logits for batch in batches]
        assert not counted
        assert all(
            torch.equal(model(batch).logits, answer)
            for batch, answer in zip(batches, prepared, strict=True)
        )
        # It is a snapshot: only the ordinary call follows the weights.
        model.generator.processor_codes.add_(torch.randn(6, 5, dtype=torch.float64))
        assert not torch.allclose(model(batches[0]).logits, prepared[0])


@pytest.mark.parametrize("change", [{"eval_mode": "concrete"}, {"condition": "inputs"}])
def test_nothing_is_prepared_where_batches_differ(change: dict[str, str]) -> None:
    assert make(**change).eval().prepare() is None


def test_evaluation_never_sees_old_weights(counted: list[ModFC]) -> None:
    model = make(rounds=3).eval()

    def answer() -> torch.Tensor:
        with torch.no_grad():
            return model(batch_of([5, 3])).logits

    first = answer()
    # Neither in place, nor behind autograd's back, as fused optimizers and .data do.
    model.circuit.read_ins[0].value.alpha.data.add_(1.0)
    second = answer()
    assert not torch.allclose(second, first)
    model.load_state_dict(make(rounds=3, seed=5).state_dict())
    assert not torch.allclose(answer(), second)


def test_training_goes_on_after_evaluating() -> None:
    model = make(rounds=3)
    with torch.no_grad():
        model.eval()(batch_of([5, 3]))
    model.train()(batch_of([5, 3]), torch.Generator().manual_seed(0)).logits.sum().backward()
    gradients = [m.code_weight.grad for m in model.modules() if isinstance(m, ModFC)]
    assert all(g is not None and g.abs().max() > 0 for g in gradients)


def test_compiled_passes_make_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for worth in (0, 2**60):
        monkeypatch.setattr(nacgraph.ops.pointwise, "WORTH", worth)
        model = make(rounds=3, read_every=2, mode="expected", graphs="per_sample")
        out = model.train()(batch_of([5, 3]), torch.Generator().manual_seed(0))
        out.logits.pow(2).sum().backward()
        results.append([out.logits, *(p.grad for p in model.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
