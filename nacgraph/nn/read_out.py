"""The read-out: modules that gather from processors and vote on the answer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacgraph.graph.forms import BiasGraph, Graph
from nacgraph.nn.gates import Gates
from nacgraph.nn.init import linear, reset_all
from nacgraph.nn.messages import ModAttention
from nacgraph.nn.modfc import ModFFN, modulations
from nacgraph.ops.pointwise import gated_norm


class ReadOut(nn.Module):
    r"""Read-outs gather from processors and vote by confidence.

    .. math:: \mathrm{logits} = \sum_o \mathrm{softmax}_o(\mathrm{conf}(\theta_o))\,
              \mathrm{head}(\theta_o)

    No residual stands around the attention; one does around the ModFFN.

    Args:
        dim: Width D of the states.
        code_dim: Width K of the codes.
        heads: Number of heads.
        head_dim: Width of a head.
        num_classes: Number of classes C.
        factor: Width factor of the ModFFN.
        backend: Execution of the attention.
        generator: Source of the initial weights; PyTorch's own if left out.

    Shapes:
        states (B, U, D), of the processors · readout_states (O, D) or (B, O, D) · output: logits
        (B, C), confidence (B, O) summing to one, read-out states (B, O, D)

    Example:
        >>> read_out = ReadOut(8, code_dim=4, heads=2, head_dim=4, num_classes=3)
        >>> codes, signatures = torch.randn(7, 4), torch.randn(7, 5)  # 5 processors, 2 read-outs
        >>> graph = SignatureKernel(mode="expected")(signatures[5:], signatures[:5])
        >>> gates = read_out.modulations(codes[5:], codes[:5])
        >>> logits, confidence, _ = read_out(torch.randn(2, 5, 8), torch.randn(2, 8), graph, gates)
        >>> logits.shape, confidence.shape
        (torch.Size([2, 3]), torch.Size([2, 2]))

    Source: Neural Attentive Circuits (NeurIPS 2022), section 2.2.
    """

    def __init__(
        self,
        dim: int,
        code_dim: int,
        heads: int,
        head_dim: int,
        num_classes: int,
        *,
        factor: int = 4,
        backend: str = "auto",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.processor_norm = nn.LayerNorm(dim)
        self.readout_norm = nn.LayerNorm(dim)
        self.attention = ModAttention(
            dim, code_dim, heads, head_dim, backend=backend, generator=generator
        )
        self.ffn = ModFFN(dim, code_dim, factor=factor, generator=generator)
        self.confidence = linear(dim, 1, generator=generator)
        self.head = linear(dim, num_classes, generator=generator)

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw new weights."""
        reset_all(*self.children(), generator=generator)

    def modulations(self, readout_codes: Tensor, processor_codes: Tensor) -> Gates:
        """Gates of the processors (key, value), of the read-outs (query, output) and their FFN."""
        query, key, value, out = self.attention.modulations(readout_codes, processor_codes)
        return (key, value), (query, out), modulations(readout_codes, *self.ffn.layers)

    def forward(
        self,
        states: Tensor,
        readout_states: Tensor,
        graph: Graph | BiasGraph,
        gates: Gates,
    ) -> tuple[Tensor, Tensor, Tensor]:
        (key_gate, value_gate), (query_gate, out_gate), ffn = gates
        (query,) = gated_norm(readout_states, self.readout_norm, [query_gate])
        key, value = gated_norm(states, self.processor_norm, [key_gate, value_gate])
        # Not len(): it would fix the batch size of an export.
        query = query.expand(states.shape[0], -1, -1)
        out = self.ffn(self.attention(query, key, value, graph, out_gate), None, ffn)
        confidence = F.softmax(self.confidence(out).squeeze(-1), dim=-1)
        return (confidence.unsqueeze(-1) * self.head(out)).sum(-2), confidence, out
