"""A NAC whose circuit is made for each sample: by its own tokens, or by a task's condition."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import arguments
from torch import Tensor, nn

from nacgraph import NAC, NACConfig
from nacgraph.__main__ import main
from nacgraph.tasks import Batch, SequenceTokenizer, register_tokenizer
from nacgraph.training.memory import estimate
from nacgraph.training.run import read_config

SIZES = {
    "modules": 5, "readouts": 2, "width": 12, "code_dim": 8, "signature_dim": 6, "heads": 3,
    "head_dim": 4, "read_heads": 1, "read_head_dim": 4, "rounds": 2,
    "read_every": 0,
}  # fmt: skip


@register_tokenizer("ConditionReader")
class ConditionReader(SequenceTokenizer):
    """Reads the condition as if it were the inputs."""

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.condition is not None and batch.condition_mask is not None
        return super().forward(replace(batch, inputs=batch.condition, mask=batch.condition_mask))


def model(condition: str, **changed: object) -> NAC:
    config = NACConfig(**{**SIZES, "condition": condition, **changed})  # type: ignore[arg-type]
    conditioner = ConditionReader(9, 12, 20, seed=3) if condition == "task" else None
    made = NAC(config, SequenceTokenizer(9, 12, 20, 1), 3, seed=1, conditioner=conditioner)
    return made.double().eval()


def batch(n: int = 3, length: int = 7, seed: int = 0) -> Batch:
    source = torch.Generator().manual_seed(seed)

    def ids() -> tuple[Tensor, Tensor]:
        values = torch.randint(1, 9, (n, length), generator=source)
        real = torch.arange(length) < torch.randint(1, length + 1, (n, 1), generator=source)
        return values * real, real

    (inputs, mask), (condition, condition_mask) = ids(), ids()
    labels = torch.randint(3, (n,), generator=source)
    return Batch(inputs, mask, labels, torch.arange(n), condition, condition_mask)


@pytest.mark.parametrize("condition", ["inputs", "task"])
def test_sample_i_never_sees_sample_j(condition: str) -> None:
    whole, samples = model(condition), batch()
    with torch.no_grad():
        together = whole(samples)
        assert together.link.shape == (3, 5, 5)
        for row in range(3):
            alone = whole(samples.rows(slice(row, row + 1)))
            torch.testing.assert_close(alone.logits[0], together.logits[row], rtol=0, atol=1e-12)
            torch.testing.assert_close(alone.link[0], together.link[row], rtol=0, atol=1e-12)
    # Not even a gradient passes from one to another.
    samples = replace(samples, labels=samples.labels)
    tokens, mask = whole.tokenizer(samples)
    tokens = tokens.detach().requires_grad_()
    design = whole.design(samples, tokens, mask)
    out = whole.circuit(tokens, design, mask, mode="expected")
    (gradient,) = torch.autograd.grad(out.logits[0].sum(), tokens)
    assert gradient[0].abs().sum() > 0 and not gradient[1:].any()


def test_what_makes_the_circuit() -> None:
    samples, other = batch(), batch(seed=1)
    with torch.no_grad():
        # By the task's condition: other inputs, same circuit; another condition, another one.
        by_task = model("task")
        link = by_task(samples).link
        assert torch.equal(link, by_task(replace(samples, inputs=other.inputs)).link)
        changed = replace(samples, condition=other.condition, condition_mask=other.condition_mask)
        assert not torch.allclose(link, by_task(changed).link)
        # By the inputs: the condition plays no part.
        by_inputs = model("inputs")
        link = by_inputs(samples).link
        assert torch.equal(link, by_inputs(changed).link)
        assert not torch.allclose(link, by_inputs(replace(samples, inputs=other.inputs)).link)


def test_every_parameter_learns() -> None:
    made = model("task").train()
    out = made(batch(), torch.Generator().manual_seed(0))
    loss = nn.functional.cross_entropy(out.logits, batch().labels) + (out.link**2).mean()
    loss.backward()
    # Perturbed modules: α of unused layers apart, everything must have been reached.
    still = [n for n, p in made.named_parameters() if p.requires_grad and p.grad is None]
    assert not still


def test_errors_say_what_was_wanted() -> None:
    with pytest.raises(ValueError, match="conditioner: expected a module"):
        NAC(NACConfig(**SIZES, condition="task"), SequenceTokenizer(9, 12, 20), 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="condition: expected one of auto, none, task, .*'x'"):
        NACConfig(condition="x")
    for wrong in ({"wiring": "frozen"}, {"signature_start": "prior"}):
        with pytest.raises(ValueError, match="condition: expected none for signatures"):
            NACConfig(condition="inputs", **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected a circuit that all samples share"):
        model("inputs").design()


@pytest.mark.parametrize("condition", ["inputs", "task"])
def test_a_shared_folder_brings_it_back(condition: str, tmp_path: Path) -> None:
    made = model(condition)
    made.save_pretrained(tmp_path / "m")
    again = NAC.from_pretrained(tmp_path / "m")
    assert torch.equal(made(batch()).logits, again(batch()).logits)
    # Folders from before there were conditions still load.
    if condition == "inputs":
        plain = model("none")
        plain.save_pretrained(tmp_path / "old")
        path = tmp_path / "old" / "config.json"
        record = json.loads(path.read_text())
        del record["conditioner"], record["config"]["condition"]
        path.write_text(json.dumps(record))
        old = NAC.from_pretrained(tmp_path / "old")
        assert torch.equal(plain(batch()).logits, old(batch()).logits)


def test_a_run_conditioned_on_its_own_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    flags = arguments(tmp_path / "cache", prior="erdos_renyi", condition="inputs")
    assert main(["train", *flags, "--out", str(out)]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["prior_loss"] > 0
    with np.load(out / "circuit.npz") as file:
        assert file["link_probabilities"].shape == (1, 6, 6)
    assert not (out / "frames").exists()
    capsys.readouterr()
    cache = ["--cache-dir", str(tmp_path / "cache")]
    assert main(["evaluate", str(out), *cache]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == summary["test_accuracy"]
    for command in (["analyze", str(out), *cache], ["prune", str(out), "--keep", "0.5", *cache]):
        assert main(command) == 2
        assert "each sample" in capsys.readouterr().err
    config = read_config(out)
    found = estimate(config)
    assert found.peak > 2**20 and set(found.links) >= {"processors", "read-outs"}
    # ListOps has no condition apart from its inputs.
    assert main(["train", *arguments(tmp_path / "cache", condition="task")]) == 2
    assert "task listops has no conditioning tokens" in capsys.readouterr().err
