"""The child of against.py: builds cases of the checkout it runs in, and times calls on request.

Started with the root of a checkout, today's or an old one, as its working directory, and reads one
JSON request a line. It takes what both checkouts have from their own ``benchmarks.cases``, and
what has moved between rooms from :data:`NAMES`.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

Call = Callable[[], Any]  # answers with a number that both checkouts must agree on

# Name: where it is now, where it was in commit 2a98585.
NAMES = {
    "parse": ("nacgraph.cli.options", "nacgraph.commands.options"),
    "build_task": ("nacgraph.training.build", "nacgraph.rundir"),
    "build_target": ("nacgraph.training.build", "nacgraph.rundir"),
    "build_model": ("nacgraph.training.build", "nacgraph.rundir"),
    "make_optimizer": ("nacgraph.training.optim", "nacgraph.optim"),
    "clip_gradients": ("nacgraph.training.optim", "nacgraph.optim"),
    "noise_generator": ("nacgraph.training.optim", "nacgraph.optim"),
    "MatchedLoss": ("nacgraph.priors", "nacgraph.priors"),
    "prune": ("nacgraph.models.pruning", "nacgraph.pruning"),
    "lesions": ("nacgraph.analysis.probing.removal", "nacgraph.probing.removal"),
    "probe": ("nacgraph.analysis.probing", "nacgraph.probing"),
}
SEED = 0
RATE = 1e-6  # steps of full cost that leave the circuit, and so its density, where it was
FEW = ("--train_size=512", "--val_size=64", "--test_size=64", "--threads=1", "--curriculum=none")
CIRCUIT = {
    "width": 128, "rounds": 4, "heads": 4, "head_dim": 32, "read_head_dim": 32, "tokens": 64,
    "degree": 32,
}  # fmt: skip


def named(name: str) -> Any:
    """What this checkout calls ``name``."""
    new = Path("nacgraph/nn").is_dir()
    return getattr(import_module(NAMES[name][0 if new else 1]), name)


def digest(values: Any) -> float:
    """A number that also tells apart equal values in another order."""
    import torch

    flat = values.detach().double().abs().flatten()
    return float(flat @ torch.arange(1.0, len(flat) + 1, dtype=flat.dtype)) / len(flat)


def preset(name: str, *flags: str) -> tuple[Any, Any, Any]:
    """Configuration, task and untrained model of a preset, with few sequences."""
    config = named("parse")([f"--preset={name}", *FEW, *flags]).config
    task = named("build_task")(config)
    task.prepare()
    return config, task, named("build_model")(config, task, named("build_target")(config))


def preset_step(name: str) -> Call:
    """The training step of a preset: forward, prior loss, backward, clipping, AdamW."""
    config, task, model = preset(name)
    target = named("build_target")(config)
    prior = named("MatchedLoss")(target, "mse", "iterated", match_every=10)
    optimizer = named("make_optimizer")(model, RATE, 0.05, 10.0)
    learning = [p for p in model.parameters() if p.requires_grad]
    batch, done = task.train_batch(0), [0]
    model.train()

    def call() -> float:
        out = model(batch, named("noise_generator")(SEED, done[0]))
        loss = task.loss(out.logits.float(), batch) + prior(out.link.float(), done[0])
        done[0] += 1
        loss.backward()
        named("clip_gradients")(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    return call


def circuit_step(modules: int, batch: int) -> Call:
    """The training step of a circuit of this size, without a prior: that of the case ``growth``."""
    from benchmarks.cases import common

    sizes = {**CIRCUIT, "modules": modules, "batch": batch}
    tokens, labels = common.tokens_of(sizes, SEED)
    model = common.circuit(sizes, SEED)
    losses = []

    def logits(generator: Any) -> Any:
        losses.append(model((tokens, None), generator).logits)
        return losses[-1]

    parts = common.training_step(model, logits, labels, SEED)

    def call() -> float:
        for part in parts.values():
            part()
        return float(losses.pop().detach().abs().sum())

    return call


def inference(model: Any, batch: Any, prepared: bool) -> Call:
    """The model's answer in evaluation mode.

    Before this step a hidden cache kept gates and graphs between plain calls; today a plain call
    makes them anew, and ``prepared`` says that they are handed over, from ``model.prepare()``.
    """
    import torch

    model.eval()
    with torch.no_grad():
        more = {"circuit": model.prepare()} if prepared and hasattr(model, "prepare") else {}

    def call() -> float:
        with torch.no_grad():
            return float(model(batch, **more).logits.abs().sum())

    return call


def preset_inference(name: str, prepared: bool) -> Call:
    _, task, model = preset(name)
    return inference(model, next(iter(task.eval_batches("val"))), prepared)


def circuit_inference(modules: int, batch: int, prepared: bool) -> Call:
    from benchmarks.cases import common

    sizes = {**CIRCUIT, "modules": modules, "batch": batch}
    model = common.circuit(sizes, SEED)
    return inference(model, (common.tokens_of(sizes, SEED)[0], None), prepared)


def comparison(case: str, contender: str, **sizes: Any) -> Call:
    """One contender of a case of ``bench.py``, forward and backward where it has both."""
    from benchmarks.cases import CASES

    parts = CASES[case].build((contender,), seed=SEED, **sizes).contenders[contender]

    def call() -> float:
        answer: Any = None
        for part in parts.values():
            answer = part()
        return digest(answer[0] if isinstance(answer, tuple) else answer)

    return call


def attention(backend: str, modules: int, links: float, batch: int) -> Call:
    case = "attention_scatter"
    sizes = {"width": 128, "heads": 8, "links": links, "batch": batch}
    return comparison(case, backend, modules=modules, **sizes)


def sampling(modules: int, mode: str) -> Call:
    """Signatures to a sampled graph and back: edges drawn, gradient of their weights and of P."""
    import torch

    from benchmarks.cases import common

    model = common.circuit({**CIRCUIT, "modules": modules}, SEED, mode=mode)
    kernel, source = model.circuit.kernel, common.seeded(SEED)
    signatures = model.generator().processor_signatures.detach().requires_grad_()

    def call() -> float:
        graph = kernel(signatures, mode=mode, generator=source)
        weight = graph.rows.log_weight
        (gradient,) = torch.autograd.grad(weight.sum(), [signatures])
        return float(gradient.abs().sum()) + len(weight)

    return call


def lesion() -> Call:
    _, task, model = preset("tiny")
    batches = [batch.rows(slice(0, 16)) for batch in list(task.eval_batches("val"))[:1]]
    return lambda: float(named("lesions")(model.eval(), task, batches).without_loss.sum())


def probing() -> Call:
    import torch

    _, task, model = preset("tiny")
    run, few = named("probe"), {"samples": 32, "lesion_samples": 0}
    return lambda: digest(torch.from_numpy(run(model.eval(), task, **few).token_attention))


def pruning() -> Call:
    """A pruned model is made and answers a batch."""
    _, task, model = preset("small")
    batch, kept = next(iter(task.eval_batches("val"))), range(0, model.config.modules, 4)
    return lambda: inference(named("prune")(model.eval(), list(kept)), batch, False)()


CASES: dict[str, tuple[Callable[..., Call], dict[str, Any]]] = {
    "step, preset tiny": (preset_step, {"name": "tiny"}),
    "step, preset small": (preset_step, {"name": "small"}),
    "step, 256 modules": (circuit_step, {"modules": 256, "batch": 4}),
    "step, 1024 modules": (circuit_step, {"modules": 1024, "batch": 1}),
    "evaluation, preset tiny, plain call": (preset_inference, {"name": "tiny", "prepared": False}),
    "evaluation, preset tiny, prepared": (preset_inference, {"name": "tiny", "prepared": True}),
    "evaluation, preset small, plain call": (
        preset_inference,
        {"name": "small", "prepared": False},
    ),
    "evaluation, preset small, prepared": (preset_inference, {"name": "small", "prepared": True}),
    "evaluation, 256 modules, plain call": (
        circuit_inference,
        {"modules": 256, "batch": 4, "prepared": False},
    ),
    "evaluation, 256 modules, prepared": (
        circuit_inference,
        {"modules": 256, "batch": 4, "prepared": True},
    ),
    "evaluation, 1024 modules, plain call": (
        circuit_inference,
        {"modules": 1024, "batch": 1, "prepared": False},
    ),
    "evaluation, 1024 modules, prepared": (
        circuit_inference,
        {"modules": 1024, "batch": 1, "prepared": True},
    ),
    "attention fused, 64 modules": (
        attention,
        {"backend": "fused", "modules": 64, "links": 0.5, "batch": 8},
    ),
    "attention fused, 256 modules": (
        attention,
        {"backend": "fused", "modules": 256, "links": 0.125, "batch": 8},
    ),
    "attention fused, 1024 modules": (
        attention,
        {"backend": "fused", "modules": 1024, "links": 0.03125, "batch": 8},
    ),
    "attention scatter, 256 modules": (
        attention,
        {"backend": "scatter", "modules": 256, "links": 0.125, "batch": 2},
    ),
    "read-in": (
        comparison,
        {"case": "read_in", "contender": "folded", "modules": 64, "tokens": 256, "width": 128,
         "batch": 8, "heads": 1, "head_dim": 64},
    ),
    "matching, 256 modules": (
        comparison,
        {"case": "matching", "contender": "warm refresh", "modules": 256, "strayed": 0.0},
    ),
    "matching, 512 modules": (
        comparison,
        {"case": "matching", "contender": "warm refresh", "modules": 512, "strayed": 0.0},
    ),
    "edge sampling, 256 modules": (sampling, {"modules": 256, "mode": "concrete"}),
    "edge sampling, 1024 modules": (sampling, {"modules": 1024, "mode": "hard"}),
    "lesions, preset tiny": (lesion, {}),
    "probe, preset tiny": (probing, {}),
    "pruning, preset small": (pruning, {}),
}  # fmt: skip


def main() -> None:
    sys.path[0] = os.getcwd()
    # What a case prints must not get between the answers.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    import torch

    torch.set_num_threads(1)
    call: Call = float
    for line in sys.stdin:
        order = json.loads(line)
        if name := order.get("case"):
            build, sizes = CASES[name]
            call = build(**{**sizes, **order["changed"]})
            call()  # compiles
            gc.collect()
        gc.disable()
        start, answer = time.process_time(), 0.0
        for _ in range(order["calls"]):
            answer = call()
        seconds = time.process_time() - start
        gc.enable()
        print(json.dumps({"seconds": seconds, "answer": answer}), file=replies, flush=True)


if __name__ == "__main__":
    main()
