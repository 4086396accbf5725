"""Graph priors: target link probabilities, graphs drawn from them, and the matched loss."""

from __future__ import annotations

from nacgraph.priors.base import PRIORS, GraphPrior, get_prior, register_prior
from nacgraph.priors.families import (
    ErdosRenyi,
    NonePrior,
    PlantedPartition,
    RingOfCliques,
    ScaleFree,
    WattsStrogatz,
)
from nacgraph.priors.matching import MatchedLoss, match, matched_loss
from nacgraph.priors.reachable import (
    best_signatures,
    fit_signatures,
    lowest_probability,
    prior_signatures,
    reachable_floor,
)

__all__ = [
    "PRIORS",
    "ErdosRenyi",
    "GraphPrior",
    "MatchedLoss",
    "NonePrior",
    "PlantedPartition",
    "RingOfCliques",
    "ScaleFree",
    "WattsStrogatz",
    "best_signatures",
    "fit_signatures",
    "get_prior",
    "lowest_probability",
    "match",
    "matched_loss",
    "prior_signatures",
    "reachable_floor",
    "register_prior",
]
