"""The circuit design: what every module is before any input has been seen."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from nacgraph.graph.links import link_probabilities
from nacgraph.utils.check import check_probability

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, repr=False)
class CircuitDesign:
    """Descriptors of the U processors and the O read-outs of a circuit.

    A signature says whom a module talks to, a code what it computes, a state where it starts.
    Every tensor is (modules, width) when all samples share the design, or
    (B, modules, width) when it is conditional.

    Attributes:
        processor_signatures: (U, S) or (B, U, S).
        processor_codes: (U, K) or (B, U, K).
        processor_states: (U, D) or (B, U, D), θ⁰.
        readout_signatures: (O, S) or (B, O, S).
        readout_codes: (O, K) or (B, O, K).
        readout_states: (O, D) or (B, O, D), θ⁰.
        bandwidth: ε, which makes link probabilities of signatures; None where only the model
            that the design is made for knows it. ``NAC.design`` sets it.

    Raises:
        ValueError: If the descriptors do not fit one another.
    """

    processor_signatures: Tensor
    processor_codes: Tensor
    processor_states: Tensor
    readout_signatures: Tensor
    readout_codes: Tensor
    readout_states: Tensor
    bandwidth: float | None = None

    def __post_init__(self) -> None:
        leading = {
            "processor": self.processor_codes.shape[:-1],
            "readout": self.readout_codes.shape[:-1],
        }
        for name, descriptor in self.descriptors().items():
            role, kind = name.split("_")
            shape = descriptor.shape
            if shape[:-1] != leading[role]:
                raise ValueError(
                    f"{name}: expected leading axes {tuple(leading[role])} "
                    f"as {role}_codes has, got shape {tuple(shape)}"
                )
            other = getattr(self, f"processor_{kind}").shape[-1]
            if shape[-1] != other:
                raise ValueError(
                    f"{name}: expected width {other} as processor_{kind}, got {shape[-1]}"
                )
        if self.processor_codes.dim() not in (2, 3):
            raise ValueError(
                "processor_codes: expected (U, K) or (B, U, K), "
                f"got {tuple(self.processor_codes.shape)}"
            )

    def descriptors(self) -> dict[str, Tensor]:
        """The six tensors, by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if name != "bandwidth"}

    def __repr__(self) -> str:
        shapes = {name: tuple(t.shape) for name, t in self.descriptors().items()}
        sizes = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        return f"CircuitDesign({sizes}, bandwidth {self.bandwidth})"

    @property
    def conditional(self) -> bool:
        """Whether every sample has a design of its own."""
        return self.processor_codes.dim() == 3

    @property
    def num_processors(self) -> int:
        return self.processor_codes.shape[-2]

    @property
    def num_readouts(self) -> int:
        return self.readout_codes.shape[-2]

    def select(self, processors: Tensor) -> CircuitDesign:
        """The design of these processors only, in this order; read-outs all stay."""
        return replace(
            self,
            processor_signatures=self.processor_signatures[..., processors, :],
            processor_codes=self.processor_codes[..., processors, :],
            processor_states=self.processor_states[..., processors, :],
        )

    def to_data(self, bandwidth: float | None = None, min_probability: float = 0.5) -> Data:
        """The design as a PyG graph: processors first, then read-outs.

        Edges run from sender to receiver wherever P > ``min_probability``; their
        ``edge_attr`` (E, 1) is P. Node tensors: ``x`` (states), ``signature``, ``code``,
        ``role`` (0 processor, 1 read-out), ``degree`` (expected, itself left out).

        Args:
            bandwidth: In place of the design's own.
            min_probability: Links up to this probability are no edges.

        Raises:
            ValueError: If the design is conditional (take one sample with :meth:`sample`), or
                neither it nor the caller knows a bandwidth; if ``min_probability`` is none.

        Warns:
            UserWarning: If no link is probable enough, as in a model that has not learned yet.
        """
        check_probability(min_probability=min_probability)
        if self.conditional:
            raise ValueError(
                "design: expected one shared by all samples, got a conditional one; "
                "take one sample with design.sample(i)"
            )
        among, out = self.links(bandwidth)
        among = among.masked_fill(torch.eye(len(among), dtype=torch.bool, device=among.device), 0)
        everything = torch.cat([among, out]).detach()
        receiver, sender = (everything > min_probability).nonzero(as_tuple=True)
        if not len(sender):
            highest = float(everything.max())
            warnings.warn(
                f"the graph has no edges: no link has P > {min_probability:g}, the highest is "
                f"{highest:.2f}. Train the model, start its signatures from a prior "
                "(signature_start='prior'), or ask for less: "
                f"threshold={0.5 * highest:.1g} of a run, min_probability of a design",
                UserWarning,
                stacklevel=2,
            )
        return Data(
            x=torch.cat([self.processor_states, self.readout_states]).detach(),
            signature=torch.cat([self.processor_signatures, self.readout_signatures]).detach(),
            code=torch.cat([self.processor_codes, self.readout_codes]).detach(),
            role=torch.tensor([0] * self.num_processors + [1] * self.num_readouts).to(sender),
            degree=everything.sum(-1),
            edge_index=torch.stack([sender, receiver]),
            edge_attr=everything[receiver, sender].unsqueeze(-1),
        )

    def to_networkx(
        self, bandwidth: float | None = None, min_probability: float = 0.5
    ) -> nx.DiGraph:
        """The design as a networkx graph with ``role``, ``degree`` and edge ``probability``.

        Arguments, errors and the warning are those of :meth:`to_data`.
        """
        import networkx as nx

        data = self.to_data(bandwidth, min_probability)
        graph = nx.DiGraph()
        for node, (role, degree) in enumerate(
            zip(data.role.tolist(), data.degree.tolist(), strict=True)
        ):
            graph.add_node(node, role="readout" if role else "processor", degree=degree)
        pairs = data.edge_index.t().tolist()
        for (sender, receiver), p in zip(pairs, data.edge_attr[:, 0].tolist(), strict=True):
            graph.add_edge(sender, receiver, probability=p)
        return graph

    def sample(self, index: int) -> CircuitDesign:
        """The design of one sample of a conditional design."""
        if not self.conditional:
            return self
        one: dict[str, Any] = {name: t[index] for name, t in self.descriptors().items()}
        return replace(self, **one)

    def links(self, bandwidth: float | None = None) -> tuple[Tensor, Tensor]:
        """Link probabilities among processors (…, U, U) and to read-outs (…, O, U).

        Args:
            bandwidth: In place of the design's own.

        Raises:
            ValueError: If neither the design nor the caller knows one.
        """
        bandwidth = self.bandwidth if bandwidth is None else bandwidth
        if bandwidth is None:
            raise ValueError(
                "bandwidth: expected a number > 0, since this design was not made by a model that "
                "knows its own (NAC.design), got None"
            )
        return (
            link_probabilities(self.processor_signatures, self.processor_signatures, bandwidth),
            link_probabilities(self.readout_signatures, self.processor_signatures, bandwidth),
        )
