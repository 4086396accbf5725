"""A run with fewer modules, the others removed for good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nacgraph.models.pruning import kept_count, prune, ranking
from nacgraph.training.build import build_target
from nacgraph.training.checkpoint import save_checkpoint
from nacgraph.training.folder import RunFolder, read_summary
from nacgraph.training.results import circuit
from nacgraph.training.scoring import score
from nacgraph.utils.check import check_at_least
from nacgraph.utils.errors import ConfigError
from nacgraph.utils.machine import versions

if TYPE_CHECKING:
    from torch import Tensor

    from nacgraph.models.nac import NAC
    from nacgraph.tasks import Task
    from nacgraph.training.run import Run

Progress = Callable[[str, float], None]


def prune_run(
    run: Run,
    *,
    keep: float,
    order: str = "degree",
    seed: int = 0,
    lesion_samples: int | None = None,
    out: Path | str | None = None,
    progress: Progress | None = None,
) -> Path:
    """A new run folder with the share ``keep`` of the modules; ``run`` stays as it is.

    The new run's summary has its validation accuracy, and under "pruned" which modules were kept.

    Args:
        run: A run with one circuit for all samples.
        keep: Share of the modules that stays, in (0, 1].
        order: Which modules stay, see :func:`rank_modules`.
        seed: Seed of a random order.
        lesion_samples: See :func:`rank_modules`.
        out: The new folder; ``RUN-keepPERCENT-ORDER`` beside the run's if None.
        progress: Called with (what is done, share done).

    Returns:
        The new folder.

    Raises:
        ConfigError: If ``out`` is a folder with something in it.
        ValueError: If the run has no circuit or one for every sample, or an argument is out of
            range.
    """
    from nacgraph.priors import MatchedLoss

    model, task, config, checkpoint = run.circuit, run.task, run.config, run.checkpoint
    modules = model.config.modules
    count = kept_count(modules, keep)
    if out is None:
        out = run.path.with_name(f"{run.path.resolve().name}-keep{100 * keep:g}-{order}")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError([f"out: expected a new or empty folder, got {out}"])
    ranked = rank_modules(
        model, task, order, seed=seed, lesion_samples=lesion_samples, progress=progress
    )
    kept = ranked[:count].sort().values
    small = prune(model, kept)
    new = replace(config.with_model(modules=count), start=None)
    target = build_target(new)
    prior_loss = None if target is None else MatchedLoss(target, config.prior.loss)
    arrays, numbers = circuit(small, task, "cpu", prior_loss)
    if progress is not None:
        progress("scoring: the validation split", 0.0)
    found = score(small, task, "val", precision=config.precision)
    folder = RunFolder(out)
    folder.create(new, task, origin=run.path)
    weights = {f"model/{name}": t for name, t in small.state_dict().items()}
    state = {
        **{k: checkpoint.state[k] for k in ("step", "seconds", "best_step")},
        "best_accuracy": found.accuracy,
        "files": folder.digests,
    }
    save_checkpoint(folder.checkpoints, "best", weights, state)
    folder.save_circuit(arrays)
    folder.save_summary(
        {
            **new.labels(),
            "steps": checkpoint.state["step"],
            "parameters": small.num_parameters(),
            "best_step": checkpoint.state["best_step"],
            "val_accuracy": found.accuracy,
            "test_accuracy": None,
            **task.baselines("test"),
            **numbers,
            "pruned": {
                "from": str(run.path),
                "checkpoint": checkpoint.path.name,
                "order": order,
                "keep": keep,
                "seed": seed,
                "modules_before": modules,
                "kept": kept.tolist(),
            },
            "data": task.describe(),
            "versions": versions(),
        }
    )
    return out


def rank_modules(
    model: NAC,
    task: Task,
    order: str,
    *,
    seed: int = 0,
    lesion_samples: int | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """A model's modules (U,), those to be kept first.

    Args:
        model: A model with one circuit for all samples.
        task: Its task.
        order: "degree" keeps the best linked modules, "random" any, "contribution" those whose
            removal costs the most loss on the validation split.
        seed: Seed of a random order.
        lesion_samples: Samples on which each module is removed to measure its contribution, beside
            gradients on 128; about a minute's worth if None.
        progress: Called with (what is measured, share done).

    Raises:
        ValueError: If there is no such order, the model makes a circuit for every sample, or a
            number is out of range.
    """
    check_at_least(0, lesion_samples=lesion_samples or 0, seed=seed)
    with torch.no_grad():
        link = model.design().links()[0]
    cost = None
    if order == "contribution":
        from nacgraph.analysis.probing import affordable, measured_contributions

        count = lesion_samples
        if count is None:
            first = next(iter(task.eval_batches("val", limit=1)))
            count = affordable(model, first.mask.shape[1])
        mean, _ = measured_contributions(model, task, lesion_samples=count, progress=progress)
        cost = torch.from_numpy(mean)
    return ranking(order, link, contribution=cost, seed=seed)


def pruned(folder: Path, before: Run) -> dict[str, Any]:
    """What :func:`prune_run` made, from the new folder: what was kept, sizes, accuracies."""
    summary = read_summary(folder)
    made = summary["pruned"]
    return {
        **made,
        "run": str(folder),
        "modules": len(made["kept"]),
        "parameters": summary["parameters"],
        "val_accuracy": summary["val_accuracy"],
        "val_accuracy_before": before.summary.get("val_accuracy"),
    }
