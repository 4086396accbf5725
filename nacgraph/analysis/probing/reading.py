"""What modules read: the attention of every read-in over tokens, summed up block by block."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nacgraph.nn.circuit import Circuit, CircuitOutput, PreparedCircuit
from nacgraph.nn.gates import Gates
from nacgraph.nn.read_in import BaseReadIn

BLOCK = 2**21  # attention weights that are in memory at a time


@dataclass(frozen=True)
class Reading:
    """One call of a read-in, with what it was given; see :class:`nacgraph.nn.read_in.ReadIn`."""

    read_in: BaseReadIn
    states: Tensor
    codes: Tensor
    tokens: Tensor
    mask: Tensor | None
    gates: Gates

    def weights(self, modules: slice = slice(None)) -> Tensor | None:
        """Attention of these modules over tokens, (B, H, u, T)."""
        given = self.states, self.codes, self.tokens, self.mask, self.gates
        return self.read_in.attention_weights(*given, modules)


def watched(
    circuit: Circuit, prepared: PreparedCircuit, tokens: Tensor, mask: Tensor | None
) -> tuple[CircuitOutput, list[Reading]]:
    """Run a circuit on tokens (B, T, D); its answer, and every reading that it made."""
    found: list[Reading] = []
    normed = circuit.norm_tokens(tokens)
    turns = {block: turn for turn, block in enumerate(circuit.read_ins)}

    def watch(step: int, block: nn.Module, states: Tensor) -> None:
        if isinstance(block, BaseReadIn):
            turn = turns[block]
            gates = prepared.read_gates[turn]
            found.append(Reading(block, states, prepared.codes, normed[turn], mask, gates))

    return circuit.run(prepared, normed, mask, watch=watch), found


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

    def add(self, calls: list[Reading], kinds: Tensor | None) -> None:
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
            heads = getattr(call.read_in, "heads", 1)
            step = max(1, BLOCK // (heads * mask.numel()))
            for start in range(0, self.modules, step):
                part = slice(start, min(start + step, self.modules))
                weights = call.weights(part)
                if weights is None:
                    raise ValueError(
                        f"read_in: expected one with attention_weights, got "
                        f"{type(call.read_in).__name__}, of which nothing can be shown; "
                        "measure without samples (--samples 0)"
                    )
                entropy = torch.special.entr(weights).sum(-1).mean(1).double()  # (B, u)
                weights = weights.mean(1)
                self.entropy[number][part] += entropy.sum(0).cpu()
                self.relative[number][part] += (per_log @ entropy).cpu()
                there = (weights @ place.unsqueeze(-1)).squeeze(-1)
                self.position[number][part] += there.double().sum(0).cpu()
                if one_hot is not None:
                    self.attention[number][part] += (weights @ one_hot).double().sum(0).cpu()
