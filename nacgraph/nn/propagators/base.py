"""What a circuit asks of a propagator, and the registry in which they are found by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from nacgraph.nn.gates import Gates
from nacgraph.utils.registry import Registry


class BasePropagator(nn.Module):
    """One round of messages among modules; subclasses compute ``forward``.

    ``forward(states, codes, graph, gates)`` gives new states (B, U, D) from states (B, U, D), the
    codes (U, K) or (B, U, K), the round's graph and the gates that :meth:`modulations` made of the
    codes. A graph is one of :mod:`nacgraph.graph.forms`: any of them goes to
    :class:`nacgraph.nn.attention.Attention` (``graph.edges()`` gives an ``edge_index`` in PyG's
    order and log weights, where the circuit is neither compiled nor exported).

    Renumbering modules must renumber the result and do nothing else, samples must not see one
    another, and a module without senders must get finite numbers:
    :func:`nacgraph.testing.assert_propagator` checks all of it.

    A subclass that is registered is built by :meth:`from_config`; the default calls
    ``cls(dim, code_dim, heads, head_dim, factor=…, backend=…, generator=…)``.
    """

    @classmethod
    def from_config(cls, config: Any, *, generator: torch.Generator | None = None) -> Self:
        """Built with the sizes of a :class:`nacgraph.NACConfig`."""
        c = config
        more = {"factor": c.ffn_factor, "backend": c.backend}
        return cls(c.width, c.code_dim, c.heads, c.head_dim, **more, generator=generator)

    def modulations(self, codes: Tensor) -> Gates:
        """What depends on codes alone, a nesting of tensors (…, U, ·); nothing by default."""
        return ()


PROPAGATORS: Registry[BasePropagator] = Registry("propagator", "nacgraph.propagators")
register_propagator = PROPAGATORS.register
