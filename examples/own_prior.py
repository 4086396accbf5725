"""A graph prior of one's own: modules on a line, each linked to its neighbours.

python examples/own_prior.py          (two minutes on one core)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

import nacgraph
from nacgraph.priors import GraphPrior, MatchedLoss, register_prior
from nacgraph.testing import assert_prior


@register_prior("line")
@dataclass(frozen=True)
class Line(GraphPrior):
    """Links up to a distance, and none beyond."""

    reach: int = 2
    p: float = 0.9

    def edge_probabilities(self, n: int) -> torch.Tensor:
        """Link probabilities (n, n), 1 on the diagonal."""
        place = torch.arange(n)
        near = (place[:, None] - place[None, :]).abs() <= self.reach
        return (self.p * near.double()).fill_diagonal_(1.0)


def main(out: str = "runs/own-prior", **options: Any) -> tuple[float, float]:
    """Train towards the prior; returns the distance to it before the first step and after all."""
    assert_prior(Line())
    run = nacgraph.fit("listops", "line", out=out, prior_set={"reach": 3}, **options)
    distance = MatchedLoss(Line(reach=3).edge_probabilities(run.config.modules))
    start = nacgraph.NAC(run.circuit.config, run.task.tokenizer(run.config.model.width), 10)
    before = float(distance(start.design().links()[0].detach(), step=0))
    after = float(distance(torch.from_numpy(run.link), step=0))
    print(f"distance to the prior: {before:.4f} before training, {after:.4f} after")
    print(f"reachable at this width of signatures: {run.summary['prior_floor']:.4f}")
    return before, after


if __name__ == "__main__":
    main()
