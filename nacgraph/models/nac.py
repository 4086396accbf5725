"""NAC, the whole model: tokenizer, generator, circuit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nacgraph.graph.design import CircuitDesign
from nacgraph.graph.kernel import SignatureKernel
from nacgraph.graph.links import DEFAULT_BANDWIDTH, MODES
from nacgraph.nn.attention import BACKENDS
from nacgraph.nn.blocks import ModAttention, Propagator, ReadIn, ReadOut
from nacgraph.nn.circuit import Circuit, CircuitOutput
from nacgraph.nn.conditional import ConditionalGenerator
from nacgraph.nn.generators import UnconditionalGenerator
from nacgraph.nn.modfc import ModFC, ModFFN
from nacgraph.priors.reachable import best_signatures

WIRINGS = ("learned", "frozen", "complete")
STARTS = ("random", "prior")
CONDITIONS = ("none", "task", "inputs")
GRAPHS = ("shared", "per_sample")


@dataclass(frozen=True)
class NACConfig:
    """Every size and choice of a NAC.

    Attributes:
        modules: Processors U.
        readouts: Read-outs O.
        width: State width D.
        code_dim: Code width K.
        signature_dim: Signature width S.
        heads: Heads of the messages among modules.
        head_dim: Width of such a head.
        read_heads: Heads with which tokens are read; few, since each costs ``width``.
        read_head_dim: Width of such a head.
        rounds: Rounds of propagation L.
        unique_layers: Propagators, and read-ins, with weights of their own, used in turn;
            0 gives every round its own.
        read_every: Read the tokens again before every so-manieth round; 0 reads once.
        ffn_factor: Width factor of every ModFFN.
        bandwidth: ε of the signature kernel.
        temperature: τ of the concrete distribution.
        mode: Kernel mode while training.
        eval_mode: Kernel mode while evaluating.
        min_weight: A link of lower weight is no edge.
        graphs: "shared" by the batch, or "per_sample".
        backend: Execution of SKMDPA.
        modulation: False fixes every α at 0, so that codes only make initial states.
        wiring: "learned" signatures, "frozen" ones, or the "complete" graph.
        signature_start: "random", or "prior": the closest found to the prior's target.
        condition: What decides the design: "none", one for all samples; "task", one for each from
            the task's conditioning tokens; "inputs", one for each from its own tokens.

    Raises:
        ValueError: Names every field that is wrong, what was expected and what came.
    """

    modules: int = 64
    readouts: int = 8
    width: int = 128
    code_dim: int = 128
    signature_dim: int = 64
    heads: int = 4
    head_dim: int = 32
    read_heads: int = 2
    read_head_dim: int = 32
    rounds: int = 4
    unique_layers: int = 0
    read_every: int = 0
    ffn_factor: int = 4
    bandwidth: float = DEFAULT_BANDWIDTH
    temperature: float = 0.5
    mode: str = "concrete"
    eval_mode: str = "expected"
    min_weight: float = 0.01
    graphs: str = "shared"
    backend: str = "auto"
    modulation: bool = True
    wiring: str = "learned"
    signature_start: str = "random"
    condition: str = "none"

    def __post_init__(self) -> None:
        at_least = dict.fromkeys(
            (
                "modules",
                "readouts",
                "code_dim",
                "signature_dim",
                "heads",
                "head_dim",
                "read_heads",
                "read_head_dim",
                "rounds",
                "ffn_factor",
            ),
            1,
        )
        at_least |= {"width": 2, "unique_layers": 0, "read_every": 0}
        choices = {
            "mode": MODES,
            "eval_mode": MODES,
            "graphs": GRAPHS,
            "backend": BACKENDS,
            "wiring": WIRINGS,
            "signature_start": STARTS,
            "condition": CONDITIONS,
        }
        wrong = []
        for name, least in at_least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                wrong.append(f"{name}: expected a whole number >= {least}, got {value!r}")
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                wrong.append(
                    f"{name}: expected one of {', '.join(allowed)}, got {getattr(self, name)!r}"
                )
        for name in ("bandwidth", "temperature"):
            if not getattr(self, name) > 0:
                wrong.append(f"{name}: expected a number > 0, got {getattr(self, name)!r}")
        if not 0 <= self.min_weight < 1:
            wrong.append(f"min_weight: expected a number in [0, 1), got {self.min_weight!r}")
        fixed = self.wiring == "frozen" or self.signature_start == "prior"
        if self.condition != "none" and fixed:
            wrong.append(
                "condition: expected none for signatures that are frozen or start from a "
                f"prior, got {self.condition!r}"
            )
        if wrong:
            raise ValueError("; ".join(wrong))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all fields."""
        return tuple(field.name for field in fields(cls))


class NAC(nn.Module):
    """A neural attentive circuit for classification.

    Args:
        config: Sizes and choices.
        tokenizer: Turns a batch into tokens (B, T, width) and a mask (B, T).
        num_classes: Number of classes C.
        target: Link probabilities (U, U) of a prior, needed by ``signature_start="prior"``.
        seed: One seed, one model; global randomness plays no part.
        conditioner: Turns a batch into conditioning tokens (B, N, width) and a mask (B, N); needed
            by ``condition="task"``.

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
        self.generator = build_generator(config, start, generator)
        self.circuit = build_circuit(config, config.width, num_classes, generator)
        if not config.modulation:
            for layer in self.modules():
                if isinstance(layer, ModFC):
                    nn.init.zeros_(layer.alpha)
                    # With α = 0 nothing reaches W_c either: neither counts as a parameter.
                    layer.alpha.requires_grad_(False)
                    layer.code_weight.requires_grad_(False)

    def forward(self, batch: Any, generator: torch.Generator | None = None) -> CircuitOutput:
        """Answer a batch.

        Args:
            batch: What the tokenizer takes.
            generator: Source of the edge noise. Left out, it is PyTorch's own while training, and
                while evaluating a fixed one, so that the same batch gets the same answer.
        """
        if generator is None and not self.training:
            generator = torch.Generator().manual_seed(self.seed)
        tokens, mask = self.tokenizer(batch)
        design = self.design(batch, tokens, mask)
        mode = self.config.mode if self.training else self.config.eval_mode
        return self.circuit(tokens, design, mask, generator, mode)

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


def build_generator(
    config: NACConfig, start: Tensor | None, generator: torch.Generator
) -> UnconditionalGenerator | ConditionalGenerator:
    """The generator that a configuration describes; ``start`` are signatures to begin with."""
    c = config
    sizes = c.modules, c.readouts, c.signature_dim, c.code_dim, c.width
    if c.condition != "none":
        heads = math.gcd(c.heads, c.width)
        return ConditionalGenerator(*sizes, c.width, generator, c.width, heads)
    return UnconditionalGenerator(*sizes, generator, start, frozen=c.wiring != "learned")


def build_circuit(
    config: NACConfig, token_dim: int, num_classes: int, generator: torch.Generator
) -> Circuit:
    """The executor that a configuration describes."""
    c = config
    readings = 1 if c.read_every == 0 else math.ceil(c.rounds / c.read_every)
    unique = c.unique_layers or c.rounds

    def messages() -> ModAttention:
        return ModAttention(c.width, c.code_dim, c.heads, c.head_dim, generator, c.backend)

    def ffn() -> ModFFN:
        return ModFFN(c.width, c.code_dim, generator, c.ffn_factor)

    return Circuit(
        SignatureKernel(
            math.inf if c.wiring == "complete" else c.bandwidth, c.temperature, c.mode, c.min_weight
        ),
        [
            ReadIn(
                c.width,
                token_dim,
                c.code_dim,
                c.read_heads,
                c.read_head_dim,
                generator,
                c.ffn_factor,
            )
            for _ in range(min(readings, unique))
        ],
        [Propagator(messages(), ffn(), c.width) for _ in range(min(c.rounds, unique))],
        ReadOut(messages(), ffn(), c.width, num_classes, generator),
        c.rounds,
        c.read_every,
        per_sample=c.graphs == "per_sample",
    )
