"""Circuit generators: where a circuit's descriptors come from."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nacgraph.graph.design import CircuitDesign
from nacgraph.nn.generator_base import BaseGenerator, register_generator
from nacgraph.nn.init import linear, reset_all


def check_counts(processors: int, readouts: int) -> None:
    """Raise ValueError unless there is at least one of each."""
    for name, value in (("processors", processors), ("readouts", readouts)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")


class InitialState(nn.Module):
    r"""The state with which a module starts, a two-layer MLP of its code.

    .. math:: \theta^0_u = W_2\,\mathrm{GELU}(W_1 c_u + b_1) + b_2

    Args:
        code_dim: Width K of the code.
        dim: Width D of the state.
        generator: Source of the initial weights; PyTorch's own if left out.

    Shapes:
        codes (*, K) · output (*, D)

    Example:
        >>> InitialState(code_dim=4, dim=8)(torch.randn(5, 4)).shape
        torch.Size([5, 8])

    Source: Neural Attentive Circuits (NeurIPS 2022), the circuit generator.
    """

    def __init__(
        self, code_dim: int, dim: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.first = linear(code_dim, dim, generator=generator)
        self.second = linear(dim, dim, generator=generator)

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw new weights."""
        reset_all(self.first, self.second, generator=generator)

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

    Shapes:
        output: a design whose tensors are (modules, ·)

    Raises:
        ValueError: If there is no processor or read-out, or ``signatures`` has another shape.

    Example:
        >>> generate = UnconditionalGenerator(6, 2, signature_dim=4, code_dim=5, dim=8)
        >>> design = generate()
        >>> design.processor_signatures.shape, design.readout_states.shape
        (torch.Size([6, 4]), torch.Size([2, 8]))

    Source: Neural Attentive Circuits (NeurIPS 2022), the circuit generator, unconditional.
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

        def empty(*shape: int, learned: bool = True) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape), requires_grad=learned)

        self.processor_signatures = empty(processors, signature_dim, learned=not frozen)
        self.readout_signatures = empty(readouts, signature_dim, learned=not frozen)
        self.processor_codes = empty(processors, code_dim)
        self.readout_codes = empty(readouts, code_dim)
        self._draw_descriptors(generator)
        if signatures is not None:
            self.processor_signatures.data.copy_(signatures.detach())
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
        given = {"signatures": signatures, "frozen": config.wiring != "learned"}
        return cls(*cls.sizes(config), **given, generator=generator)

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw new descriptors and weights, also where signatures were given."""
        self._draw_descriptors(generator)
        reset_all(self.processor_state, self.readout_state, generator=generator)

    @torch.no_grad()
    def _draw_descriptors(self, generator: torch.Generator | None) -> None:
        # Only directions count, and an optimizer turns short vectors faster than long ones:
        # about unit length, as the signatures that come from a prior have.
        for signatures in (self.processor_signatures, self.readout_signatures):
            unit = signatures.shape[1] ** -0.5
            signatures.copy_(unit * torch.randn(signatures.shape, generator=generator))
        for codes in (self.processor_codes, self.readout_codes):
            codes.copy_(torch.randn(codes.shape, generator=generator))

    def extra_repr(self) -> str:
        (processors, signature), code = self.processor_signatures.shape, self.processor_codes.shape
        return (
            f"processors={processors}, readouts={len(self.readout_codes)}, "
            f"signature_dim={signature}, code_dim={code[1]}"
        )

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
