"""Gates (modulations) are made once a step, kept while evaluating, and never stale."""

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


def test_kept_without_gradients_until_a_weight_changes(counted: list[ModFC]) -> None:
    model = make(rounds=3).eval()
    blocks = layers(model) - layers(model.circuit.read_out)

    def answer() -> torch.Tensor:
        with torch.no_grad():
            return model(batch_of([5, 3])).logits

    first = answer()
    counted.clear()
    assert torch.equal(answer(), first)
    assert len(counted) == layers(model) - blocks  # the read-out's, once a call
    changes = {
        "codes": model.generator.processor_codes,
        "weight": model.circuit.propagators[1].attention.key.code_weight,
        "alpha": model.circuit.read_ins[0].value.alpha,
    }
    for name, parameter in changes.items():
        with torch.no_grad():
            parameter.add_(torch.randn(parameter.shape, dtype=parameter.dtype))
        changed = answer()
        assert not torch.allclose(changed, first), name
        # As a model that never kept anything.
        fresh = make(rounds=3).eval()
        fresh.load_state_dict(model.state_dict())
        with torch.no_grad():
            assert torch.equal(fresh(batch_of([5, 3])).logits, changed), name
        first = changed
    model.generator.processor_codes = torch.nn.Parameter(
        torch.randn(model.generator.processor_codes.shape, dtype=torch.float64)
    )
    replaced = answer()
    assert not torch.allclose(replaced, first)
    first = replaced
    other = make(rounds=3, seed=5).state_dict()
    model.load_state_dict(other)
    assert not torch.allclose(answer(), first)


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


@pytest.mark.parametrize("eval_mode", ["expected", "threshold", "concrete"])
def test_graphs_too_are_kept_while_nothing_is_drawn(
    eval_mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(eval_mode=eval_mode, bandwidth=0.3).eval()
    calls = []
    forward = model.circuit.kernel.forward

    def count(*arguments: object, **named: object) -> object:
        calls.append(arguments)
        return forward(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(model.circuit.kernel, "forward", count)

    def answer() -> torch.Tensor:
        with torch.no_grad():
            return model(batch_of([5, 3])).logits

    first = answer()
    assert torch.equal(answer(), first)
    assert len(calls) == (4 if eval_mode == "concrete" else 2)
    with torch.no_grad():
        model.generator.readout_signatures.add_(torch.randn(3, 4, generator=torch.Generator()))
    assert not torch.equal(answer(), first)
    model.circuit.kernel.bandwidth = 0.9
    calls.clear()
    answer()
    assert len(calls) == 2
    model(batch_of([5, 3]))  # gradients wanted: made anew
    assert len(calls) == 4
