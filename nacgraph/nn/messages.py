"""Messages between modules: SKMDPA whose projections are modulated by codes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nacgraph.graph.forms import BiasGraph, Graph
from nacgraph.nn.attention import Attention
from nacgraph.nn.init import reset_all
from nacgraph.nn.modfc import ModFC, modulations
from nacgraph.ops.pointwise import gated


class ModAttention(nn.Module):
    r"""SKMDPA between modules: the sender's code makes key and value, the receiver's the query.

    .. math::
        y_i = W_o\Big(m^o_i \odot \sum_{j \in N(i)} a_{ij}\, W_v (m^v_j \odot x_j)\Big), \qquad
        a_{ij} = \mathrm{softmax}_j\Big(\frac{W_q (m^q_i \odot x_i) \cdot W_k (m^k_j \odot x_j)}
                 {\sqrt d} + \log K_{ij}\Big)

    per head, with the gates m of :class:`~nacgraph.nn.modfc.ModFC`. It takes states that are
    layer-normed and gated already, as :func:`nacgraph.ops.pointwise.gated_norm` makes them.

    Args:
        dim: Width D of the states.
        code_dim: Width K of the codes.
        heads: Number of heads H.
        head_dim: Width d of a head.
        backend: Execution, one of :data:`nacgraph.nn.attention.BACKENDS`.
        generator: Source of the initial weights; PyTorch's own if left out.

    Shapes:
        query (B, R, D) · key, value (B, N, D) · out_gate (R, H·d) or (B, R, H·d) ·
        output (B, R, D)

    Example:
        >>> attention = ModAttention(8, code_dim=4, heads=2, head_dim=4)
        >>> x, codes, graph = torch.randn(2, 5, 8), torch.randn(5, 4), torch.randn(5, 3)
        >>> gates = attention.modulations(codes, codes)
        >>> graph = SignatureKernel(mode="expected")(graph)
        >>> attention(*(x * gate for gate in gates[:3]), graph, gates[3]).shape
        torch.Size([2, 5, 8])

    Source: Neural Attentive Circuits (NeurIPS 2022), eq. 3.
    """

    def __init__(
        self,
        dim: int,
        code_dim: int,
        heads: int,
        head_dim: int,
        *,
        backend: str = "auto",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.query = ModFC(dim, inner, code_dim, bias=False, generator=generator)
        self.key = ModFC(dim, inner, code_dim, bias=False, generator=generator)
        self.value = ModFC(dim, inner, code_dim, bias=False, generator=generator)
        self.out_proj = ModFC(inner, dim, code_dim, generator=generator)
        self.attention = Attention(backend)

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw new weights."""
        reset_all(*self.layers, generator=generator)

    @property
    def layers(self) -> tuple[ModFC, ModFC, ModFC, ModFC]:
        """Its ModFCs, in the order of their gates."""
        return self.query, self.key, self.value, self.out_proj

    def modulations(self, receiver_codes: Tensor, sender_codes: Tensor) -> tuple[Tensor, ...]:
        """The gates of query, key, value and output, where receivers are not the senders."""
        query, out = modulations(receiver_codes, self.query, self.out_proj)
        key, value = modulations(sender_codes, self.key, self.value)
        return query, key, value, out

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        graph: Graph | BiasGraph,
        out_gate: Tensor,
    ) -> Tensor:
        query, key, value = (
            layer.project(x).unflatten(-1, (self.heads, -1))
            for layer, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        message = self.attention(query, key, value, graph)
        return self.out_proj.project(gated(message.flatten(-2), out_gate))
