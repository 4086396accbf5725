"""What a finished training leaves behind: its best weights, the circuit as arrays, the summary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nacgraph.graph.forms import isolated, mean_degree
from nacgraph.models.nac import NAC
from nacgraph.training.checkpoint import Checkpoint, best_or_newest, save_checkpoint
from nacgraph.training.run import load_weights
from nacgraph.training.scoring import Score
from nacgraph.utils.machine import hardware, versions

if TYPE_CHECKING:
    from nacgraph.priors import MatchedLoss
    from nacgraph.tasks import Task
    from nacgraph.training.loop import NACLightning


def choose_weights(module: NACLightning, checkpoints: Path) -> Checkpoint | None:
    """Leave the model with its best weights so far, or its last ones if those are better.

    Validations while training may be of few samples (``validate_samples``), and of many such
    the best is mostly the luckiest. Then the whole validation split decides between the two.

    Returns:
        Where the weights are from; None if there is no checkpoint, and the last weights stay.
    """
    best, skipped = best_or_newest(checkpoints)
    for text in skipped:
        module.progress.say(f"note: skipped {text}")
    if module.average is not None:
        module.average.keep()
    if best is None:
        return None
    if not module.config.validate_samples:
        load_weights(module.model, best)
        return best
    last = {f"model/{k}": t.clone() for k, t in module.model.state_dict().items()}
    found = [(module.evaluate("val", tell=True).accuracy, module.step, last)]
    if best.state["step"] != module.step:
        load_weights(module.model, best)
        found.append((module.evaluate("val", tell=True).accuracy, best.state["step"], best.tensors))
    accuracy, step, weights = max(found, key=lambda each: each[0])
    state = {**best.state, "step": step, "best_step": step, "best_accuracy": accuracy}
    best = replace(best, tensors=weights, state=state)
    load_weights(module.model, best)
    module.best_accuracy, module.best_step = accuracy, step
    if module.folder is not None:
        save_checkpoint(checkpoints, "best", weights, state)
    return best


def save_results(module: NACLightning, test: Score) -> dict[str, Any]:
    """Write ``circuit.npz`` and ``summary.json``; returns the summary.

    Args:
        module: Of the first process, with the weights that count.
        test: Their score on the test split.
    """
    config, folder = module.config, module.folder
    numbers: dict[str, float | None] = {"prior_loss": None, "mean_degree": None, "isolated": None}
    if folder is not None and isinstance(module.model, NAC):
        arrays, numbers = circuit(module.model, module.task, module.device, module.prior_loss)
        folder.save_circuit(arrays)
    summary = {
        **config.labels(),
        "steps": module.step,
        "seconds": round(module.seconds, 3),
        "parameters": module.model.num_parameters(),
        "best_step": module.best_step,
        "val_accuracy": module.best_accuracy,
        "test_accuracy": test.accuracy,
        "test_n": test.n,
        "ci95": list(test.ci95),
        **module.task.baselines("test"),
        **numbers,
        "prior_floor": module.progress.floor,
        "warnings": module.warned,
        "data": module.task.describe(),
        "machine": hardware(module.device),
        "versions": versions(),
    }
    if folder is not None:
        folder.save_summary(summary)
    return summary


@torch.no_grad()
def circuit(
    model: NAC, task: Task, device: torch.device | str, prior_loss: MatchedLoss | None
) -> tuple[dict[str, np.ndarray], dict[str, float | None]]:
    """The circuit as arrays (signatures, codes, P), and what the summary says of it."""
    model = model.eval()
    batch = next(iter(task.eval_batches("val", limit=1))).to(device)
    design = model.design(batch, *model.tokenizer(batch))
    out = model(batch)
    arrays = {
        "processor_signatures": design.processor_signatures,
        "processor_codes": design.processor_codes,
        "readout_signatures": design.readout_signatures,
        "readout_codes": design.readout_codes,
        "link_probabilities": out.link,
        "readout_link_probabilities": out.readout_graph.probability,
    }
    numbers: dict[str, float | None] = {
        "prior_loss": None,
        "mean_degree": mean_degree(out.link),
        "isolated": isolated(out.graph),
    }
    if prior_loss is not None:
        numbers["prior_loss"] = float(prior_loss(out.link.float(), 0))
    return {name: t.float().cpu().numpy() for name, t in arrays.items()}, numbers
