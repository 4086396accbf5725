"""What a training command says and leaves behind: first lines, circuit, summary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from nacgraph.cli.plan import Plan
from nacgraph.graph.forms import isolated, mean_degree
from nacgraph.models.config import NACConfig
from nacgraph.models.nac import NAC
from nacgraph.training.checkpoint import best_or_newest, save_checkpoint
from nacgraph.training.config import RunConfig
from nacgraph.training.run import load_weights
from nacgraph.utils.machine import device_of, hardware
from nacgraph.utils.progress import beside, percent

if TYPE_CHECKING:
    from nacgraph.priors import MatchedLoss
    from nacgraph.tasks import Task
    from nacgraph.training.loop import NACLightning


def headline(config: RunConfig, plan: Plan) -> str:
    """What is run."""
    text = (
        f"training   {config.model_name} on {config.task.name} under prior {config.prior.name}, "
        f"preset {config.preset}, seed {config.seed}"
    )
    if plan.checkpoint is not None:
        text += f", resumed after step {plan.checkpoint.state['step']}"
    return text


def introduce(module: NACLightning, plan: Plan) -> None:
    """The first lines: size, baselines, machine, where results go."""
    config, say = plan.config, module.progress.say
    say(f"model      {module.model.num_parameters():,} parameters: {sizes(config)}")
    say(f"baselines  {beside(module.progress.baselines)}")
    if module.progress.floor is not None:
        say(f"prior      reachable floor {module.progress.floor:.4f} ({config.prior.loss})")
    kind = device_of(config.device)
    where = f"{kind} × {config.devices}" + (f" × {config.nodes} nodes" * (config.nodes > 1))
    say(f"device     {where}, {torch.get_num_threads()} threads, precision {config.precision}")
    if module.folder is not None:
        from nacgraph.cli.doctor import memory_line

        if line := memory_line(config):
            say(line)
    say(f"results    {plan.folder}")


def sizes(config: RunConfig) -> str:
    """``32 modules, 4 rounds, width 64``, or what a model without modules is made of."""
    model = config.model
    if isinstance(model, NACConfig):
        return f"{model.modules} modules, {model.rounds} rounds, width {model.width}"
    most = f"up to {model.linformer_tokens} sums of " if model.linformer_tokens else ""
    return f"attention to {most}all tokens, {model.rounds} rounds, width {model.width}"


def finish(module: NACLightning, plan: Plan) -> int:
    """Score the best weights on the test split, once, and write circuit and summary."""
    config, progress = plan.config, module.progress
    choose_weights(module, Path(module.checkpoints or plan.folder / "checkpoints"))
    test = module.evaluate("test", tell=True)
    if module.folder is None:
        return 0
    numbers: dict[str, float | None] = {"prior_loss": None, "mean_degree": None, "isolated": None}
    if isinstance(module.model, NAC):
        arrays, numbers = circuit(module.model, module.task, module.device, module.prior_loss)
        module.folder.save_circuit(arrays)
    baselines = module.task.baselines("test")
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
        **baselines,
        **numbers,
        "prior_floor": progress.floor,
        "warnings": module.warned,
        "data": module.task.describe(),
        "machine": hardware(module.device),
        "versions": versions(),
    }
    module.folder.save_summary(summary)
    low, high = test.ci95
    progress.say(
        f"test       {percent(test.accuracy)} of {test.n} (95 %: {percent(low)} to "
        f"{percent(high)}); {beside(baselines)}"
    )
    progress.say(f"results    {plan.folder}\nnext       nacgraph evaluate {plan.folder}")
    return 0


def choose_weights(module: NACLightning, checkpoints: Path) -> None:
    """Leave the model with its best weights so far, or its last ones if those are better.

    Validations while training may be of few samples (``validate_samples``), and of many such
    the best is mostly the luckiest. Then the whole validation split decides between the two.
    """
    best, skipped = best_or_newest(checkpoints)
    for text in skipped:
        module.progress.say(f"note: skipped {text}")
    if module.average is not None:
        module.average.keep()
    if best is None:
        return
    if not module.config.validate_samples:
        load_weights(module.model, best)
        return
    last = {f"model/{k}": t.clone() for k, t in module.model.state_dict().items()}
    found = [(module.evaluate("val", tell=True).accuracy, module.step, last)]
    if best.state["step"] != module.step:
        load_weights(module.model, best)
        found.append((module.evaluate("val", tell=True).accuracy, best.state["step"], best.tensors))
    accuracy, step, weights = max(found, key=lambda each: each[0])
    load_weights(module.model, replace(best, tensors=weights))
    module.best_accuracy, module.best_step = accuracy, step
    if module.folder is not None:
        state = {**best.state, "step": step, "best_step": step, "best_accuracy": accuracy}
        save_checkpoint(checkpoints, "best", weights, state)


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


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from nacgraph import __version__

    found = {"nacgraph": __version__, "python": platform.python_version()}
    for name in ("torch", "torch_geometric", "pytorch_lightning", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
