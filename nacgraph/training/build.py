"""Task, prior's target and untrained model of a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_origin

from nacgraph.training.flags import TASK_FLAGS
from nacgraph.training.run_config import RunConfig
from nacgraph.utils.errors import ConfigError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from nacgraph.models.nac import NAC
    from nacgraph.models.transformer import Model
    from nacgraph.tasks import Task


def build_task(config: RunConfig, **changed: Any) -> Task:
    """The task of a configuration; ``changed`` replaces some of its parameters.

    Raises:
        ValueError: If there is no such task, or it has no such parameter, or a value will not do.
    """
    from nacgraph.tasks import get_task, parameters

    cls = get_task(config.task.name)
    known, declared = parameters(cls), cls.parameters()
    of_the_run = {
        "seed": config.seed, "batch_size": config.batch_size, "condition": config.conditioned_on()
    }  # fmt: skip
    given = {**config.task.parameters, **changed}
    # Names that every task could be given until 0.1, and that a caller says of any data.
    optional = (*TASK_FLAGS, *of_the_run, "whole_is_test")
    given = {k: v for k, v in given.items() if k in known or k not in optional}
    if strange := [name for name in given if name not in known]:
        raise ValueError(
            f"task.{strange[0]}: expected one of {', '.join(declared) or 'none'} for task "
            f"{config.task.name}, got {nearest(strange[0], declared)}"
        )
    if wrong := cls.problems({k: v for k, v in given.items() if k in declared}):
        raise ConfigError(wrong)
    for name, value in given.items():  # YAML has no tuples
        if name in declared and get_origin(declared[name].kind) is tuple:
            given[name] = tuple(value)
    return cls(**{**{k: v for k, v in of_the_run.items() if k in known}, **given})


def build_target(config: RunConfig) -> Tensor | None:
    """The prior's link probabilities for this many modules, or None without a prior."""
    from nacgraph.priors import get_prior

    prior = get_prior(config.prior.name, **config.prior.parameters)
    return None if prior.is_none or not config.modules else prior.edge_probabilities(config.modules)


def build_model(config: RunConfig, task: Task, target: Tensor | None) -> Model:
    """The untrained model of a configuration; equal seeds make equal weights."""
    from nacgraph.models.transformer import Transformer

    model: Model
    if config.has_circuit():
        model = build_nac(config, task, target)
    else:
        sizes = config.transformer_config()
        tokenizer = task.tokenizer(sizes.width, seed=config.seed)
        most = task.max_tokens(tokenizer)
        model = Transformer(sizes, tokenizer, task.num_classes, most, config.seed)
    model.classes = task.classes
    return model


def build_nac(config: RunConfig, task: Task, target: Tensor | None) -> NAC:
    """The untrained circuit of a configuration, without names of classes."""
    from nacgraph.models.nac import NAC

    engine = config.nac_config()
    tokenizer = task.tokenizer(engine.width, seed=config.seed)
    conditioner = None
    if engine.condition == "task":
        conditioner = task.conditioner(engine.width, seed=config.seed)
        if conditioner is None:
            raise ValueError(
                f"condition: task {config.task.name} has no conditioning tokens, so expected "
                "none or inputs, got task"
            )
    return NAC(engine, tokenizer, task.num_classes, target, config.seed, conditioner)


def without_start(config: RunConfig) -> RunConfig:
    """The same, but signatures that begin anywhere: where weights are loaded over them."""
    return config.with_model(signature_start="random") if config.has_circuit() else config
