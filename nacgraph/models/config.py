"""Every size and choice of a model; reading this file needs no torch.

A field is one line: type, default, help, and its range or choices. Flags, help and checks follow
from it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from nacgraph.utils.choices import (
    BACKENDS,
    CONDITIONS,
    DEFAULT_BANDWIDTH,
    GRAPHS,
    MODES,
    REDRAWS,
    STARTS,
    WIRINGS,
)
from nacgraph.utils.fields import check_fields, option


@dataclass(frozen=True)
class NACConfig:
    """Every size and choice of a NAC; each field says what it is in its ``help``.

    ``condition="auto"`` makes a circuit for every sample where the task has conditioning tokens,
    and one for all samples where it has none.

    Raises:
        ConfigError: Names every field that is wrong, what was expected and what it got.
    """

    modules: int = option(32, "processor modules U", low=1)
    readouts: int = option(4, "read-out modules O", low=1)
    width: int = option(64, "state width D", low=2)
    code_dim: int = option(64, "code width K", low=1)
    signature_dim: int = option(32, "signature width S", low=1)
    heads: int = option(4, "heads of the messages between modules", low=1)
    head_dim: int = option(16, "width of each of them", low=1)
    read_heads: int = option(2, "heads that read tokens; few, as each costs `width`", low=1)
    read_head_dim: int = option(32, "width of each of them", low=1)
    rounds: int = option(4, "rounds of propagation L", low=1)
    unique_layers: int = option(0, "propagators that serve the rounds in turn; 0: one each", low=0)
    read_every: int = option(1, "read the tokens again before every k-th round; 0: once", low=0)
    ffn_factor: int = option(4, "width factor of the feed-forward layers", low=1)
    bandwidth: float = option(DEFAULT_BANDWIDTH, "bandwidth of the signature kernel", above=0)
    temperature: float = option(0.5, "temperature of the sampled edges", above=0)
    mode: str = option("concrete", "how edges are sampled in training", choices=MODES)
    eval_mode: str = option("expected", "how edges are sampled in evaluation", choices=MODES)
    min_weight: float = option(0.01, "an edge lighter than this is none", low=0, below=1)
    graphs: str = option("shared", "one sampled graph for the batch, or one each", choices=GRAPHS)
    redraw: str = option("once", "draw edges once a step, or anew each round", choices=REDRAWS)
    backend: str = option("auto", "execution of the attention", choices=BACKENDS)
    modulation: bool = option(True, "let codes modulate the layers")
    wiring: str = option("learned", "learned or frozen signatures, or all links", choices=WIRINGS)
    signature_start: str = option("random", "random, or close to the prior", choices=STARTS)
    condition: str = option("auto", "what makes each sample's circuit", choices=CONDITIONS)
    propagator: str = option("skmdpa", "what a round of messages is; a registered name")
    read_in: str = option("attention", "how modules read tokens; a registered name")
    generator: str = option("auto", "what makes the design; a registered name")

    def __post_init__(self) -> None:
        wrong = []
        fixed = self.wiring == "frozen" or self.signature_start == "prior"
        if self.condition in ("task", "inputs") and fixed:
            wrong.append(
                "condition: expected none for signatures that are frozen or start from a "
                f"prior, got {self.condition!r}"
            )
        check_fields(self, *wrong)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all fields."""
        return tuple(field.name for field in fields(cls))


@dataclass(frozen=True)
class TransformerConfig:
    """Every size of a transformer; each field says what it is in its ``help``.

    Raises:
        ConfigError: Names every field that is wrong, what was expected and what it got.
    """

    width: int = option(64, "width D of a token", low=2)
    heads: int = option(4, "heads H of the attention", low=1)
    head_dim: int = option(16, "width of each of them", low=1)
    rounds: int = option(4, "blocks that the tokens go through, L", low=1)
    unique_layers: int = option(0, "blocks that serve the rounds in turn; 0: one each", low=0)
    ffn_factor: int = option(4, "width factor of the feed-forward layers", low=1)
    linformer_tokens: int = option(
        0, "length to which keys and values are projected; 0: full attention", low=0
    )

    def __post_init__(self) -> None:
        check_fields(self)
