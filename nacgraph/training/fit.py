"""Training a run from start to end: what ``nacgraph.fit`` and ``nacgraph train`` do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nacgraph.models.config import NACConfig
from nacgraph.training.build import build_model, build_target, build_task, without_start
from nacgraph.training.checkpoint import best_or_newest, newest_valid
from nacgraph.training.claim import claimed, remove_start
from nacgraph.training.config import RunConfig, layered
from nacgraph.training.data_of_run import data_place, same_samples
from nacgraph.training.folder import RunFolder, read_data_record, read_samples
from nacgraph.training.footprint import memory_warning
from nacgraph.training.plan import Plan, default_folder, make_plan, numbered, process_rank
from nacgraph.training.run import Run, load_run, load_weights
from nacgraph.utils.commands import command_line
from nacgraph.utils.errors import (
    CheckpointError,
    ConfigError,
    NonFiniteError,
    TrainingStopped,
)
from nacgraph.utils.machine import device_of
from nacgraph.utils.progress import Progress, beside, percent
from nacgraph.utils.progress_line import no_progress
from nacgraph.utils.registry import plugin_list

if TYPE_CHECKING:
    from torch import Tensor

    from nacgraph.models.transformer import Model
    from nacgraph.tasks import Task
    from nacgraph.training.loop import NACLightning


def fit(
    task: str | None = None,
    prior: str | None = None,
    *,
    model: str | None = None,
    preset: str | None = None,
    steps: int | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    start: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
    progress: bool = True,
    allow_edited: bool = False,
    **more: Any,
) -> Run:
    """Train a model on a task under a graph prior, and score its best weights on the test split.

    Options are those of ``nacgraph train``. One that is left at None is as the preset or the task
    says, and when resuming as the run began.

    Args:
        task: What to learn: a name of :mod:`nacgraph.tasks`, or of a plugin ("listops").
        prior: Graph prior: a name of :mod:`nacgraph.priors`, of a plugin, or "none"
            ("ring_of_cliques").
        model: "nac", "perceiver_io" or one between; "transformer", "linformer" ("nac").
        preset: Size of model, data and run: "tiny", "small" or "lra" ("tiny").
        steps: Optimizer steps.
        seed: Decides weights, batches and edge noise (0).
        out: The run folder; ``runs/TASK-PRIOR-MODEL-PRESET-sSEED`` if not given.
        resume: "auto" to continue the run folder if there is one; or a run folder.
        start: A run folder whose weights, and settings, this run begins with: fine-tuning.
        plugins: Python files that register tasks or priors; they are run.
        progress: Whether to print the course of the run.
        allow_edited: Resume a run whose configuration was edited since.
        more: Any other option of ``nacgraph train``, as ``width=32``, or nested, as
            ``optimizer={"clip": 0}``.

    Returns:
        The finished run, with its best weights.

    Raises:
        ConfigError: Listing all that is wrong with the options.
        CheckpointError: If a run to go on from is damaged.
        NonFiniteError: If a loss or gradient became NaN or infinite; the weights are intact.
        TrainingStopped: After Ctrl-C, a KeyboardInterrupt; ``resume="auto"`` goes on.

    Example:
        >>> run = nacgraph.fit("listops", "ring_of_cliques", steps=200)  # doctest: +SKIP
        >>> run.evaluate().accuracy  # doctest: +SKIP
        0.52
    """
    options = {
        **{"task": task, "prior": prior, "model": model, "preset": preset, "seed": seed},
        **{"steps": steps, "out": out, "start": start, "resume": resume, **more},
    }
    asked = {name: value for name, value in options.items() if value is not None}
    parsed = layered({**asked, "plugin": plugin_list(plugins)})
    config = parsed.config
    plan = make_plan(config, parsed.asked, parsed.notes, allow_edited)
    with nullcontext() if progress else no_progress():
        return train(plan, Progress(config.steps, quiet=not progress))


def train(plan: Plan, progress: Progress) -> Run:
    """Train as planned, choose the best weights, read the test split once, write the results.

    Args:
        plan: Of :func:`nacgraph.training.plan.make_plan`.
        progress: What shows the course of the run.

    Raises:
        CheckpointError, NonFiniteError, TrainingStopped: As :func:`fit` does.
    """
    if plan.complete:
        progress.say(f"{plan.folder} is complete")
        return load_run(plan.folder)
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    if plan.config.threads:
        torch.set_num_threads(plan.config.threads)
    torch.set_default_dtype(torch.float32)  # a run's numbers depend on its configuration alone
    try:
        with torch.inference_mode(False), _claimed(plan) as there:
            return _train(there, progress)
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)


@contextmanager
def _claimed(plan: Plan) -> Iterator[Plan]:
    """The plan with its folder held; a start that fails before its first checkpoint leaves none.

    Without ``--out``, a folder that another process took in the meantime gives way to the next.
    """
    if process_rank(plan.config) != 0:
        yield plan
        return
    config, fresh = plan.config, not (plan.folder / "config.yaml").exists()
    named = config.out is not None or config.resume != "none"

    def choose() -> Path:
        return plan.folder if named else numbered(default_folder(config))[-1]

    with claimed(choose, new=not named) as folder:
        if fresh and (folder / "config.yaml").exists():
            raise ConfigError([f"out: expected a new or empty folder, got {folder}, a run"])
        try:
            yield replace(plan, folder=folder)
        except BaseException:
            if fresh:
                remove_start(folder)
            raise


def _train(plan: Plan, progress: Progress) -> Run:
    from nacgraph.training.loop import NACLightning
    from nacgraph.training.trainer import make_trainer, silent_lightning

    config, first = plan.config, process_rank(plan.config) == 0
    progress.quiet |= not first
    progress.steps = config.steps
    for note in plan.notes:
        progress.say(f"note: {note}")
    progress.say(headline(plan))
    # A resumed run may be started from another folder than it was.
    record = read_data_record(plan.folder) if plan.resumed else {}
    task = build_task(config, **data_place(config, record))
    progress.say(f"data       {task.describe()}")
    task.prepare()
    target = build_target(config)
    if config.start is None:
        model = build_model(config, task, target)
    else:
        model = start_model(config, task)
        if plan.checkpoint is None:
            progress.say(f"start      weights of {config.start}")
    folder = RunFolder(plan.folder) if first else None
    progress.baselines = task.baselines("val") if first else {}
    progress.floor = prior_floor(config, target) if first else None
    if folder is not None and not plan.resumed:
        folder.create(config, task)
    elif folder is not None and (seen := read_samples(plan.folder)) is not None:
        if not same_samples(task, seen[0]):
            got = f"{task.describe()}, whose training samples are others"
            raise ConfigError([f"data: expected that of {plan.folder}, got {got}"])
    module = NACLightning(model, task, config, target, folder, progress, plan.checkpoint)
    if plan.checkpoint is not None:
        module.restore(plan.checkpoint)
    progress.first = module.step
    introduce(module, plan)
    try:
        with silent_lightning():
            trainer = make_trainer(config, config.steps - module.step)
            if module.step < config.steps:
                trainer.fit(module)
    except NonFiniteError as error:
        kept, _ = newest_valid(plan.folder / "checkpoints")
        left = f"the last good checkpoint is {kept.path}" if kept else "there was no checkpoint yet"
        raise NonFiniteError(f"{error}; {left}") from None
    finally:
        module.close()
    if module.stopped:
        go_on = command_line("train", "--resume", plan.folder, plugins=config.plugin)
        raise TrainingStopped(
            f"stopped at step {module.step} of {config.steps}; continue with: {go_on}",
            module.asked_to_stop or 2,
        )
    return _finished(module, plan)


def _finished(module: NACLightning, plan: Plan) -> Run:
    """Score the best weights on the test split, once, and write circuit and summary."""
    from nacgraph.training.results import choose_weights, save_results

    progress = module.progress
    path = Path(module.checkpoints or plan.folder / "checkpoints")
    checkpoint = choose_weights(module, path)
    test = module.evaluate("test", tell=True)
    if module.folder is not None:
        save_results(module, test)
        low, high = test.ci95
        progress.say(
            f"test       {percent(test.accuracy)} of {test.n} (95 %: {percent(low)} to "
            f"{percent(high)}); {beside(module.task.baselines('test'))}"
        )
    if checkpoint is None:
        raise CheckpointError(f"{plan.folder}: no valid checkpoint")
    return Run(plan.folder, module.model.cpu().eval(), module.task, plan.config, checkpoint, [])


def start_model(config: RunConfig, task: Task) -> Model:
    """A model of this configuration with the weights of the run folder ``config.start``.

    Raises:
        CheckpointError: If there is no valid checkpoint, or it is one of another model.
    """
    # Its signatures come with the weights, so none are looked for near the prior.
    model = build_model(without_start(config), task, None)
    checkpoint, skipped = best_or_newest(Path(config.start or "") / "checkpoints")
    if checkpoint is None:
        raise CheckpointError(
            f"start: expected a run folder with a checkpoint; {'; '.join(skipped)}"
        )
    load_weights(model, checkpoint)
    return model


def prior_floor(config: RunConfig, target: Tensor | None) -> float | None:
    """The least prior loss that signatures of this width reach at this bandwidth."""
    if target is None:
        return None
    from nacgraph.priors.reachable import reachable_floor

    engine = config.nac_config()
    return float(
        reachable_floor(target, engine.bandwidth, engine.signature_dim, kind=config.prior.loss)
    )


def headline(plan: Plan) -> str:
    """What is trained."""
    config = plan.config
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
    if kind == "cpu" and (text := memory_warning(config, module.model, module.task)):
        say(f"warning: {text}", error=True)
    say(f"results    {plan.folder}")


def sizes(config: RunConfig) -> str:
    """``32 modules, 4 rounds, width 64``, or what a model without modules is made of."""
    model = config.model
    if isinstance(model, NACConfig):
        return f"{model.modules} modules, {model.rounds} rounds, width {model.width}"
    most = f"up to {model.linformer_tokens} sums of " if model.linformer_tokens else ""
    return f"attention to {most}all tokens, {model.rounds} rounds, width {model.width}"
