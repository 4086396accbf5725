"""How much memory a run needs at most, about, from its sizes alone: no step is tried.

:func:`nacgraph.training.memory.estimate` measures; it takes seconds and is for ``nacgraph doctor``
and ``nacgraph train --estimate``. Here is what training asks before its first step, at no cost. The
numbers that are alive at the end of a forward pass, for a sample of T tokens:

.. math::
    4 T D (1 + s) \\;+\\; r\\,h_r T (U + 2 d_r) \\;+\\; 4 (L + r + 1)\\, U D (4 + f)
    \\;+\\; L\\, h\\, U (U + 4 d) \\;[\\;+\\; 12\\, U D f]

with D the width, s the blocks of the stem, L rounds, r readings of the tokens by h_r heads of width
d_r, f the factor of the feed-forward blocks, h heads of width d, and U modules, read-outs among
them (all tokens, in a model without a circuit). The last term is the generator of a conditional
circuit. The factors were fitted to measured estimates and rounded up: over 21 of them, the presets
among them, the formula gave 1.2 to 3.5 times the measured peak. A test holds it between 1 and 4.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from nacgraph.tasks import Task
from nacgraph.training.config import RunConfig
from nacgraph.utils.machine import available, resident

NUMBER = 4  # bytes; of bf16-mixed about half of the numbers are as long
HEAP = 1.6  # the heap that holds the tensors, with its holes, for a byte of them
SCORED = 12  # tensors of the tokens' size that are alive while a batch is scored
WEIGHTS = 9  # copies of the weights: gradient and two moments, and two of each while saving


def upper_peak(config: RunConfig, model: Any, task: Task) -> int:
    """Bytes beyond data and libraries that training takes at its peak, by the formula above.

    Args:
        config: The run.
        model: Its model.
        task: Its task.
    """
    samples = max(1, config.batch_size // (config.devices * config.nodes))
    longest = most_tokens(model.tokenizer, task)
    full = task.full_batch_length()
    tokens = longest if full is None else max(1, min(full, longest))
    sizes = config.model
    width, rounds, ffn = sizes.width, sizes.rounds, sizes.ffn_factor
    numbers = 4.0 * tokens * width * (1 + getattr(task, "stem_layers", 0))
    modules, readings = tokens, 0
    if config.has_circuit():
        engine = config.nac_config()
        modules = engine.modules + engine.readouts
        readings = 1 if engine.read_every == 0 else math.ceil(rounds / engine.read_every)
        numbers += readings * engine.read_heads * tokens * (modules + 2 * engine.read_head_dim)
        if engine.condition != "none":
            numbers += 12.0 * modules * width * ffn
    numbers += 4.0 * (rounds + readings + 1) * modules * width * (4 + ffn)
    numbers += rounds * sizes.heads * modules * (modules + 4 * sizes.head_dim)
    step = HEAP * NUMBER * samples * numbers
    scored = NUMBER * samples * SCORED * longest * width
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    matched = config.prior.name != "none"
    matrices = 24 * modules**2 if matched else 0  # target, matching and its copies
    return int(step + scored + WEIGHTS * weights + matrices)


def memory_warning(config: RunConfig, model: Any, task: Task) -> str | None:
    """What to say if this run may not fit into what is free now; None if it does.

    Data and model are in memory already, so that what is free now is for the steps.
    """
    free, wanted = available()[1], upper_peak(config, model, task)
    here = config.devices  # processes on this machine
    if free is None or wanted * here <= free:
        return None
    advice = "lower --batch-size" + ", or --modules" * config.has_circuit()
    return (
        f"this run may need up to {size(wanted * here)} more memory, and {size(free)} are free "
        f"({size(resident())} held): {advice}; nacgraph train --estimate measures it"
    )


def most_tokens(tokenizer: Any, task: Task) -> int:
    """The most tokens that a sample can have."""
    if (limit := task.max_tokens(tokenizer)) is not None:
        return int(limit)
    # A real sample: what a task of a user's own makes up need not fit its tokenizer.
    training = tokenizer.training
    try:
        with torch.no_grad():
            return int(tokenizer.eval()(task.train_batch(0).rows(slice(0, 1)))[1].shape[1])
    finally:
        tokenizer.train(training)


def size(amount: int | None) -> str:
    """``724 MiB``, ``1.20 GiB``."""
    if amount is None:
        return "unknown"
    return f"{amount / 2**30:.2f} GiB" if amount >= 2**30 else f"{amount / 2**20:.0f} MiB"
