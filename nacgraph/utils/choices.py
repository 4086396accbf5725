"""Words that a configuration chooses among; here, where reading them needs no torch."""

from __future__ import annotations

import math

DEFAULT_BANDWIDTH = 1 / math.log(20)  # orthogonal signatures then link with probability 0.05

MODES = ("expected", "concrete", "hard", "threshold")  # see nacgraph.graph.kernel.SignatureKernel
BACKENDS = ("auto", "fused", "scatter", "dense")  # see nacgraph.nn.attention.Attention
WIRINGS = ("learned", "frozen", "complete")
STARTS = ("random", "prior")
CONDITIONS = ("auto", "none", "task", "inputs")
GRAPHS = ("shared", "per_sample")
REDRAWS = ("once", "each_round")  # see nacgraph.nn.circuit.Circuit
LOSSES = ("mse", "kl")  # see nacgraph.priors.matching.MatchedLoss
MATCHINGS = ("rows", "iterated", "graph")
