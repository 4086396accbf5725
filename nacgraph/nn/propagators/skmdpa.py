"""The paper's propagator: SKMDPA and a feed-forward block, both residual."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nacgraph.graph.forms import BiasGraph, Graph
from nacgraph.nn.gates import Gates
from nacgraph.nn.init import reset_all
from nacgraph.nn.messages import ModAttention
from nacgraph.nn.modfc import ModFFN, modulations
from nacgraph.nn.propagators.base import BasePropagator, register_propagator
from nacgraph.ops.pointwise import gated_norm


@register_propagator("skmdpa")
class Propagator(BasePropagator):
    r"""One round of messages among processors, then a ModFFN; both residual, pre-norm.

    .. math::
        h = x + \mathrm{SKMDPA}(\mathrm{LN}(x), c, G), \qquad y = \mathrm{ModFFN}(h, c)

    An isolated processor hears only itself; one LayerNorm serves senders and receivers.

    Args:
        dim: Width D of the states.
        code_dim: Width K of the codes.
        heads: Number of heads.
        head_dim: Width of a head.
        factor: Width factor of the ModFFN.
        backend: Execution of the attention.
        generator: Source of the initial weights; PyTorch's own if left out.

    Shapes:
        states (B, U, D) · codes (U, K) or (B, U, K) · output (B, U, D)

    Example:
        >>> propagator = Propagator(8, code_dim=4, heads=2, head_dim=4)
        >>> graph = SignatureKernel(mode="expected")(torch.randn(5, 3))
        >>> propagator(torch.randn(2, 5, 8), torch.randn(5, 4), graph).shape
        torch.Size([2, 5, 8])

    Source: Neural Attentive Circuits (NeurIPS 2022), section 2.2.
    """

    def __init__(
        self,
        dim: int,
        code_dim: int,
        heads: int,
        head_dim: int,
        *,
        factor: int = 4,
        backend: str = "auto",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.attention = ModAttention(
            dim, code_dim, heads, head_dim, backend=backend, generator=generator
        )
        self.ffn = ModFFN(dim, code_dim, factor=factor, generator=generator)

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw new weights."""
        reset_all(*self.children(), generator=generator)

    def modulations(self, codes: Tensor) -> Gates:
        """The gates of its attention (query, key, value, output) and of its ModFFN."""
        found = modulations(codes, *self.attention.layers, *self.ffn.layers)
        return found[:4], found[4:]

    def attend(
        self, states: Tensor, codes: Tensor, graph: Graph | BiasGraph, gates: Gates | None = None
    ) -> Tensor:
        """The attention with its residual, before the ModFFN."""
        *inward, outward = (gates or self.modulations(codes))[0]
        return states + self.attention(*gated_norm(states, self.norm, inward), graph, outward)

    def forward(
        self, states: Tensor, codes: Tensor, graph: Graph | BiasGraph, gates: Gates | None = None
    ) -> Tensor:
        gates = gates or self.modulations(codes)
        return self.ffn(self.attend(states, codes, graph, gates), codes, gates[1])
