"""Lesions: what a circuit loses when one of its modules is really gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nacgraph.graph.design import CircuitDesign
from nacgraph.graph.forms import Graph
from nacgraph.models.nac import NAC
from nacgraph.nn.circuit import Circuit
from nacgraph.tasks import Batch, Task
from nacgraph.utils.stats import mean_and_error

MULTIPLICATIONS = 5e11  # that the default number of samples is meant for: 20 to 50 s of one core
MOST, LEAST = 128, 8  # samples by default
ROWS = 2**14  # rows of states that pass through the circuit at a time


@dataclass(frozen=True)
class Lesions:
    """Answers of the whole circuit and of the circuit without each module, sample by sample.

    Shapes:
        index (n,), the row of each sample in its split · loss (n,), correct (n,) bool, of the
        whole · without_loss, without_correct (U, n)
    """

    index: np.ndarray
    loss: np.ndarray
    correct: np.ndarray
    without_loss: np.ndarray
    without_correct: np.ndarray

    def loss_gained(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Mean growth of the loss and its standard error, (U,) each."""
        return mean_and_error(self.without_loss - self.loss)

    def accuracy_lost(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Accuracy lost and its standard error, (U,) each."""
        return mean_and_error(self.correct.astype(float) - self.without_correct.astype(float))


def affordable(model: NAC, length: int) -> int:
    """Samples for which removing each module once takes 20 to 50 s of one core.

    Counted in multiplications, by sizes alone, so that the number depends on no clock: a power of
    two from LEAST to MOST, or 0 where even LEAST takes four times as long (1,024 modules).
    Few do, since gradients tell how other samples differ; see
    :func:`nacgraph.analysis.probing.sensitivity.contribution`.
    """
    c = model.config
    ffn = 1.5 * c.ffn_factor * c.width**2
    inner, read = c.heads * c.head_dim, c.read_heads * c.read_head_dim
    message = 4 * c.width * inner + 2 * c.modules * inner + ffn
    reading = 4 * c.width * read + 2 * length * c.read_heads * c.width + ffn
    times = -(-c.rounds // c.read_every) - 1 if c.read_every else 0
    each = c.modules**2 * (c.rounds * message + times * reading)
    if LEAST * each > 4 * MULTIPLICATIONS:
        return 0
    count = LEAST
    while 2 * count <= MOST and 2 * count * each <= MULTIPLICATIONS:
        count *= 2
    return count


def lesions(
    model: NAC,
    task: Task,
    batches: Sequence[Batch],
    mode: str = "expected",
    progress: Callable[[float], None] | None = None,
) -> Lesions:
    """Answer ``batches`` with the whole circuit and without each processor in turn.

    Tokens, their norms and what every module reads first are made once for all lesions; gates of
    removed codes are dropped from the rest. All equals running
    ``model.circuit(tokens, design.select(kept), mask, mode=mode)``.

    Raises:
        ValueError: If the circuit has a single module, or its design is conditional.
    """
    modules = model.config.modules
    if modules < 2:
        raise ValueError(f"model: expected at least 2 modules to remove one, got {modules}")
    device = next(model.parameters()).device
    everyone = torch.arange(modules, device=device)
    rows = max(1, ROWS // modules)
    parts = [b.rows(slice(s, s + rows)) for b in batches for s in range(0, len(b), rows)]
    whole: list[tuple[Tensor, Tensor]] = []
    without: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(modules)]
    with torch.no_grad():
        for number, batch in enumerate(parts):
            batch = batch.to(device)
            shared = Shared(model, batch, mode)
            whole.append(_outcome(task, shared.answer(everyone), batch))
            for module in range(modules):
                kept = everyone[everyone != module]
                without[module].append(_outcome(task, shared.answer(kept), batch))
                if progress is not None:
                    progress((number * modules + module + 1) / (len(parts) * modules))

    def joined(pairs: list[tuple[Tensor, Tensor]], which: int) -> np.ndarray:
        return torch.cat([pair[which] for pair in pairs]).cpu().numpy()

    index = torch.cat([batch.index for batch in parts]).cpu().numpy()
    return Lesions(
        index,
        joined(whole, 0),
        joined(whole, 1),
        np.stack([joined(pairs, 0) for pairs in without]),
        np.stack([joined(pairs, 1) for pairs in without]),
    )


class Shared:
    """What all lesions of a circuit share on one batch: tokens, gates, and the first reading."""

    def __init__(self, model: NAC, batch: Batch, mode: str) -> None:
        self.circuit: Circuit = model.circuit
        self.mode = mode
        tokens, self.mask = model.tokenizer(batch)
        self.design: CircuitDesign = model.design(batch, tokens, self.mask)
        check_shared(self.design)
        self.whole = self.circuit.prepare(self.design, mode)
        self.tokens = self.circuit.norm_tokens(tokens)
        # A module's first reading knows nothing of the others.
        self.first = self.circuit.read(0, self.whole.states, self.whole, self.tokens[0], self.mask)

    def answer(self, kept: Tensor) -> Tensor:
        """Logits (B, C) of the circuit of the modules ``kept`` alone."""
        graphs, out = self.circuit.wire(self.design.select(kept), self.mode)
        part = self.whole.select(kept, graphs, out)
        return self.circuit.run(part, self.tokens, self.mask, self.first[:, kept]).logits

    def reweighed(self, change: Callable[[Any, bool], Graph]) -> Tensor:
        """Logits (B, C) of the whole circuit, its graphs changed: ``change(graph, among)``."""
        part = replace(
            self.whole,
            graphs=tuple(change(graph, True) for graph in self.whole.graphs),
            readout_graph=change(self.whole.readout_graph, False),
        )
        return self.circuit.run(part, self.tokens, self.mask, self.first).logits


def check_shared(design: CircuitDesign) -> None:
    """Raise ValueError for a conditional design: its modules are others for every sample."""
    if design.conditional:
        raise ValueError("design: expected one shared by all samples, got a conditional one")


def _outcome(task: Task, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Loss (B,), and whether the answer was right (B,)."""
    return losses(task, logits, batch), logits.argmax(-1) == batch.labels


def losses(task: Task, logits: Tensor, batch: Batch) -> Tensor:
    """Loss of every sample, (B,) float64."""
    logits = logits.float() if logits.dtype != torch.float64 else logits
    if type(task).loss is Task.loss:
        loss = nn.functional.cross_entropy(logits, batch.labels, reduction="none")
    else:  # a task's own loss is a mean over its batch
        ones = [slice(i, i + 1) for i in range(len(batch))]
        each = [task.loss(logits[one], batch.rows(one)) for one in ones]
        loss = torch.stack(each)
    return loss.double()
