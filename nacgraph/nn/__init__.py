"""Layers that stand alone: plain ``nn.Module``\\ s, sizes first, that run in any PyTorch model.

:class:`SignatureGraph` learns a graph for any convolution of PyTorch Geometric,
:class:`SKMDPAConv` is one with weighed edges and modulated nodes, and the rest are the parts of a
neural attentive circuit.
"""

from __future__ import annotations

from nacgraph.graph.kernel import SignatureKernel
from nacgraph.nn.attention import Attention, weighted_mean
from nacgraph.nn.circuit import Circuit
from nacgraph.nn.conditional import ConditionalGenerator
from nacgraph.nn.generator_base import BaseGenerator, register_generator
from nacgraph.nn.generators import InitialState, UnconditionalGenerator
from nacgraph.nn.messages import ModAttention
from nacgraph.nn.modfc import ModFC, ModFFN
from nacgraph.nn.propagators import (
    BasePropagator,
    GatedPropagator,
    Propagator,
    register_propagator,
)
from nacgraph.nn.read_in import BaseReadIn, ReadIn, register_read_in
from nacgraph.nn.read_out import ReadOut
from nacgraph.nn.sequence import LinearMemory, SelectiveMemory, WindowMLP
from nacgraph.nn.signature_graph import LearnedEdges, SignatureGraph
from nacgraph.nn.skmdpa import SKMDPA
from nacgraph.nn.skmdpa_conv import SKMDPAConv

__all__ = [
    "SKMDPA",
    "Attention",
    "BaseGenerator",
    "BasePropagator",
    "BaseReadIn",
    "Circuit",
    "ConditionalGenerator",
    "GatedPropagator",
    "InitialState",
    "LearnedEdges",
    "LinearMemory",
    "ModAttention",
    "ModFC",
    "ModFFN",
    "Propagator",
    "ReadIn",
    "ReadOut",
    "SKMDPAConv",
    "SelectiveMemory",
    "SignatureGraph",
    "SignatureKernel",
    "UnconditionalGenerator",
    "WindowMLP",
    "register_generator",
    "register_propagator",
    "register_read_in",
    "weighted_mean",
]
