"""Executions of SKMDPA, one name each, all equal to the reference ``scatter``."""

from __future__ import annotations

from torch import Tensor, nn

from nacgraph.attention import SKMDPA
from nacgraph.backends.dense import dense_attention
from nacgraph.kernel import SampledGraph

BACKENDS = ("auto", "scatter", "dense")

# Gathering E messages pays where few links exist: on a CPU, with 64 to 1,024 modules, it takes 0.2
# to 0.3 of dense attention's time at 2 % of links and 0.6 to 0.9 at 5 %, where its memory, which
# grows with batch x links, is no longer worth it (benchmarks/README.md). Not measured on any
# accelerator.
SCATTER_BELOW_DENSITY = 0.03


class Attention(nn.Module):
    """SKMDPA by the backend asked for; ``auto`` chooses by the density of the graph.

    Args:
        backend: One of :data:`BACKENDS`.

    Raises:
        ValueError: On an unknown backend.
    """

    def __init__(self, backend: str = "auto") -> None:
        super().__init__()
        if backend not in BACKENDS:
            raise ValueError(f"backend: wanted one of {', '.join(BACKENDS)}, got {backend!r}")
        self.backend = backend
        self.scatter = SKMDPA()

    def forward(self, query: Tensor, key: Tensor, value: Tensor, graph: SampledGraph) -> Tensor:
        backend = choose(graph) if self.backend == "auto" else self.backend
        execute = self.scatter if backend == "scatter" else dense_attention
        return execute(query, key, value, graph)


def choose(graph: SampledGraph) -> str:
    """The faster backend for a graph of this density."""
    if graph.complete:
        return "dense"
    return "scatter" if graph.density < SCATTER_BELOW_DENSITY else "dense"
