"""NAC, the whole model: tokenizer, generator, circuit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nacgraph.graph.design import CircuitDesign
from nacgraph.graph.kernel import SAMPLED, SignatureKernel
from nacgraph.models.config import NACConfig as NACConfig
from nacgraph.nn.circuit import Circuit, CircuitOutput, PreparedCircuit
from nacgraph.nn.generator_base import GENERATORS, BaseGenerator
from nacgraph.nn.modfc import ModFC
from nacgraph.nn.propagators import PROPAGATORS, BasePropagator
from nacgraph.nn.read_in import READ_INS, BaseReadIn
from nacgraph.nn.read_out import ReadOut
from nacgraph.priors.reachable import best_signatures


class NAC(nn.Module):
    """A neural attentive circuit for classification.

    Args:
        config: Sizes and choices.
        tokenizer: Turns a batch into tokens (B, T, width) and a mask (B, T).
        num_classes: Number of classes C.
        target: Link probabilities (U, U) of a prior, needed by ``signature_start="prior"``.
        seed: One seed, one model; global randomness plays no part.
        conditioner: Turns a batch into conditioning tokens (B, N, width) and a mask (B, N); needed
            by ``condition="task"``, which "auto" is where there is one.

    Attributes:
        classes: Names of the classes, or None; only saved and shown.

    Raises:
        ValueError: If ``signature_start`` is "prior" and no target is given, or ``condition`` is
            "task" and no conditioner.
    """

    classes: Sequence[str] | None = None

    def __init__(
        self,
        config: NACConfig,
        tokenizer: nn.Module,
        num_classes: int,
        target: Tensor | None = None,
        seed: int = 0,
        conditioner: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if config.condition == "auto":
            config = replace(config, condition="none" if conditioner is None else "task")
        self.config = config
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        start = None
        if config.signature_start == "prior":
            if target is None:
                raise ValueError(
                    "target: expected link probabilities, since signature_start is 'prior', got "
                    "None"
                )
            # The closed form alone can be far off where the width is below the modules: cutting
            # the spectrum shortens rows, and normalising them brings all closer together.
            start = best_signatures(target, config.bandwidth, config.signature_dim).signatures
        self.tokenizer = tokenizer
        self.conditioner = conditioner if config.condition == "task" else None
        if config.condition == "task" and conditioner is None:
            raise ValueError("conditioner: expected a module, since condition is 'task', got None")
        self.generator = parts_of(config).generator.from_config(
            config, signatures=start, generator=generator
        )
        self.circuit = build_circuit(config, num_classes, generator)
        if not config.modulation:
            for layer in self.modules():
                if isinstance(layer, ModFC):
                    nn.init.zeros_(layer.alpha)
                    # With α = 0 nothing reaches W_c either: neither counts as a parameter.
                    layer.alpha.requires_grad_(False)
                    layer.code_weight.requires_grad_(False)

    def forward(
        self,
        batch: Any,
        generator: torch.Generator | None = None,
        circuit: PreparedCircuit | None = None,
    ) -> CircuitOutput:
        """Answer a batch.

        Args:
            batch: What the tokenizer takes.
            generator: Source of the edge noise. Left out, it is PyTorch's own while training, and
                while evaluating a fixed one, so that the same batch gets the same answer.
            circuit: From :meth:`prepare`, so that gates and graphs are not made anew.
        """
        mode = self.config.mode if self.training else self.config.eval_mode
        if generator is None and not self.training and mode in SAMPLED:
            generator = torch.Generator().manual_seed(self.seed)
        tokens, mask = self.tokenizer(batch)
        if circuit is not None:
            return self.circuit(tokens, circuit, mask)
        design = self.design(batch, tokens, mask)
        return self.circuit(tokens, design, mask, generator, mode)

    def prepare(self) -> PreparedCircuit | None:
        """The circuit of all samples as evaluation runs it, for many calls ``model(batch,
        circuit=…)``; None where every batch has another, since samples have designs of their own
        or noise is drawn."""
        if self.config.condition != "none" or self.config.eval_mode in SAMPLED:
            return None
        return self.circuit.prepare(self.design(), self.config.eval_mode)

    def design(
        self, batch: Any = None, tokens: Tensor | None = None, mask: Tensor | None = None
    ) -> CircuitDesign:
        """The design of these samples; without a batch, the one that all samples share.

        Args:
            batch: What the tokenizer got.
            tokens: What it gave, (B, T, width).
            mask: The mask of these tokens (B, T).

        Raises:
            ValueError: If every sample has its own design and no batch is given.
        """
        condition, bandwidth = self.config.condition, self.circuit.kernel.bandwidth
        if condition == "none":
            return replace(self.generator(tokens, mask), bandwidth=bandwidth)
        if batch is None or tokens is None:
            raise ValueError(
                "design: expected a circuit that all samples share, got a conditional one, whose "
                f"design is made from each sample (condition={condition!r}); see nacgraph embed"
            )
        if self.conditioner is not None:
            tokens, mask = self.conditioner(batch)
        return replace(self.generator(tokens, mask), bandwidth=bandwidth)

    def num_parameters(self) -> int:
        """Parameters that learn."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``config.json``, for :meth:`from_pretrained`.

        Raises:
            CheckpointError: If the folder cannot be written.
        """
        from nacgraph.models.pretrained import save_pretrained

        save_pretrained(self, Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path, tokenizer: nn.Module | None = None) -> NAC:
        """The model of a folder of :meth:`save_pretrained`, in evaluation mode; runs no code of it.

        Raises:
            CheckpointError: If the folder is damaged, or the weights are not those of its model.
            ValueError: If the tokenizer is of no class that nacgraph knows and none is given.
        """
        from nacgraph.models.pretrained import from_pretrained

        return from_pretrained(Path(folder), tokenizer)

    @classmethod
    def from_run(cls, folder: str | Path) -> NAC:
        """The model of a run folder: best weights, evaluation mode.

        Raises:
            ConfigError: If this is no run folder.
            CheckpointError: If it holds no valid checkpoint.
            ValueError: If it has no circuit, or its task cannot be made, as without its plugin.
        """
        from nacgraph.training.run import load_circuit

        return load_circuit(Path(folder)).circuit


class Parts(NamedTuple):
    """The classes that a configuration names."""

    generator: type[BaseGenerator]
    read_in: type[BaseReadIn]
    propagator: type[BasePropagator]


def parts_of(config: NACConfig) -> Parts:
    """The classes of a circuit's parts.

    Raises:
        ValueError: On an unknown name; it lists the choices and the nearest.
    """
    name = config.generator
    if name == "auto":
        name = "unconditional" if config.condition == "none" else "conditional"
    return Parts(
        GENERATORS.get(name), READ_INS.get(config.read_in), PROPAGATORS.get(config.propagator)
    )


def build_circuit(config: NACConfig, num_classes: int, generator: torch.Generator) -> Circuit:
    """The executor that a configuration describes."""
    c = config
    readings = 1 if c.read_every == 0 else math.ceil(c.rounds / c.read_every)
    unique = c.unique_layers or c.rounds
    _, read_in, propagator = parts_of(c)
    bandwidth = math.inf if c.wiring == "complete" else c.bandwidth
    return Circuit(
        SignatureKernel(bandwidth, c.temperature, c.mode, c.min_weight),
        [read_in.from_config(c, generator=generator) for _ in range(min(readings, unique))],
        [propagator.from_config(c, generator=generator) for _ in range(min(c.rounds, unique))],
        ReadOut(
            c.width,
            c.code_dim,
            c.heads,
            c.head_dim,
            num_classes,
            factor=c.ffn_factor,
            backend=c.backend,
            generator=generator,
        ),
        c.rounds,
        c.read_every,
        per_sample=c.graphs == "per_sample",
        redraw=c.redraw,
    )
