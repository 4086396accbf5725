"""The model equals its naive form: the same function, and the same gradient of every parameter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from naive_model import NaiveNAC, PassThrough, dense_links, sample_links

from nacgraph.models.ladder import model_fields
from nacgraph.models.nac import NAC, NACConfig

SMALL: dict[str, Any] = dict(
    modules=12, readouts=3, width=16, code_dim=10, signature_dim=6, heads=2, head_dim=6,
    read_heads=2, read_head_dim=5, rounds=3, read_every=0, bandwidth=1.5,
)  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "concrete": {"mode": "concrete"},
    "hard": {"mode": "hard"},
    "expected": {"mode": "expected", "min_weight": 0.5},
    "own graphs": {"mode": "hard", "graphs": "per_sample"},
    "reads again, layers shared": {"mode": "hard", "read_every": 1, "unique_layers": 2},
    "perceiver_io": model_fields("perceiver_io"),
}


def small(fields: dict[str, Any], padded: bool) -> tuple[NAC, Any]:
    model = NAC(NACConfig(**{**SMALL, **fields}), PassThrough(), 5).double().train()
    tokens = torch.randn(2, 7, 16, dtype=torch.float64)
    mask = torch.arange(7) < torch.tensor([[7], [4]]) if padded else None
    return model, (tokens, mask)


@pytest.mark.parametrize("padded", [False, True], ids=["all tokens", "padded"])
@pytest.mark.parametrize("name", CASES)
def test_the_model_equals_its_naive_form(name: str, padded: bool) -> None:
    model, batch = small(CASES[name], padded)
    out = model(batch, torch.Generator().manual_seed(1))
    naive = NaiveNAC(model).run(batch, dense_links(out.graph), dense_links(out.readout_graph))
    torch.testing.assert_close(out.logits, naive, rtol=0, atol=1e-9)

    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    labels = torch.tensor([1, 4])
    ours, theirs = (
        torch.autograd.grad(
            F.cross_entropy(logits, labels),
            list(named.values()),
            retain_graph=True,
            allow_unused=True,
        )
        for logits in (out.logits, naive)
    )
    for parameter, a, b in zip(named, ours, theirs, strict=True):
        assert (a is None) == (b is None), parameter
        if a is not None:
            assert (a - b).abs().max() < 1e-9, parameter
    if name != "perceiver_io":  # nothing was compared only with nothing
        silent = {n for n, a in zip(named, ours, strict=True) if a is None or not a.abs().max() > 0}
        # A softmax over read-outs does not see what all of them share.
        assert silent <= {"circuit.read_out.confidence.bias"}


def test_naive_links_are_those_of_the_kernel() -> None:
    model, _ = small({"mode": "expected", "min_weight": 0.5}, padded=False)
    kernel, design = model.circuit.kernel, model.generator()
    for receivers, senders in (
        (design.processor_signatures, None),
        (design.readout_signatures, design.processor_signatures),
    ):
        found = sample_links(receivers, senders, kernel, "expected", None)
        wanted = dense_links(kernel(receivers, senders, mode="expected"))
        assert torch.equal(found.mask, wanted.mask) and not found.mask.all()
        torch.testing.assert_close(
            found.log_weight[found.mask], wanted.log_weight[wanted.mask], rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("mode", ["concrete", "hard"])
def test_naive_links_are_drawn_with_probability_p(mode: str) -> None:
    model, _ = small({"min_weight": 0.5}, padded=False)  # then both modes link where K > 0.5
    kernel, signatures = model.circuit.kernel, model.generator().processor_signatures
    wanted = sample_links(signatures, None, kernel, "expected", None).log_weight.exp()
    noise = torch.rand(4000, 12, 12, dtype=torch.float64)
    rate = sample_links(signatures, None, kernel, mode, noise).mask.double().mean(0)
    assert (rate - wanted).abs().max() < 5 * 0.5 / 4000**0.5


def test_the_naive_model_draws_from_its_generator_alone() -> None:
    model, batch = small({"mode": "hard"}, padded=False)
    naive = NaiveNAC(model)
    draws = [naive(batch, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
