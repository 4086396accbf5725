"""Lightning's Trainer as the commands use it: its devices and nodes, none of its talk."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl

from nacgraph.training.config import RunConfig
from nacgraph.utils.machine import device_of


@contextmanager
def silent_lightning() -> Iterator[None]:
    """Within it Lightning is quiet; afterwards warnings and loggers are as they were."""
    loggers = [logging.getLogger(n) for n in ("pytorch_lightning", "lightning_fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\..*")
            warnings.filterwarnings(
                "ignore", message=r".*(IterableDataset|num_workers|lr_scheduler).*"
            )
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def make_trainer(config: RunConfig, steps: int) -> pl.Trainer:
    """A Trainer for ``steps`` further steps, on the devices of the configuration."""
    device = device_of(config.device)
    strategy: Any = "auto"
    if config.devices * config.nodes > 1:
        from pytorch_lightning.strategies import DDPStrategy

        # No buffer changes while training, so none needs to be sent around each step. Without a
        # gradient through the edges signatures get none; else every parameter is used.
        strategy = DDPStrategy(
            broadcast_buffers=False,
            find_unused_parameters=(
                config.has_circuit() and config.nac_config().mode == "threshold"
            ),
            process_group_backend="gloo" if device == "cpu" else "nccl",
        )
    return pl.Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=config.devices,
        num_nodes=config.nodes,
        strategy=strategy,
        precision="bf16-mixed" if config.precision == "bf16-mixed" else "32-true",
        max_steps=steps,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
