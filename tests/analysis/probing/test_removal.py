"""Lesions: removing a module equals running the rest of the design."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from probed_circuit import CASES, Toy, make
from torch import Tensor, nn

from nacgraph.analysis.probing import affordable, lesions


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


def test_fewer_samples_are_affordable_for_more_modules() -> None:
    counts = [affordable(make(modules=n), 40) for n in (2, 500, 1200, 3000)]
    assert counts[0] == 128 and counts == sorted(counts, reverse=True)
    assert 8 <= counts[2] < 128 and counts[-1] == 0
    assert affordable(make(modules=200), 4000) <= affordable(make(modules=200), 40)
