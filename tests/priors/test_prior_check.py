"""Checking a prior from Python: its promises, and numbers that can be counted by hand."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from nacgraph.graph.links import link_probabilities
from nacgraph.priors import GraphPrior, RingOfCliques, prior_signatures
from nacgraph.priors.check import check_prior, target_problems


def test_the_numbers_of_a_ring_of_cliques() -> None:
    found = check_prior(RingOfCliques(5), 40, signature_dim=16, bandwidth=0.5)
    assert found.problems == [] and found.numbers is not None and found.reached is not None
    # Eight cliques of five with eight links between them, all certain.
    assert found.numbers["mean_degree"] == pytest.approx((8 * 10 + 8) * 2 / 40)
    assert found.numbers["sample_degree"] == pytest.approx(found.numbers["mean_degree"])
    assert (found.numbers["low"], found.numbers["high"]) == (0, 1)
    assert found.numbers["lowest"] == pytest.approx(math.exp(-4))
    others = ~torch.eye(40, dtype=torch.bool)
    reached = (found.reached - found.target)[others].square().mean()
    assert found.numbers["mse"] == pytest.approx(float(reached), rel=1e-6)
    signatures, error = prior_signatures(found.target, 0.5, 16)
    assert found.numbers["closed_form_rms"] == error
    closed = (link_probabilities(signatures, signatures, 0.5) - found.target)[others]
    assert error == pytest.approx(float(closed.square().mean().sqrt()), rel=1e-6)


def test_one_module_has_no_pairs() -> None:
    found = check_prior(RingOfCliques(5), 1)
    assert found.numbers is not None and found.numbers["mean_degree"] == 0


class Lopsided(GraphPrior):
    def edge_probabilities(self, n: int) -> Tensor:
        return torch.ones(n, n, dtype=torch.float64).tril()


def test_a_broken_promise_is_a_problem_and_nothing_is_measured() -> None:
    found = check_prior(Lopsided(), 4)
    assert found.problems == ["expected a symmetric matrix, got differences up to 1"]
    assert found.sample is found.reached is found.numbers is None


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([[1.0]], "expected a torch.Tensor, got list"),
        (torch.eye(3), r"expected shape \(2, 2\), got \(3, 3\)"),
        (torch.eye(2), "expected dtype torch.float64, got torch.float32"),
        (torch.eye(2).double() * 2, r"expected entries in \[0, 1\], got 0 to 2"),
        (torch.eye(2).double() * math.nan, "expected finite entries, got NaN"),
        (torch.zeros(2, 2).double(), "expected 1 on the diagonal"),
    ],
)
def test_what_is_no_target(target: Any, message: str) -> None:
    assert re.search(message, "; ".join(target_problems(target, 2)))
