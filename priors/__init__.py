"""Graph priors: target link probabilities, graphs drawn from them, and the matched loss.

A name below loads its file when it is first used, since priors import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nacgraph.priors.base import GraphPrior as GraphPrior
    from nacgraph.priors.base import get_prior as get_prior
    from nacgraph.priors.base import register_prior as register_prior
    from nacgraph.priors.config import PRIORS as PRIORS
    from nacgraph.priors.config import PriorConfig as PriorConfig
    from nacgraph.priors.families import ErdosRenyi as ErdosRenyi
    from nacgraph.priors.families import NonePrior as NonePrior
    from nacgraph.priors.families import PlantedPartition as PlantedPartition
    from nacgraph.priors.families import RingOfCliques as RingOfCliques
    from nacgraph.priors.families import ScaleFree as ScaleFree
    from nacgraph.priors.families import WattsStrogatz as WattsStrogatz
    from nacgraph.priors.matching import MatchedLoss as MatchedLoss
    from nacgraph.priors.matching import match as match
    from nacgraph.priors.matching import matched_loss as matched_loss
    from nacgraph.priors.reachable import best_signatures as best_signatures
    from nacgraph.priors.reachable import fit_signatures as fit_signatures
    from nacgraph.priors.reachable import lowest_probability as lowest_probability
    from nacgraph.priors.reachable import prior_signatures as prior_signatures
    from nacgraph.priors.reachable import reachable_floor as reachable_floor

__all__ = [
    "PRIORS",
    "ErdosRenyi",
    "GraphPrior",
    "MatchedLoss",
    "NonePrior",
    "PlantedPartition",
    "PriorConfig",
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

_HOME = {  # public name: the file that defines it
    "GraphPrior": "nacgraph.priors.base",
    "get_prior": "nacgraph.priors.base",
    "register_prior": "nacgraph.priors.base",
    "PRIORS": "nacgraph.priors.config",
    "PriorConfig": "nacgraph.priors.config",
    "ErdosRenyi": "nacgraph.priors.families",
    "NonePrior": "nacgraph.priors.families",
    "PlantedPartition": "nacgraph.priors.families",
    "RingOfCliques": "nacgraph.priors.families",
    "ScaleFree": "nacgraph.priors.families",
    "WattsStrogatz": "nacgraph.priors.families",
    "MatchedLoss": "nacgraph.priors.matching",
    "match": "nacgraph.priors.matching",
    "matched_loss": "nacgraph.priors.matching",
    "best_signatures": "nacgraph.priors.reachable",
    "fit_signatures": "nacgraph.priors.reachable",
    "lowest_probability": "nacgraph.priors.reachable",
    "prior_signatures": "nacgraph.priors.reachable",
    "reachable_floor": "nacgraph.priors.reachable",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nacgraph.priors' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value  # the next look-up does not come here
    return value
