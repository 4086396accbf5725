"""What a circuit promises whatever its weights: invariances, finiteness, Perceiver IO."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_circuit import SMALL, Through, Tokens, batch_of, make
from torch import Tensor, nn

from nacgraph import NAC, CircuitDesign, NACConfig, UnconditionalGenerator
from nacgraph.graph.forms import SampledGraph
from nacgraph.graph.links import link_probabilities
from nacgraph.models.ladder import MODELS, model_fields
from nacgraph.nn.circuit import Circuit
from nacgraph.nn.propagators import Propagator
from nacgraph.nn.read_out import ReadOut
from nacgraph.priors import get_prior, matched_loss, prior_signatures


@pytest.mark.parametrize("backend", ["fused", "scatter", "dense"])
@pytest.mark.parametrize("mode", ["expected", "threshold"])
def test_relabelling_modules_leaves_logits_unchanged(backend: str, mode: str) -> None:
    model = make(backend=backend, eval_mode=mode).eval()
    batch, design = batch_of([5, 3]), model.generator()
    order = torch.tensor([4, 0, 5, 2, 1, 3])

    def answer(d: CircuitDesign) -> Tensor:
        return model.circuit(batch.tokens, d, batch.mask, mode=mode).logits

    relabelled = answer(design.select(order))
    torch.testing.assert_close(relabelled, answer(design), rtol=0, atol=1e-12)
    # Fewer modules do give other logits, so that the equality says something.
    assert (answer(design.select(order[:3])) - relabelled).abs().max() > 1e-4


@settings(max_examples=10)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.booleans())
def test_a_padded_sample_answers_as_alone(lengths: list[int], per_sample: bool) -> None:
    model = make(graphs="per_sample" if per_sample else "shared", eval_mode="expected").eval()
    batch = batch_of(lengths)
    together = model(batch).logits
    for row, length in enumerate(lengths):
        alone = Tokens(batch.tokens[row : row + 1, :length], batch.mask[row : row + 1, :length])
        torch.testing.assert_close(model(alone).logits[0], together[row], rtol=0, atol=1e-12)


def test_whatever_stands_in_the_padding_is_not_read() -> None:
    model = make().eval()
    batch = batch_of([5, 2])
    other = Tokens(batch.tokens.clone(), batch.mask)
    other.tokens[1, 2:] = 1e6
    torch.testing.assert_close(model(batch).logits, model(other).logits)


@pytest.mark.parametrize("backend", ["fused", "scatter", "dense"])
def test_no_senders_is_finite(backend: str, generator: torch.Generator) -> None:
    design = UnconditionalGenerator(6, 3, 4, 5, 8, generator=generator)()
    states = torch.randn(2, 6, 8, generator=generator, requires_grad=True)

    def empty(receivers: int) -> SampledGraph:
        zero = torch.zeros(receivers, 6, requires_grad=True)
        return SampledGraph(zero, zero, torch.zeros(receivers, 6, dtype=torch.bool))

    propagator = Propagator(8, 5, 2, 4, backend=backend, generator=generator)
    lonely = propagator.attend(states, design.processor_codes, empty(6))
    torch.testing.assert_close(
        lonely - states, propagator.attention.out_proj.bias.expand_as(states)
    )
    read_out = ReadOut(8, 5, 2, 4, 4, backend=backend, generator=generator)
    gates = read_out.modulations(design.readout_codes, design.processor_codes)
    logits, confidence, _ = read_out(states, design.readout_states, empty(3), gates)
    (logits.sum() + propagator(states, design.processor_codes, empty(6)).sum()).backward()
    assert torch.isfinite(logits).all() and torch.isfinite(states.grad).all()
    torch.testing.assert_close(confidence.sum(-1), torch.ones(2))


@pytest.mark.parametrize("mode", ["expected", "concrete", "hard", "threshold"])
@pytest.mark.parametrize("graphs", ["shared", "per_sample"])
def test_every_mode_trains_what_it_says(mode: str, graphs: str) -> None:
    model = make(mode=mode, graphs=graphs).train()
    out = model(batch_of([5, 3]), torch.Generator().manual_seed(1))
    # What draws nothing is the same for every sample, and is kept once.
    assert out.graph.per_sample == (graphs == "per_sample" and mode in ("concrete", "hard"))
    out.logits.pow(2).sum().backward()
    for name, p in model.named_parameters():
        if "signatures" in name and mode == "threshold":
            assert p.grad is None or not p.grad.any()
        else:
            assert p.grad is not None and torch.isfinite(p.grad).all(), name


def test_training_draws_from_pytorchs_generator_and_evaluation_repeats_itself() -> None:
    model, batch = make(eval_mode="concrete"), batch_of([5, 3])
    model.train()
    torch.manual_seed(3)
    first, second = model(batch).logits, model(batch).logits
    torch.manual_seed(3)
    assert torch.equal(model(batch).logits, first) and not torch.equal(first, second)
    state = torch.get_rng_state()
    model.eval()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model(batch).logits, model(batch).logits)


def test_backends_give_the_same_model() -> None:
    batch, outputs = batch_of([5, 3]), []
    for backend in ("scatter", "dense"):
        model = make(backend=backend).train()
        outputs.append(model(batch, torch.Generator().manual_seed(7)).logits)
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-12)


def test_seed_makes_the_model() -> None:
    one, two, other = make(seed=3), make(seed=3), make(seed=4)
    torch.rand(7)  # global randomness plays no part
    for (name, p), q, r in zip(
        one.named_parameters(), two.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(p, q), name
        assert p.numel() < 9 or not torch.equal(p, r) or "norm" in name or "bias" in name, name


def test_rounds_reuse_layers_in_turn() -> None:
    model = make(rounds=5, unique_layers=2, read_every=1)
    assert len(model.circuit.propagators) == len(model.circuit.read_ins) == 2
    assert len(make(rounds=5, unique_layers=0, read_every=2).circuit.read_ins) == 3
    assert len(make(rounds=5, unique_layers=0, read_every=0).circuit.read_ins) == 1


def test_perceiver_io_is_plain_multi_head_attention() -> None:
    """α = 0 on the complete graph: the same weights in torch.nn give the same states."""
    model = make(**model_fields("perceiver_io"), rounds=1, read_every=0).eval()
    block = model.circuit.propagators[0]
    attention = block.attention
    plain = nn.MultiheadAttention(6, 2, bias=True, batch_first=True).double()
    with torch.no_grad():
        plain.in_proj_weight.copy_(torch.eye(6).repeat(3, 1))
        plain.in_proj_bias.zero_()
        plain.out_proj.weight.copy_(torch.eye(6))
        plain.out_proj.bias.zero_()
    states = batch_of([6, 6], seed=2).tokens
    normed = block.norm(states)
    projected = [
        normed @ part.weight.T for part in (attention.query, attention.key, attention.value)
    ]
    message, _ = plain(*projected)
    wanted = states + message @ attention.out_proj.weight.T + attention.out_proj.bias
    graph = model.circuit.kernel(model.generator.processor_signatures)
    found = block.attend(states, model.generator.processor_codes, graph)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    # And no code changes anything but the initial states.
    codes = torch.zeros_like(model.generator.processor_codes)
    torch.testing.assert_close(found, block.attend(states, codes, graph))


def test_perceiver_io_keeps_no_idle_parameters() -> None:
    model = make(**model_fields("perceiver_io"))
    model(batch_of([5, 3])).logits.pow(2).sum().backward()
    for name, p in model.named_parameters():
        assert not p.requires_grad or p.grad is not None, name
    assert not model.generator.processor_signatures.requires_grad


@pytest.mark.parametrize("name", MODELS)
def test_every_preset_builds_and_answers(name: str) -> None:
    target = get_prior("ring_of_cliques").edge_probabilities(6)
    config = replace(SMALL, **model_fields(name))
    model = NAC(config, Through(), 4, target=target).double().eval()
    assert model(batch_of([5, 3])).logits.shape == (2, 4)


def test_a_start_from_the_prior_is_near_it() -> None:
    target = get_prior("scale_free").edge_probabilities(32)
    config = replace(SMALL, **model_fields("frozen_graph"), modules=32, bandwidth=0.334)
    config = replace(config, signature_dim=16)  # the closed form alone is off by 0.38 here
    model = NAC(config, Through(), 4, target=target)
    signatures = model.generator.processor_signatures
    assert not signatures.requires_grad
    link = link_probabilities(signatures, signatures, 0.334).double()
    error = matched_loss(link, target, torch.arange(32)).sqrt().item()
    assert error < 0.1 < prior_signatures(target, 0.334, 16)[1]


def test_configuration_reports_all_mistakes_at_once() -> None:
    with pytest.raises(ValueError) as caught:
        NACConfig(modules=0, mode="soft", bandwidth=-1.0, min_weight=2.0)
    message = str(caught.value)
    for part in (
        "modules: expected a whole number >= 1, got 0",
        "mode: expected one of",
        "bandwidth: expected a number > 0, got -1.0",
        "min_weight: expected",
    ):
        assert part in message
    with pytest.raises(ValueError, match="did you mean 'perceiver_io'"):
        model_fields("perciever_io")
    with pytest.raises(ValueError, match="target: expected link probabilities"):
        make(signature_start="prior")
    assert math.isinf(make(wiring="complete").circuit.kernel.bandwidth)


def test_a_thousand_modules_train(generator: torch.Generator) -> None:
    sizes = {"modules": 1024, "readouts": 4, "width": 128, "code_dim": 32, "signature_dim": 64}
    config = NACConfig(**sizes, rounds=1, mode="hard")
    model = NAC(config, Through(), 4)
    tokens = torch.randn(1, 8, 128, generator=generator)
    batch = Tokens(tokens, torch.ones(1, 8, dtype=torch.bool))
    out = model(batch, generator)
    out.logits.pow(2).sum().backward()
    gradient = model.generator.processor_signatures.grad
    assert gradient is not None and torch.isfinite(gradient).all() and gradient.any()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rounds": 0}, "rounds: expected a whole number >= 1, got 0"),
        ({"read_every": -1}, "read_every: expected a whole number >= 0, got -1"),
        ({"propagator": []}, "propagator: expected at least one, got none"),
        ({"read_in": []}, "read_in: expected at least one, got none"),
        ({"redraw": "never"}, "redraw: expected one of once, each_round, got 'never'"),
    ],
)
def test_a_circuit_of_parts_that_do_not_fit(changed: dict, message: str) -> None:
    made = make().circuit
    parts = {"read_in": made.read_ins, "propagator": made.propagators, "rounds": 2, **changed}
    with pytest.raises(ValueError, match=message):
        Circuit(made.kernel, read_out=made.read_out, **parts)
