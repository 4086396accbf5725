"""A probe of a circuit: the numbers, and the rows of the tables that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nacgraph.analysis.probing.roles import top_kinds


@dataclass(frozen=True)
class Probe:
    """What the U modules and O read-outs of a circuit do, over samples of a task.

    Whatever could not be measured is None, and ``reasons`` says why by the attribute's name.

    Attributes:
        split: Where the samples are from.
        samples: Samples over which attention and confidence are means.
        lesion_samples: Samples on which modules were removed.
        mode: Kernel mode of the circuit, one that draws nothing.
        token_names: Names of the V kinds of tokens that occur.
        token_share: How common each is: mean over samples of its share of a sample's tokens, (V,).
        token_attention: Attention mass of each module on each kind, (U, V): mean over readings,
            heads and samples. Rows sum to 1. Attention over share is the lift. A token that came
            through a local stem also tells of its neighbours.
        reading_attention: The same for each of the G readings, (G, U, V).
        entropy: Entropy of a head's attention over the tokens of a sample in nats, mean over
            heads, samples and readings, (U,).
        relative_entropy: The same over log T, from 0 (one token) to 1 (all alike), (U,).
        reading_entropy: Entropy in each reading, (G, U).
        position: Mean place of what is read, 0 the beginning and 1 the end, (U,).
        reading_position: The same for each reading, (G, U).
        role: What each module reads, in a word; see :func:`nacgraph.analysis.probing.roles.role`.
        link: Link probabilities P, (U, U).
        code_similarity: Cosine of the modules' codes, (U, U).
        similarity_link: Correlation of both over pairs; see
            :func:`nacgraph.analysis.probing.similarity.correlations`.
        confidence: Mean share of each read-out in the logits, (O,).
        confidence_sd: Its standard deviation over samples, (O,).
        confidence_largest: Share of samples in which it has the largest, (O,); a tie counts for
            all that tie, in equal parts.
        readout_degree: Expected senders of each read-out, Σ_j R_oj, (O,).
        voice: Link probability of each module to the read-outs, weighed by their confidence, (U,).
        accuracy: Accuracy of the whole circuit on the lesion samples.
        loss: Its mean loss there.
        accuracy_lost: Accuracy lost when a module is removed, (U,).
        accuracy_lost_se: Its standard error over the paired samples, (U,).
        loss_gained: Mean loss gained when a module is removed, (U,).
        loss_gained_se: Its standard error, (U,).
        contribution: Loss gained when a module is removed, estimated for all ``samples`` from the
            lesions and from gradients, (U,); see
            :func:`nacgraph.analysis.probing.sensitivity.contribution`.
        contribution_se: Its standard error, (U,).
        reasons: Why an attribute is None.
    """

    split: str
    samples: int
    lesion_samples: int
    mode: str
    token_names: tuple[str, ...] | None
    token_share: np.ndarray | None
    token_attention: np.ndarray | None
    reading_attention: np.ndarray | None
    entropy: np.ndarray
    relative_entropy: np.ndarray | None
    reading_entropy: np.ndarray
    position: np.ndarray
    reading_position: np.ndarray
    role: tuple[str, ...] | None
    link: np.ndarray
    code_similarity: np.ndarray
    similarity_link: Mapping[str, Mapping[str, Any]]
    confidence: np.ndarray
    confidence_sd: np.ndarray | None
    confidence_largest: np.ndarray
    readout_degree: np.ndarray
    voice: np.ndarray
    accuracy: float | None
    loss: float | None
    accuracy_lost: np.ndarray | None
    accuracy_lost_se: np.ndarray | None
    loss_gained: np.ndarray | None
    loss_gained_se: np.ndarray | None
    contribution: np.ndarray
    contribution_se: np.ndarray | None
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def lift(self) -> np.ndarray | None:
        """Attention over share, (U, V): 1 by chance."""
        if self.token_attention is None or self.token_share is None:
            return None
        return self.token_attention / self.token_share

    def top_tokens(self, module: int, count: int = 3) -> list[list[Any]] | None:
        """``[[name, attention mass], …]``; see
        :func:`nacgraph.analysis.probing.roles.top_kinds`."""
        if self.token_attention is None or self.token_share is None or self.token_names is None:
            return None
        attention = self.token_attention[module]
        chosen = top_kinds(attention, self.token_share, count)
        return [[self.token_names[kind], float(attention[kind])] for kind in chosen]

    def modules(self) -> list[dict[str, Any]]:
        """A row for each processor, ready for JSON."""
        return [
            {
                "module": module,
                "read_entropy": float(self.entropy[module]),
                "read_entropy_relative": _at(self.relative_entropy, module),
                "position": float(self.position[module]),
                "top_tokens": self.top_tokens(module),
                "role": None if self.role is None else self.role[module],
                "confidence": float(self.voice[module]),
                "accuracy_lost": _at(self.accuracy_lost, module),
                "accuracy_lost_se": _at(self.accuracy_lost_se, module),
                "loss_gained": _at(self.loss_gained, module),
                "loss_gained_se": _at(self.loss_gained_se, module),
                "contribution": float(self.contribution[module]),
                "contribution_se": _at(self.contribution_se, module),
            }
            for module in range(len(self.entropy))
        ]

    def readouts(self) -> list[dict[str, Any]]:
        """A row for each read-out, ready for JSON."""
        return [
            {
                "readout": readout,
                "confidence": float(self.confidence[readout]),
                "confidence_sd": _at(self.confidence_sd, readout),
                "confidence_largest": float(self.confidence_largest[readout]),
                "degree": float(self.readout_degree[readout]),
            }
            for readout in range(len(self.confidence))
        ]


def contributions(probe: Probe) -> np.ndarray:
    """What each module contributes, (U,): the loss gained when it is removed, at its best estimate.

    The order "contribution" of pruning goes by it. Without lesions it comes from gradients alone.
    """
    return probe.contribution


def _at(values: np.ndarray | None, index: int) -> float | None:
    return None if values is None else float(values[index])
