"""SKMDPAConv: modulated attention along weighed edges, as a convolution of PyTorch Geometric."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nacgraph.nn.init import linear, reset_all
from nacgraph.nn.modfc import ModFC
from nacgraph.nn.skmdpa import EdgeAttention, check_edges
from nacgraph.utils.check import check_whole


class SKMDPAConv(EdgeAttention):
    r"""Multi-head attention along the edges of a graph, each edge with a weight K.

    .. math::
        y_i = W_o \Big[\sum_{j \in N(i)} \mathrm{softmax}_j\!\Big(
              \frac{q_i \cdot k_j}{\sqrt d} + \log K_{ij}\Big) v_j\Big]_{\text{heads}} + b,
        \qquad q_i = W_q x_i,\ k_j = W_k x_j,\ v_j = W_v x_j

    With ``code_channels`` all four matrices are :class:`~nacgraph.nn.ModFC`: the code of the
    receiver i modulates :math:`W_q` and :math:`W_o`, the code of the sender j modulates
    :math:`W_k` and :math:`W_v`. That is the message passing of a neural attentive circuit.
    The weights usually come from :class:`~nacgraph.nn.SignatureGraph`.

    No self-loops are added: a node that is to hear itself needs one. A node without senders gets
    the bias alone. As :math:`W_o` mixes the heads, ``out_channels`` is the width of the result,
    not that of a head.

    Args:
        in_channels: Width of x, or a pair (senders, receivers) for bipartite graphs.
        out_channels: Width of the result.
        heads: Number of heads H.
        code_channels: Width K of the codes; None for plain attention.
        head_channels: Width d of a head; ``out_channels // heads`` if left out.
        bias: Whether b exists.
        generator: Source of the initial weights; PyTorch's own if left out.

    Shapes:
        x (N, F) or (B, N, F), or a pair of these for senders and receivers · edge_index (2, E),
        a tensor or an ``EdgeIndex``, senders in row 0 · code (N, K) or (B, N, K), or a pair ·
        log_weight (E,) · output (N, out_channels) or (B, N, out_channels)

    Raises:
        ValueError: If a size is not positive, ``heads`` does not divide ``out_channels`` and no
            ``head_channels`` is given, or an input does not fit.

    Example:
        >>> conv = SKMDPAConv(8, 16, heads=4)
        >>> conv
        SKMDPAConv(8, 16, heads=4)
        >>> x = torch.randn(3, 8)
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> conv(x, edge_index).shape
        torch.Size([3, 16])
        >>> conv = SKMDPAConv(8, 16, heads=4, code_channels=5)
        >>> conv(x, edge_index, code=torch.randn(3, 5), log_weight=torch.zeros(3)).shape
        torch.Size([3, 16])

    Source: Neural Attentive Circuits (NeurIPS 2022), eq. 1 and 3.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        code_channels: int | None = None,
        head_channels: int | None = None,
        bias: bool = True,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        senders, receivers = _pair("in_channels", in_channels, int)
        least = 1 if code_channels is None else 2  # of one number a code can change nothing
        for width in (senders, receivers):
            check_whole(least, in_channels=width)
        check_whole(1, out_channels=out_channels, heads=heads)
        optional = {"code_channels": code_channels, "head_channels": head_channels}
        check_whole(1, **{name: n for name, n in optional.items() if n is not None})
        if head_channels is None:
            if out_channels % heads:
                raise ValueError(
                    f"heads: expected a divisor of out_channels {out_channels} where no "
                    f"head_channels are given, got {heads}"
                )
            head_channels = out_channels // heads
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.heads = heads
        self.code_channels = code_channels
        self.head_channels = head_channels
        inner = heads * head_channels

        def layer(inputs: int, outputs: int, bias: bool = False) -> nn.Module:
            if code_channels is None:
                return linear(inputs, outputs, bias, generator=generator)
            return ModFC(inputs, outputs, code_channels, bias, generator=generator)

        self.query = layer(receivers, inner)
        self.key = layer(senders, inner)
        self.value = layer(senders, inner)
        self.out_proj = layer(inner, out_channels, bias)

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw new weights."""
        reset_all(self.query, self.key, self.value, self.out_proj, generator=generator)

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor],
        edge_index: Tensor,
        code: Tensor | tuple[Tensor, Tensor] | None = None,
        log_weight: Tensor | None = None,
        return_attention_weights: bool | None = None,
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run the convolution.

        With ``return_attention_weights`` the answer is ``(output, (edge_index, alpha))``, alpha
        (E, H) or (B, E, H), which sums to one over the senders of each receiver.
        """
        senders, receivers = _pair("x", x, Tensor)
        self._check(senders, receivers)
        edge_index = check_edges(edge_index, senders.shape[-2], receivers.shape[-2], log_weight)
        theirs, own = self._codes(x, code)
        query = _project(self.query, receivers, own)
        key, value = (_project(layer, senders, theirs) for layer in (self.key, self.value))
        query, key, value = (y.unflatten(-1, (self.heads, -1)) for y in (query, key, value))
        message, alpha = self.attend(query, key, value, edge_index, log_weight)
        out = _project(self.out_proj, message.flatten(-2), own)
        return (out, (edge_index, alpha)) if return_attention_weights else out

    def _check(self, senders: Tensor, receivers: Tensor) -> None:
        widths = _pair("in_channels", self.in_channels, int)
        for one, width in zip((senders, receivers), widths, strict=True):
            if one.dim() not in (2, 3) or one.shape[-1] != width:
                raise ValueError(
                    f"x: expected shape (N, {width}) or (B, N, {width}), got {tuple(one.shape)}"
                )

    def _codes(
        self, x: Tensor | tuple[Tensor, Tensor], code: Tensor | tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """The codes of senders and receivers."""
        if code is None or self.code_channels is None:
            if (code is None) != (self.code_channels is None):
                wanted = "none" if self.code_channels is None else f"{self.code_channels} wide"
                raise ValueError(
                    f"code: expected {wanted}, since code_channels is {self.code_channels}, got "
                    + ("none" if code is None else "codes")
                )
            return None, None
        if isinstance(code, Tensor) != isinstance(x, Tensor):
            raise ValueError("code: expected a pair (senders, receivers) where x is one, only")
        return _pair("code", code, Tensor)

    def __repr__(self) -> str:
        codes = "" if self.code_channels is None else f", code_channels={self.code_channels}"
        return f"SKMDPAConv({self.in_channels}, {self.out_channels}, heads={self.heads}{codes})"


def _pair(name: str, value: Any, kind: type) -> tuple[Any, Any]:
    """What senders and receivers have, given once for both or as a pair."""
    if isinstance(value, kind):
        return value, value
    if isinstance(value, (tuple, list)) and [isinstance(v, kind) for v in value] == [True, True]:
        return value[0], value[1]
    what = "a tensor" if kind is Tensor else "a whole number"
    got = [type(v).__name__ for v in value] if isinstance(value, (tuple, list)) else value
    raise ValueError(f"{name}: expected {what} or a pair (senders, receivers), got {got!r}")


def _project(layer: nn.Module, x: Tensor, code: Tensor | None) -> Tensor:
    return layer(x) if code is None else layer(x, code)
