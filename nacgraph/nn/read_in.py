"""Read-ins: how modules read the tokens of a sample."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from nacgraph.nn.attention import folded_attention
from nacgraph.nn.gates import Gates
from nacgraph.nn.init import reset_all
from nacgraph.nn.modfc import ModFC, ModFFN, modulations
from nacgraph.ops.pointwise import gated, gated_norm
from nacgraph.utils.registry import Registry


class BaseReadIn(nn.Module):
    """What a circuit asks of a read-in; subclasses compute ``forward``.

    ``forward(states, codes, tokens, mask, gates)`` gives new states (B, U, D) from states (U, D) or
    (B, U, D), the codes (U, K) or (B, U, K), tokens (B, T, token_dim) as :meth:`norm_tokens` left
    them, their mask (B, T) or None, and the gates that :meth:`modulations` made of the codes. No
    module may see another's state, and a module's new state may depend on nothing but what was
    given of it: circuits are relabelled and pruned. :func:`nacgraph.testing.assert_read_in` checks.

    A subclass that is registered is built by :meth:`from_config`; the default calls
    ``cls(dim, token_dim, code_dim, heads, head_dim, factor=…, generator=…)``.
    """

    @classmethod
    def from_config(cls, config: Any, *, generator: torch.Generator | None = None) -> Self:
        """Built with the sizes of a :class:`nacgraph.NACConfig`."""
        c = config
        sizes = c.width, c.width, c.code_dim, c.read_heads, c.read_head_dim
        return cls(*sizes, factor=c.ffn_factor, generator=generator)

    def norm_tokens(self, tokens: Tensor) -> Tensor:
        """What all readings of the same tokens share, made once."""
        return tokens

    def modulations(self, codes: Tensor) -> Gates:
        """What depends on codes alone, a nesting of tensors (…, U, ·); nothing by default."""
        return ()

    def attention_weights(
        self,
        states: Tensor,
        codes: Tensor,
        tokens: Tensor,
        mask: Tensor | None,
        gates: Gates,
        modules: slice = slice(None),
    ) -> Tensor | None:
        """Attention of these modules over tokens (B, H, u, T); None where there is none to show."""
        return None


READ_INS: Registry[BaseReadIn] = Registry("read_in", "nacgraph.read_ins")
register_read_in = READ_INS.register


@register_read_in("attention")
class ReadIn(BaseReadIn):
    """Cross-attention from modules to tokens, then a ModFFN; both residual, pre-norm.

    Query, key and value projections are ModFCs conditioned on the module's code, in the folded
    form of :func:`nacgraph.nn.attention.folded_attention`.

    Args:
        dim: Width D of the states.
        token_dim: Width of the tokens.
        code_dim: Width K of the codes.
        heads: Number of heads H; cost grows with it, since each folded query is token_dim wide.
        head_dim: Width of a head.
        factor: Width factor of the ModFFN.
        generator: Source of the initial weights; PyTorch's own if left out.

    Shapes:
        states (U, D) or (B, U, D) · codes (U, K) or (B, U, K) · tokens (B, T, token_dim), from
        :meth:`norm_tokens` · mask (B, T) · output (B, U, D)

    Example:
        >>> read_in = ReadIn(16, 16, code_dim=8, heads=2, head_dim=8)
        >>> tokens = read_in.norm_tokens(torch.randn(2, 7, 16))
        >>> read_in(torch.randn(5, 16), torch.randn(5, 8), tokens).shape
        torch.Size([2, 5, 16])

    Source: Neural Attentive Circuits (NeurIPS 2022), section 2.2; the folded form is SPEC 4's.
    """

    def __init__(
        self,
        dim: int,
        token_dim: int,
        code_dim: int,
        heads: int,
        head_dim: int,
        *,
        factor: int = 4,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.token_norm = nn.LayerNorm(token_dim)
        self.state_norm = nn.LayerNorm(dim)
        self.query = ModFC(dim, inner, code_dim, bias=False, generator=generator)
        self.key = ModFC(token_dim, inner, code_dim, bias=False, generator=generator)
        self.value = ModFC(token_dim, inner, code_dim, bias=False, generator=generator)
        self.out_proj = ModFC(inner, dim, code_dim, generator=generator)
        self.ffn = ModFFN(dim, code_dim, factor=factor, generator=generator)

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw new weights."""
        reset_all(*self.children(), generator=generator)

    def norm_tokens(self, tokens: Tensor) -> Tensor:
        """Layer-normed tokens."""
        return self.token_norm(tokens)

    def modulations(self, codes: Tensor) -> Gates:
        """The gates of its attention (query, key, value, output) and of its ModFFN."""
        layers = self.query, self.key, self.value, self.out_proj, *self.ffn.layers
        found = modulations(codes, *layers)
        return found[:4], found[4:]

    def attend(
        self,
        states: Tensor,
        codes: Tensor,
        tokens: Tensor,
        mask: Tensor | None,
        gates: Gates | None = None,
    ) -> Tensor:
        """The attention with its residual, before the ModFFN."""
        query_gate, key_gate, value_gate, out_gate = (gates or self.modulations(codes))[0]
        if states.dim() == 2:  # shared by the batch: queries are made once
            states = states.unsqueeze(0)
        (gated_states,) = gated_norm(states, self.state_norm, [query_gate])
        query = self.query.project(gated_states).unflatten(-1, (self.heads, -1))
        read = folded_attention(
            query, tokens, mask, self.key.weight, key_gate, self.value.weight, value_gate
        )
        return states + self.out_proj.project(gated(read, out_gate))

    def forward(
        self,
        states: Tensor,
        codes: Tensor,
        tokens: Tensor,
        mask: Tensor | None = None,
        gates: Gates | None = None,
    ) -> Tensor:
        gates = gates or self.modulations(codes)
        return self.ffn(self.attend(states, codes, tokens, mask, gates), codes, gates[1])

    def attention_weights(
        self,
        states: Tensor,
        codes: Tensor,
        tokens: Tensor,
        mask: Tensor | None,
        gates: Gates | None = None,
        modules: slice = slice(None),
    ) -> Tensor:
        r"""Attention weights of some modules over the tokens of each sample.

        .. math:: a_{uj} = \mathrm{softmax}_j\big((m_u \odot W_k^\top q_u) \cdot x_j / \sqrt d\big)

        per head, over real tokens: the weights inside
        :func:`nacgraph.nn.attention.folded_attention`, which itself never shows them.

        Shapes:
            output (B, H, modules, T); zero at padding, and everywhere if no token is real
        """
        query_gate, key_gate = (gates or self.modulations(codes))[0][:2]
        states = states if states.dim() == 3 else states.unsqueeze(0)
        query_gate, key_gate = query_gate[..., modules, :], key_gate[..., modules, :]
        (gated_states,) = gated_norm(states[:, modules], self.state_norm, [query_gate])
        query = self.query.project(gated_states).unflatten(-1, (self.heads, -1))
        width = query.shape[-1]
        key_weight = self.key.weight.view(self.heads, width, -1)
        folded = torch.einsum("buhc,hcd->bhud", query, key_weight) * key_gate.unsqueeze(-3)
        score = folded @ tokens.unsqueeze(1).transpose(-1, -2) * width**-0.5
        if mask is None:
            return score.softmax(-1)
        real = mask[:, None, None, :]
        # Not -inf: a sample without a real token would have a softmax of NaN.
        score = score.masked_fill(~real, torch.finfo(score.dtype).min)
        return score.softmax(-1) * real
