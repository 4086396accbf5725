"""Propagators: one round of messages among modules, one file each."""

from nacgraph.nn.propagators.base import PROPAGATORS, BasePropagator, register_propagator
from nacgraph.nn.propagators.gated import GatedPropagator
from nacgraph.nn.propagators.skmdpa import Propagator

__all__ = [
    "PROPAGATORS",
    "BasePropagator",
    "GatedPropagator",
    "Propagator",
    "register_propagator",
]
