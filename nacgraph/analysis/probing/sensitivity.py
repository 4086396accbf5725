"""Contributions of modules from few lesions and many gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nacgraph.analysis.probing.removal import Lesions, Shared, lesions, losses
from nacgraph.graph.forms import Graph, SampledGraph
from nacgraph.models.nac import NAC
from nacgraph.tasks import Batch, Task
from nacgraph.utils.stats import mean_and_error

SCORES = 2**23  # attention scores of a round that are in memory at a time


@dataclass(frozen=True)
class Sensitivities:
    """What removing each module would cost, to first order, sample by sample.

    Shapes:
        gain (U, N) · index (N,), the row of each sample in its split
    """

    gain: np.ndarray
    index: np.ndarray


def sensitivities(
    model: NAC,
    task: Task,
    batches: Sequence[Batch],
    mode: str = "expected",
    progress: Callable[[float], None] | None = None,
) -> Sensitivities:
    r"""First-order loss gained without each module, by one backward pass a batch.

    Every link that leaves module j for another one is weighed by :math:`g_j`, 1 in the trained
    circuit and 0 when the module is gone; the loss gained is :math:`-\partial \ell/\partial g_j`
    to first order.
    """
    heads, modules = model.config.heads, model.config.modules
    rows = max(1, SCORES // (heads * modules**2))
    parts = [b.rows(slice(s, s + rows)) for b in batches for s in range(0, len(b), rows)]
    device = next(model.parameters()).device
    found, index = [], []
    own = torch.eye(modules, dtype=torch.bool, device=device)
    for number, batch in enumerate(parts):
        batch = batch.to(device)
        with torch.no_grad():
            shared = Shared(model, batch, mode)
        dtype = torch.promote_types(shared.first.dtype, torch.float32)
        gate = torch.ones(len(batch), 1, modules, dtype=dtype, device=device, requires_grad=True)
        with torch.enable_grad():
            log_gate = gate.log()

            def weighed(graph: Graph, among: bool, log_gate: Tensor = log_gate) -> Graph:
                return _weighed(graph, log_gate.masked_fill(own, 0.0) if among else log_gate)

            logits = shared.reweighed(weighed)
            total = losses(task, logits, batch).sum()
        (slope,) = torch.autograd.grad(total, gate)
        found.append(-slope[:, 0].double().cpu())
        index.append(batch.index.cpu())
        if progress is not None:
            progress((number + 1) / len(parts))
    return Sensitivities(torch.cat(found).numpy().T, torch.cat(index).numpy())


def _weighed(graph: Graph, log_gate: Tensor) -> SampledGraph:
    """The graph with its links weighed anew for every sample."""
    log_weight = graph.log_weight + log_gate.to(graph.log_weight)
    return SampledGraph(graph.probability, log_weight, graph.mask.expand_as(log_weight))


def contribution(
    first_order: Sensitivities, removed: Lesions | None
) -> tuple[np.ndarray, np.ndarray | None]:
    r"""Mean loss gained without each module, and its standard error, (U,) each.

    With lesions on n of the N samples, a regression estimate of what lesions on all N would give:

    .. math:: \bar e_n + \beta\,(\bar f_N - \bar f_n), \qquad
              \mathrm{SE}^2 = s_{e - \beta f}^2 \Big(\frac1n - \frac1N\Big) + \frac{s_e^2}{N}

    for lesions e and first-order gains f, with one slope β for all modules and samples. Without
    lesions it is :math:`\bar f_N`, which is biased: a module far from dispensable costs more than
    its gradient says. A standard error from one sample is None.

    Source: Cochran, Sampling Techniques, double sampling with regression.
    """
    f = first_order.gain
    if removed is None:
        return mean_and_error(f)
    e = removed.without_loss - removed.loss
    place = {int(row): column for column, row in enumerate(first_order.index)}
    both = [k for k, row in enumerate(removed.index) if int(row) in place]
    if len(both) < e.shape[1] or f.shape[1] <= e.shape[1]:
        return mean_and_error(e)  # not fewer samples than the gradients have
    near = f[:, [place[int(row)] for row in removed.index]]
    power = float((near * near).sum())
    slope = float((e * near).sum()) / power if power > 0 else 0.0
    n, total = e.shape[1], f.shape[1]
    mean = e.mean(1) + slope * (f.mean(1) - near.mean(1))
    if n < 2:
        return mean, None
    rest = (e - slope * near).var(axis=1, ddof=1)
    return mean, np.sqrt(rest * (1 / n - 1 / total) + e.var(axis=1, ddof=1) / total)


def measured_contributions(
    model: NAC,
    task: Task,
    *,
    split: str = "val",
    samples: int = 128,
    lesion_samples: int = 16,
    mode: str = "expected",
    progress: Callable[[str, float], None] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """:func:`contribution` of a model's modules without the rest of a probe, as pruning wants it.

    Gradients on the first ``samples`` of a split, lesions on the first ``lesion_samples``; 0
    makes none.

    Raises:
        ValueError: If the design is conditional, or a single module is to be removed.
    """

    def tell(stage: str) -> Callable[[float], None] | None:
        return None if progress is None else partial(progress, stage)

    batches = list(task.eval_batches(split, limit=samples))
    first_order = sensitivities(model, task, batches, mode, tell("gradients"))
    removed = None
    if lesion_samples:
        chosen = list(task.eval_batches(split, limit=lesion_samples))
        removed = lesions(model, task, chosen, mode, tell("lesions"))
    return contribution(first_order, removed)
