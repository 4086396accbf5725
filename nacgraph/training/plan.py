"""What a training is about to do: which folder, which configuration, which checkpoint."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nacgraph.training.checkpoint import Checkpoint, newest_valid
from nacgraph.training.config import FREE_ON_RESUME, RunConfig
from nacgraph.training.flags import shown, to_paths
from nacgraph.training.folder import read_data_record
from nacgraph.training.plugins import missing, recorded_plugins
from nacgraph.training.run import read_config
from nacgraph.utils.commands import command_line
from nacgraph.utils.errors import CheckpointError, ConfigError


@dataclass(frozen=True)
class Plan:
    """What to run, where, and from which checkpoint."""

    config: RunConfig
    folder: Path
    checkpoint: Checkpoint | None
    notes: list[str]

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to train: the run has its results."""
        return self.checkpoint is not None and (self.folder / "summary.json").is_file()


def process_rank(config: RunConfig) -> int:
    """Rank of this process as torchrun, SLURM or Lightning's own launcher tell it."""
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name])
    node = int(os.environ.get("NODE_RANK", "0"))
    return node * config.devices + int(os.environ.get("LOCAL_RANK", "0"))


def as_launched(config: RunConfig) -> RunConfig:
    """Under torchrun, the devices and nodes that it started, so that they need no saying twice."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return config
    each = int(os.environ["LOCAL_WORLD_SIZE"])
    return replace(config, devices=each, nodes=int(os.environ["WORLD_SIZE"]) // each)


def default_folder(config: RunConfig) -> Path:
    """``runs/TASK-PRIOR-MODEL-PRESET-sSEED``."""
    words = "-".join(str(word) for word in list(config.labels().values())[:-1])
    return Path("runs") / f"{words}-s{config.seed}"


def numbered(folder: Path) -> list[Path]:
    """``folder``, ``folder-2``, ``folder-3``, … as far as they exist, and the first free one."""
    found = [folder]
    while found[-1].exists():
        found.append(folder.with_name(f"{folder.name}-{len(found) + 1}"))
    return found


def make_plan(config: RunConfig, asked: Collection[str] = (), notes: Sequence[str] = ()) -> Plan:
    """Find the run folder and, when resuming, its configuration and newest valid checkpoint.

    Args:
        config: What is to be trained.
        asked: Paths of what was asked for, rather than left to defaults: a resumed run must agree
            in these, and only these, with what it began as.
        notes: Remarks so far.

    Raises:
        ConfigError: If the folder is in use, is no run, or was made by another configuration; if
            a part that the configuration names does not exist.
        CheckpointError: If all checkpoints of the run are damaged.
    """
    plan = _place(config, asked, list(notes), first=process_rank(config) == 0)
    plan = replace(plan, config=as_launched(plan.config))
    check_parts(plan.config)
    return plan


def _place(config: RunConfig, asked: Collection[str], notes: list[str], first: bool) -> Plan:
    existing = numbered(Path(config.out) if config.out else default_folder(config))
    if config.resume == "none":
        folder = existing[0] if config.out else existing[-1]
        if first and config.out and folder.exists() and _content(folder):
            raise ConfigError(
                [
                    f"out: expected a new or empty folder, got {folder}, which holds "
                    f"{', '.join(_content(folder)[:3])} …; to continue it add --resume auto"
                ]
            )
        return Plan(config, folder, None, notes)
    if config.resume == "auto":
        folder = existing[0] if config.out else existing[max(0, len(existing) - 2)]
        if not (folder / "config.yaml").is_file():
            if first and folder.exists() and _content(folder):
                raise ConfigError([f"out: expected a run folder or a new one, got {folder}"])
            return Plan(config, folder, None, [*notes, "nothing to resume: a new run"])
    else:
        folder = Path(config.resume)
    stored = read_config(folder)
    there, here = to_paths(stored.as_dict()), to_paths(config.as_dict())
    changed = [
        f"{shown(path)}: expected {there.get(path)!r} as in {folder}, got {here.get(path)!r}"
        for path in asked
        if path not in FREE_ON_RESUME and here.get(path) != there.get(path)
    ]
    if absent := missing(recorded_plugins(stored.plugin, read_data_record(folder))):
        changed.append(f"plugin: {absent}")
    if changed:
        raise ConfigError(changed)
    checkpoint, skipped = newest_valid(folder / "checkpoints")
    notes += [f"skipped {text}" for text in skipped]
    if checkpoint is None and skipped:
        raise CheckpointError(f"{folder}: every checkpoint is damaged: " + "; ".join(skipped))
    if checkpoint is None and (folder / "summary.json").is_file():
        raise ConfigError(
            [
                f"resume: expected an unfinished run, got {folder}, which holds weights but no "
                "step to go on from; begin a new run with them: "
                + command_line("train", "--start", folder, plugins=config.plugin)
            ]
        )
    # What may differ is taken from this call as far as it was asked for.
    free = {k: getattr(config, k) for k in FREE_ON_RESUME if k in asked and "." not in k}
    free |= {"plugin": config.plugin or stored.plugin, "resume": config.resume}
    if "task.cache_dir" in asked:
        free["task"] = stored.task.changed(cache_dir=config.task.parameters.get("cache_dir"))
    return Plan(replace(stored, **free), folder, checkpoint, notes)


def _content(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else [folder.name]


def check_parts(config: RunConfig) -> None:
    """Everything that names a part must name one that there is; all problems at once.

    Raises:
        ConfigError: Listing them.
    """
    from nacgraph.models.nac import parts_of
    from nacgraph.priors import get_prior
    from nacgraph.tasks import get_task

    problems = []
    checks: list[Any] = [
        lambda: get_task(config.task.name),
        lambda: get_prior(config.prior.name, **config.prior.parameters),
        (lambda: parts_of(config.nac_config()))
        if config.has_circuit()
        else config.transformer_config,
    ]
    for check in checks:
        try:
            check()
        except ValueError as error:
            if str(error) not in problems:  # the model asks for the task too
                problems.append(str(error))
    if config.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            problems.append("device: expected a CUDA device, got none; use --device cpu")
    if problems:
        raise ConfigError(problems)
