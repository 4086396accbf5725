"""Gradients of gates, and estimates of contributions from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from probed_circuit import CASES, Toy, make
from torch import Tensor, nn

from nacgraph.analysis.probing import lesions
from nacgraph.analysis.probing.removal import Lesions
from nacgraph.analysis.probing.sensitivity import Sensitivities, contribution, sensitivities
from nacgraph.graph.forms import SampledGraph
from nacgraph.utils.stats import mean_and_error


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
    mean, error = mean_and_error(np.array([[1.0, 2, 3, 6], [0, 0, 0, 0]]))
    np.testing.assert_allclose(mean, [3, 0])
    np.testing.assert_allclose(error, [np.sqrt(14 / 3) / 2, 0])
    assert mean_and_error(np.ones((2, 1)))[1] is None

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
