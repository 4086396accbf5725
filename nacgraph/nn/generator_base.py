"""What a circuit asks of a circuit generator, and the registry in which they are found by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from nacgraph.graph.design import CircuitDesign
from nacgraph.utils.registry import Registry


class BaseGenerator(nn.Module, ABC):
    """Makes the design of a circuit; subclasses compute ``forward`` and ``select``.

    ``forward(tokens, mask)`` gives a :class:`~nacgraph.graph.design.CircuitDesign`: one for all
    samples, with tensors (modules, ·), which looks at no token; or one for each, with tensors
    (B, modules, ·), of which none may look at another sample.
    :func:`nacgraph.testing.assert_generator` checks.

    A subclass that is registered is built by :meth:`from_config`; the default calls
    ``cls(processors, readouts, signature_dim, code_dim, dim, generator=…)``.
    """

    @classmethod
    def from_config(
        cls,
        config: Any,
        *,
        signatures: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Self:
        """Built with the :meth:`sizes` of a :class:`nacgraph.NACConfig`.

        Args:
            config: The configuration.
            signatures: Start of the processor signatures (U, S), where one is given.
            generator: Source of the initial weights.
        """
        if signatures is not None or config.wiring == "frozen":
            # Nothing that was asked for is left out in silence: whoever can do it overrides this.
            raise ValueError(
                f"generator: expected one that takes signatures to start from or to freeze, got "
                f"{cls.__name__}; use signature_start random and wiring learned"
            )
        return cls(*cls.sizes(config), generator=generator)

    @staticmethod
    def sizes(config: Any) -> tuple[int, int, int, int, int]:
        """Processors, read-outs, and the widths of signatures, codes and states."""
        c = config
        return c.modules, c.readouts, c.signature_dim, c.code_dim, c.width

    @abstractmethod
    def forward(self, tokens: Any = None, mask: Tensor | None = None) -> CircuitDesign:
        """The design of these samples."""

    @abstractmethod
    def select(self, processors: Tensor) -> BaseGenerator:
        """A copy that gives these processors only, in this order; read-outs all stay."""


GENERATORS: Registry[BaseGenerator] = Registry("generator", "nacgraph.generators")
register_generator = GENERATORS.register
