"""Layers that stand alone: plain ``nn.Module``\\ s, sizes first, that run in any PyTorch model.

:class:`SignatureGraph` learns a graph for any convolution of PyTorch Geometric,
:class:`SKMDPAConv` is one with weighed edges and modulated nodes, and the rest are the parts of a
neural attentive circuit.
"""

from __future__ import annotations

from nacgraph.graph.kernel import SignatureKernel
from nacgraph.nn.attention import Attention
from nacgraph.nn.blocks import ModAttention, Propagator, ReadIn, ReadOut
from nacgraph.nn.circuit import Circuit
from nacgraph.nn.conditional import ConditionalGenerator
from nacgraph.nn.generators import InitialState, UnconditionalGenerator
from nacgraph.nn.modfc import ModFC, ModFFN
from nacgraph.nn.sequence import LinearMemory, SelectiveMemory, WindowMLP
from nacgraph.nn.signature_graph import LearnedEdges, SignatureGraph
from nacgraph.nn.skmdpa import SKMDPA
from nacgraph.nn.skmdpa_conv import SKMDPAConv

__all__ = [
    "SKMDPA",
    "Attention",
    "Circuit",
    "ConditionalGenerator",
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
]
