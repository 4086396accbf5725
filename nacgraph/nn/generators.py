"""Circuit generators: where a circuit's descriptors come from."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacgraph.graph.design import CircuitDesign
from nacgraph.nn.generator_base import BaseGenerator, register_generator
from nacgraph.nn.init import linear


def check_counts(processors: int, readouts: int) -> None:
    """Raise ValueError unless there is at least one of each."""
    for name, value in (("processors", processors), ("readouts", readouts)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")


class InitialState(nn.Module):
    """θ⁰, a two-layer MLP of the code: (*, K) → (*, D)."""

    def __init__(
        self, code_dim: int, dim: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.first = linear(code_dim, dim, generator=generator)
        self.second = linear(dim, dim, generator=generator)

    def forward(self, codes: Tensor) -> Tensor:
        return self.second(F.gelu(self.first(codes)))


@register_generator("unconditional")
class UnconditionalGenerator(BaseGenerator):
    """Signatures and codes as parameters; one design shared by all samples.

    Args:
        processors: Number U of processors.
        readouts: Number O of read-outs.
        signature_dim: Width S.
        code_dim: Width K.
        dim: Width D of the initial states.
        signatures: Start of the processor signatures (U, S), e.g. from
            :func:`nacgraph.priors.reachable.best_signatures`; random where left out.
        frozen: Signatures do not learn (the ablation "sparse graph, not learnable").
        generator: Source of the initial descriptors and weights; PyTorch's own if left out.

    Raises:
        ValueError: If there is no processor or read-out, or ``signatures`` has another shape.
    """

    def __init__(
        self,
        processors: int,
        readouts: int,
        signature_dim: int,
        code_dim: int,
        dim: int,
        signatures: Tensor | None = None,
        frozen: bool = False,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_counts(processors, readouts)
        if signatures is not None and tuple(signatures.shape) != (processors, signature_dim):
            raise ValueError(
                f"signatures: expected shape {(processors, signature_dim)}, "
                f"got {tuple(signatures.shape)}"
            )

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        # Only directions count, and an optimizer turns short vectors faster than long ones:
        # about unit length, as the signatures that come from a prior have.
        unit = signature_dim**-0.5
        start = unit * normal(processors, signature_dim)
        if signatures is not None:
            start = signatures.detach().to(start)
        self.processor_signatures = nn.Parameter(start, requires_grad=not frozen)
        self.readout_signatures = nn.Parameter(
            unit * normal(readouts, signature_dim), requires_grad=not frozen
        )
        self.processor_codes = nn.Parameter(normal(processors, code_dim))
        self.readout_codes = nn.Parameter(normal(readouts, code_dim))
        self.processor_state = InitialState(code_dim, dim, generator=generator)
        self.readout_state = InitialState(code_dim, dim, generator=generator)

    @classmethod
    def from_config(
        cls,
        config: Any,
        *,
        signatures: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> UnconditionalGenerator:
        c = config
        sizes = c.modules, c.readouts, c.signature_dim, c.code_dim, c.width
        frozen = c.wiring != "learned"
        return cls(*sizes, signatures=signatures, frozen=frozen, generator=generator)

    def select(self, processors: Tensor) -> UnconditionalGenerator:
        """A copy that holds these processors only, in this order; read-outs all stay."""
        kept = copy.deepcopy(self)
        for name in ("processor_signatures", "processor_codes"):
            whole = getattr(self, name)
            part = whole.detach()[processors.to(whole.device)].clone()
            setattr(kept, name, nn.Parameter(part, requires_grad=whole.requires_grad))
        return kept

    def forward(self, tokens: Tensor | None = None, mask: Tensor | None = None) -> CircuitDesign:
        """The design; tokens are taken, as every generator does, and not looked at."""
        return CircuitDesign(
            processor_signatures=self.processor_signatures,
            processor_codes=self.processor_codes,
            processor_states=self.processor_state(self.processor_codes),
            readout_signatures=self.readout_signatures,
            readout_codes=self.readout_codes,
            readout_states=self.readout_state(self.readout_codes),
        )
