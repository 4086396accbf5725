"""The running mean of the weights: its formula, its use as the result, and resuming with it."""

from __future__ import annotations

from pathlib import Path

import torch
from small_run import arguments, final_tensors
from torch import nn

from nacgraph.cli.train import main
from nacgraph.training.averaging import WeightAverage
from nacgraph.training.checkpoint import load_checkpoint


def test_the_formula_and_the_swap() -> None:
    model = nn.Linear(2, 1)
    frozen = nn.Parameter(torch.zeros(1), requires_grad=False)
    model.register_parameter("frozen", frozen)
    average = WeightAverage(model, 0.5)
    expected = model.weight.detach().clone()
    for step in range(1, 8):
        with torch.no_grad():
            model.weight += step
            frozen += 1
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    own = model.weight.detach().clone()
    with average.applied():
        torch.testing.assert_close(model.weight.detach(), expected)
        assert frozen.item() == 7
    assert torch.equal(model.weight, own)
    other = WeightAverage(model, 0.5)
    other.load(average.state())
    assert other.updates == 7
    other.keep()
    torch.testing.assert_close(model.weight.detach(), expected)


def test_a_run_keeps_the_mean_and_resumes_exactly(tmp_path: Path) -> None:
    flags = [*arguments(tmp_path / "cache", ema=0.9)]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*flags, "--out", str(whole)]) == 0
    assert main([*flags, "--out", str(parts)]) == 0
    # As after a crash at step 9: the later checkpoints and the summary are gone.
    for file in [*parts.glob("checkpoints/step_00000012.*"), parts / "summary.json"]:
        file.unlink()
    assert main(["--resume", str(parts)]) == 0
    mine, theirs = final_tensors(whole), final_tensors(parts)
    assert any(name.startswith("average/") for name in mine)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    best = load_checkpoint(whole / "checkpoints" / "best.json")
    if best.state["step"] == 12:
        name = "circuit.read_out.head.weight"
        assert torch.equal(best.tensors[f"model/{name}"], mine[f"average/{name}"])
        assert not torch.equal(best.tensors[f"model/{name}"], mine[f"model/{name}"])
