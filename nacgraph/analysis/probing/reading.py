"""What modules read: the attention of every read-in over tokens, summed up block by block."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nacgraph.nn.blocks import Gates, ReadIn
from nacgraph.ops.pointwise import gated_norm

BLOCK = 2**21  # attention weights that are in memory at a time


@dataclass(frozen=True)
class Call:
    """One call of a read-in, with what it was given; see :class:`nacgraph.nn.blocks.ReadIn`."""

    read_in: ReadIn
    states: Tensor
    codes: Tensor
    tokens: Tensor
    mask: Tensor | None
    gates: Gates | None


@contextmanager
def readings(model: nn.Module) -> Iterator[list[Call]]:
    """Collects every call of a :class:`ReadIn` of ``model`` while the context is open."""
    signature = inspect.signature(ReadIn.forward)
    found: list[Call] = []

    def note(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        bound = signature.bind(module, *arguments, **named)
        bound.apply_defaults()
        found.append(Call(*bound.arguments.values()))

    hooks = [
        module.register_forward_pre_hook(note, with_kwargs=True)
        for module in model.modules()
        if isinstance(module, ReadIn)
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def read_weights(call: Call, start: int = 0, stop: int | None = None) -> Tensor:
    r"""Attention weights of the modules ``start`` … ``stop - 1`` over the tokens of each sample.

    .. math:: a_{uj} = \mathrm{softmax}_j\big((m_u \odot W_k^\top q_u) \cdot x_j / \sqrt d\big)

    per head, over real tokens: the weights inside
    :func:`nacgraph.nn.skmdpa.folded_attention`, which itself never shows them.

    Shapes:
        output (B, H, stop - start, T); zero at padding, and everywhere if no token is real
    """
    read_in, tokens, mask = call.read_in, call.tokens, call.mask
    query_gate, key_gate = (call.gates or read_in.modulations(call.codes))[0][:2]
    states = call.states if call.states.dim() == 3 else call.states.unsqueeze(0)
    part = slice(start, stop)
    query_gate, key_gate = query_gate[..., part, :], key_gate[..., part, :]
    (gated,) = gated_norm(states[:, part], read_in.state_norm, [query_gate])
    query = read_in.query.project(gated).unflatten(-1, (read_in.heads, -1))
    width = query.shape[-1]
    key_weight = read_in.key.weight.view(read_in.heads, width, -1)
    folded = torch.einsum("buhc,hcd->bhud", query, key_weight) * key_gate.unsqueeze(-3)
    score = folded @ tokens.unsqueeze(1).transpose(-1, -2) * width**-0.5
    if mask is None:
        return score.softmax(-1)
    real = mask[:, None, None, :]
    # Not -inf: a sample without a real token would have a softmax of NaN.
    score = score.masked_fill(~real, torch.finfo(score.dtype).min)
    return score.softmax(-1) * real


class ReadingSums:
    """Sums over samples of what each module of each reading attends to.

    Every sample counts the same, however long it is; so does every head.

    Args:
        modules: U.
        kinds: Number of token kinds V, 0 where tokens have none.

    Attributes:
        attention: Attention mass on each kind, a list of (U, V), one a reading.
        entropy: Entropy of each head's attention, in nats, mean over heads; of (U,).
        relative: The same over log T; samples of a single token are left out.
        position: Mean place (j + 1/2)/T of what is attended to; of (U,).
        share: Share of each kind among the real tokens, (V,).
    """

    def __init__(self, modules: int, kinds: int) -> None:
        self.modules, self.kinds = modules, kinds
        self.attention: list[Tensor] = []
        self.entropy: list[Tensor] = []
        self.relative: list[Tensor] = []
        self.position: list[Tensor] = []
        self.share = torch.zeros(kinds, dtype=torch.float64)
        self.samples = self.longer = 0

    def add(self, calls: list[Call], kinds: Tensor | None) -> None:
        """Add the readings of one batch; ``kinds`` (B, T) is the kind of every token."""
        tokens, mask = calls[0].tokens, calls[0].mask
        if mask is None:
            mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        length = mask.sum(-1)
        some, longer = length > 0, length > 1
        self.samples += int(some.sum())
        self.longer += int(longer.sum())
        rank = mask.cumsum(-1) - 0.5  # places count real tokens only
        place = (rank / length.clamp_min(1).unsqueeze(-1)).to(tokens.dtype)
        per_log = torch.where(longer, 1 / length.clamp_min(2).double().log(), 0.0)
        one_hot = None
        if kinds is not None and self.kinds:
            one_hot = nn.functional.one_hot(kinds.masked_fill(~mask, 0), self.kinds)
            one_hot = one_hot.to(tokens.dtype) * mask.unsqueeze(-1)
            each = one_hot.double().sum(1) / length.clamp_min(1).unsqueeze(-1)
            self.share += each.sum(0).cpu()
        for number, call in enumerate(calls):
            if number == len(self.entropy):
                for sums, width in (
                    (self.attention, (self.kinds,)),
                    (self.entropy, ()),
                    (self.relative, ()),
                    (self.position, ()),
                ):
                    sums.append(torch.zeros(self.modules, *width, dtype=torch.float64))
            step = max(1, BLOCK // (call.read_in.heads * mask.numel()))
            for start in range(0, self.modules, step):
                part = slice(start, min(start + step, self.modules))
                weights = read_weights(call, part.start, part.stop)
                entropy = torch.special.entr(weights).sum(-1).mean(1).double()  # (B, u)
                weights = weights.mean(1)
                self.entropy[number][part] += entropy.sum(0).cpu()
                self.relative[number][part] += (per_log @ entropy).cpu()
                there = (weights @ place.unsqueeze(-1)).squeeze(-1)
                self.position[number][part] += there.double().sum(0).cpu()
                if one_hot is not None:
                    self.attention[number][part] += (weights @ one_hot).double().sum(0).cpu()
