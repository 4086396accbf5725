"""``nacgraph train``: from a command line to a trained circuit in a run folder."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nacgraph.cli.options import parse
from nacgraph.cli.outcome import finish, headline, introduce
from nacgraph.cli.plan import Plan, as_launched, check_parts, make_plan, process_rank
from nacgraph.training.checkpoint import best_or_newest, newest_valid
from nacgraph.training.config import RunConfig
from nacgraph.training.run import (
    RunFolder,
    build_model,
    build_target,
    build_task,
    load_weights,
    without_start,
)
from nacgraph.utils.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from nacgraph.models.transformer import Model
    from nacgraph.tasks import Task

USAGE, NOT_FINITE, NOT_WRITTEN = 2, 3, 4


def main(argv: Sequence[str] | None = None) -> int:
    """Train; returns the exit code (2 usage, 3 loss not finite, 4 disk, 130 Ctrl-C)."""
    try:
        parsed = parse(sys.argv[1:] if argv is None else argv)
        plan = make_plan(parsed, first=process_rank(parsed.config) == 0)
        plan = replace(plan, config=as_launched(plan.config))
        check_parts(plan.config)
        return run(plan)
    except ConfigError as error:
        return _fail("\n".join(f"error: {text}" for text in error.problems), USAGE)
    except CheckpointError as error:
        return _fail(f"error: {error}", NOT_WRITTEN)
    except (ValueError, FileNotFoundError) as error:
        return _fail(f"error: {error}", USAGE)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return _fail(f"error: the disk is full ({error.filename}); checkpoints stay", NOT_WRITTEN)


def _fail(text: str, code: int) -> int:
    print(text, file=sys.stderr, flush=True)
    return code


def run(plan: Plan) -> int:
    """Train as planned, read the test split once, write the results."""
    import torch

    from nacgraph.training.loop import NACLightning, NonFiniteError
    from nacgraph.training.trainer import make_trainer
    from nacgraph.utils.progress import Progress

    config, first = plan.config, process_rank(plan.config) == 0
    if (plan.folder / "summary.json").is_file() and plan.checkpoint is not None:
        print(f"{plan.folder} is complete; read it with: nacgraph evaluate {plan.folder}")
        return 0
    if config.threads:
        torch.set_num_threads(config.threads)
    task = build_task(config)
    progress = Progress(config.steps, quiet=not first)
    for note in plan.notes:
        progress.say(f"note: {note}")
    progress.say(headline(config, plan))
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
    if folder is not None and plan.checkpoint is None:
        folder.create(config, task)
    module = NACLightning(model, task, config, target, folder, progress, plan.checkpoint)
    if plan.checkpoint is not None:
        module.restore(plan.checkpoint)
    progress.first = module.step
    introduce(module, plan)
    trainer = make_trainer(config, config.steps - module.step)
    try:
        if module.step < config.steps:
            trainer.fit(module)
    except NonFiniteError as error:
        return stopped_by(error, plan.folder if first else None)
    finally:
        module.close()
    if module.stopped:
        progress.say(
            f"stopped at step {module.step} of {config.steps}; continue with: "
            f"nacgraph train --resume {plan.folder}"
        )
        return 128 + (module.asked_to_stop or 2)
    return finish(module, plan)


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


def stopped_by(error: Exception, folder: Path | None) -> int:
    """Say why the run stopped and what is left of it."""
    if folder is None:
        return NOT_FINITE
    kept, _ = newest_valid(folder / "checkpoints")
    left = f"the last good checkpoint is {kept.path}" if kept else "there was no checkpoint yet"
    return _fail(f"error: {error}; {left}", NOT_FINITE)
