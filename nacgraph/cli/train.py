"""``nacgraph train``: from a command line to a trained circuit in a run folder."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from nacgraph.cli.answer import note
from nacgraph.cli.options import parse
from nacgraph.utils.commands import command_line
from nacgraph.utils.errors import CheckpointError, ConfigError, NonFiniteError, TrainingStopped

if TYPE_CHECKING:
    from nacgraph.training.plan import Plan

USAGE, NOT_FINITE, NOT_WRITTEN = 2, 3, 4
ESTIMATE, ALLOW_EDITED = "--estimate", "--allow-edited"


def main(argv: Sequence[str] | None = None) -> int:
    """Train; returns the exit code (2 usage, 3 loss not finite, 4 disk, 128 + signal)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        parsed = parse([text for text in arguments if text not in (ESTIMATE, ALLOW_EDITED)])
        from nacgraph.training.plan import make_plan  # after --help and typos

        plan = make_plan(parsed.config, parsed.asked, parsed.notes, ALLOW_EDITED in arguments)
        return measure(plan) if ESTIMATE in arguments else run(plan)
    except ConfigError as error:
        return _fail("\n".join(f"error: {text}" for text in error.problems), USAGE)
    except NonFiniteError as error:
        return _fail(f"error: {error}", NOT_FINITE)
    except CheckpointError as error:
        return _fail(f"error: {error}", NOT_WRITTEN)
    except (ValueError, FileNotFoundError) as error:
        return _fail(f"error: {error}", USAGE)
    except OSError as error:
        full = f"the disk is full ({error.filename}); checkpoints stay"
        return _fail(f"error: {full if error.errno == errno.ENOSPC else error}", NOT_WRITTEN)


def _fail(text: str, code: int) -> int:
    note(text)
    return code


def run(plan: Plan) -> int:
    """Train as planned and say where the results are."""
    from nacgraph.training.fit import train
    from nacgraph.training.plan import process_rank
    from nacgraph.utils.progress import Progress

    look = partial(command_line, "evaluate", plugins=plan.config.plugin)
    if plan.complete:
        print(f"{plan.folder} is complete; read it with: {look(plan.folder)}")
        return 0
    progress = Progress(plan.config.steps, quiet=process_rank(plan.config) != 0)
    try:
        folder = train(plan, progress).path
    except TrainingStopped as stop:
        progress.say(str(stop))
        return 128 + stop.signal
    progress.say(f"results    {folder}\nnext       {look(folder)}")
    return 0


def measure(plan: Plan) -> int:
    """Measure what memory the run would take, on a few steps of its model; trains nothing."""
    import torch

    from nacgraph.training.memory import estimate

    if plan.config.threads:
        torch.set_num_threads(plan.config.threads)
    print("\n".join(estimate(plan.config).lines()))
    return 0
