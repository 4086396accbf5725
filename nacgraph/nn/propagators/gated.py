"""A propagator that updates states through the gates of a GRU instead of adding to them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nacgraph.graph.forms import BiasGraph, Graph
from nacgraph.nn.gates import Gates
from nacgraph.nn.init import linear, reset_all
from nacgraph.nn.messages import ModAttention
from nacgraph.nn.modfc import ModFC, ModFFN, modulations
from nacgraph.nn.propagators.base import BasePropagator, register_propagator
from nacgraph.ops.pointwise import gated, gated_norm

KEEP = 2.0  # where the update gate starts: about nine tenths of a state stay


@register_propagator("gated")
class GatedPropagator(BasePropagator):
    r"""Messages enter through a gated recurrent unit; then a ModFFN.

    .. math::
        a &= \mathrm{SKMDPA}(\mathrm{LN}(x), c, G) \\
        (r, z) &= \sigma\big(\mathrm{ModFC}(a, c) + V_{rz}\,\mathrm{LN}(x) - (0, 2)\big) \\
        h &= \tanh\big(W_h a + V_h (r \odot \mathrm{LN}(x))\big), \qquad
        y = \mathrm{ModFFN}\big((1 - z) \odot x + z \odot h,\, c\big)

    The module's code decides what opens its gates. With z near 0 a state stays, however many
    rounds there are, so weights that are shared over rounds (``unique_layers=1``) do not drive
    states away.

    Args and Shapes as of :class:`~nacgraph.nn.propagators.skmdpa.Propagator`.

    Example:
        >>> propagator = GatedPropagator(8, code_dim=4, heads=2, head_dim=4)
        >>> graph = SignatureKernel(mode="expected")(torch.randn(5, 3))
        >>> propagator(torch.randn(2, 5, 8), torch.randn(5, 4), graph).shape
        torch.Size([2, 5, 8])

    Source: Gated Graph Sequence Neural Networks (ICLR 2016), the update; Stabilizing Transformers
    for Reinforcement Learning (ICML 2020), the bias that starts near the identity.
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
        self.open = ModFC(dim, 2 * dim, code_dim, generator=generator)
        self.state_open = linear(dim, 2 * dim, bias=False, generator=generator)
        self.candidate = linear(dim, dim, generator=generator)
        self.state_candidate = linear(dim, dim, bias=False, generator=generator)
        self.ffn = ModFFN(dim, code_dim, factor=factor, generator=generator)
        self._shut()

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw new weights; the update gate starts nearly shut."""
        reset_all(*self.children(), generator=generator)
        self._shut()

    @torch.no_grad()
    def _shut(self) -> None:
        self.open.bias[self.open.bias.shape[0] // 2 :] = -KEEP  # type: ignore[index, union-attr]

    def modulations(self, codes: Tensor) -> Gates:
        """The gates of its attention, of the layer that opens the unit, and of its ModFFN."""
        found = modulations(codes, *self.attention.layers, self.open, *self.ffn.layers)
        return found[:4], found[4:5], found[5:]

    def forward(
        self, states: Tensor, codes: Tensor, graph: Graph | BiasGraph, gates: Gates | None = None
    ) -> Tensor:
        (*inward, outward), (opening,), ffn = gates or self.modulations(codes)
        message = self.attention(*gated_norm(states, self.norm, inward), graph, outward)
        normed = self.norm(states)
        opened = self.open.project(gated(message, opening)) + self.state_open(normed)
        reset, update = torch.sigmoid(opened).chunk(2, dim=-1)
        new = torch.tanh(self.candidate(message) + self.state_candidate(reset * normed))
        # Not torch.lerp: under autocast the three have different types.
        return self.ffn(states + update * (new - states), codes, ffn)
