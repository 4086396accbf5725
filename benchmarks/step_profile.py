"""Where the CPU time of a training step goes: arithmetic of the model, and all the rest.

    python benchmarks/step_profile.py --preset tiny
    python benchmarks/step_profile.py --preset lra --steps 50

Real steps of a real run (Trainer, run folder, checkpoints, matching at its own pace) on one thread.
Functions are wrapped from outside; a wrapped function's time is its own, without that of wrapped
functions which it calls. Time is that of the process's CPU. The run starts beyond the curriculum,
so that sequences have the preset's own lengths; training data is fewer sequences of the same
lengths, which changes no step. Validation is timed apart and is part of no share.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import nacgraph.priors.matching
import nacgraph.training.loop
from nacgraph.cli.options import parse
from nacgraph.training.build import build_model, build_target, build_task
from nacgraph.training.config import RunConfig
from nacgraph.training.folder import RunFolder
from nacgraph.training.loop import NACLightning
from nacgraph.training.trainer import make_trainer
from nacgraph.utils.progress import Progress

# The model's arithmetic, and the optimizer beside it; everything else is overhead.
ARITHMETIC = ("tokenizer", "circuit forward", "loss", "backward", "optimizer (AdamW)")
APART = ("validation",)
WARM = 10  # steps before the clock starts: the first matching, buffers, compiled kernels
BAR = 0.15


class Clock:
    """CPU seconds by part; nested parts are taken out of those around them."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._open: list[str] = []
        self._since = time.process_time()

    def _account(self) -> None:
        now = time.process_time()
        self.seconds[self._open[-1] if self._open else "Lightning's loop"] += now - self._since
        self._since = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._account()
        self._open.append(name)
        self.calls[name] += 1
        try:
            yield
        finally:
            self._account()
            self._open.pop()

    def reset(self) -> None:
        self.seconds.clear()
        self.calls.clear()
        self._since = time.process_time()

    def read(self) -> tuple[dict[str, float], dict[str, int]]:
        self._account()
        return dict(self.seconds), dict(self.calls)

    def wrap(self, owner: Any, name: str, part: str) -> None:
        """Time ``owner.name`` as ``part`` from now on."""
        if hasattr(owner, name):  # else the library has no such step
            setattr(owner, name, self.around(getattr(owner, name), part))

    def around(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(part):
                return function(*args, **kwargs)

        return timed


class Profiled(NACLightning):
    """The real module, stopped and read by the clock after ``warm`` and after all steps."""

    clock: Clock
    first, last = 0, 0
    counted: tuple[dict[str, float], dict[str, int]] = ({}, {})

    def on_train_start(self) -> None:
        super().on_train_start()
        self.first, self.last = self.step, self.step + self.trainer.max_steps
        self._wrap_optimizer(self.trainer.optimizers[0])

    def _wrap_optimizer(self, optimizer: Any) -> None:
        step, clock = optimizer.step, self.clock

        def timed(closure: Callable[[], Tensor], **kwargs: Any) -> Any:
            with clock.part("optimizer (AdamW)"):
                return step(closure=clock.around(closure, "Lightning's loop"), **kwargs)

        optimizer.step = timed
        clock.wrap(optimizer, "zero_grad", "optimizer (AdamW)")

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        with self.clock.part("rest of the step's Python"):
            super().on_train_batch_end(outputs, batch, index)
        if self.step == self.first + WARM:
            self.clock.reset()
        if self.step == self.last:
            self.counted = self.clock.read()

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        with self.clock.part("backward"):
            super().backward(loss, *args, **kwargs)


def wrap(module: Profiled, clock: Clock) -> None:
    model = module.model
    clock.wrap(module.task, "train_batch", "data")
    clock.wrap(module, "transfer_batch_to_device", "data")
    clock.wrap(module, "training_step", "rest of the step's Python")
    clock.wrap(model.tokenizer, "forward", "tokenizer")
    clock.wrap(model.generator, "forward", "generator and edge sampling")
    clock.wrap(model.circuit.kernel, "draws", "generator and edge sampling")
    clock.wrap(model.circuit, "forward", "circuit forward")
    clock.wrap(module.task, "loss", "loss")
    if module.prior_loss is not None:
        clock.wrap(module.prior_loss, "forward", "prior loss")
    clock.wrap(nacgraph.priors.matching, "match", "matching")
    for name in ("mean_degree", "isolated"):
        clock.wrap(nacgraph.training.loop, name, "metrics of the step")
    clock.wrap(module, "_note", "metrics of the step")
    clock.wrap(nacgraph.training.loop, "noise_generator", "rest of the step's Python")
    clock.wrap(module, "on_before_optimizer_step", "clipping, finite checks")
    clock.wrap(module, "on_train_batch_start", "rest of the step's Python")
    clock.wrap(module.folder, "log", "logging and progress")
    clock.wrap(module.progress, "step", "logging and progress")
    clock.wrap(module, "save", "checkpoints")
    clock.wrap(module, "_validate", "validation")


def profile(preset: str, steps: int, first: int | None, flags: list[str]) -> dict[str, Any]:
    """CPU seconds a step by part, of ``steps`` steps after the curriculum."""
    config = configured(preset, flags)
    if first is None:  # beyond the curriculum
        first = max(
            (until for _, until in config.task.parameters["curriculum"]),
            default=config.optimizer.warmup,
        )
    if first + WARM + steps >= config.steps:  # the last step of a run validates and saves
        raise SystemExit(f"first: expected below {config.steps - WARM - steps}, got {first}")
    torch.set_num_threads(1)
    task = build_task(config)
    task.prepare()
    target = build_target(config)
    model = build_model(config, task, target)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "run")
        run.create(config, task)
        module = Profiled(model, task, config, target, run, Progress(config.steps))
        module.clock = Clock()
        module.step = first
        wrap(module, module.clock)
        trainer = make_trainer(config, WARM + steps)
        try:
            trainer.fit(module)
        finally:
            module.close()
    if not module.counted[0]:
        raise SystemExit(f"stopped at step {module.step}, before {module.last}")
    seconds, calls = module.counted
    return {
        "preset": preset,
        "steps": steps,
        "first_step": module.first + WARM,
        "flags": [flag for flag in flags if "cache" not in flag],  # a folder of this machine
        "machine": f"{platform.machine()}, one thread, torch {torch.__version__}",
        "ms": {name: 1e3 * s / steps for name, s in seconds.items()},
        "calls": calls,
    }


def configured(preset: str, flags: list[str]) -> RunConfig:
    """The preset with fewer sequences, unless the flags ask for a number of them."""
    size = min(3000, parse([f"--preset={preset}"]).config.task.parameters["train_size"])
    few = (f"--train_size={size}", "--val_size=64", "--test_size=64", "--threads=1")
    asked = " ".join(flags).replace("-", "_")
    kept = [flag for flag in few if flag[2:].split("=")[0] not in asked]
    return parse([f"--preset={preset}", *kept, *flags]).config


def table(found: dict[str, Any]) -> tuple[str, float]:
    """A Markdown table, and the share of all that is not arithmetic."""
    ms: dict[str, float] = dict(found["ms"])
    apart = {name: ms.pop(name) for name in APART if name in ms}
    total = sum(ms.values())
    overhead = sum(t for name, t in ms.items() if name not in ARITHMETIC)
    rows = sorted(ms.items(), key=lambda item: (item[0] not in ARITHMETIC, -item[1]))
    lines = ["| part | ms a step | share |", "|---|---|---|"]
    lines += [f"| {name} | {t:.3f} | {100 * t / total:.1f} % |" for name, t in rows]
    lines += [
        f"| **whole step** | {total:.3f} | 100 % |",
        f"| **all but arithmetic** (bar: {100 * BAR:.0f} %) | {overhead:.3f} "
        f"| **{100 * overhead / total:.1f} %** |",
    ]
    lines += [f"| {name}, not counted above | {t:.3f} | |" for name, t in apart.items()]
    return "\n".join(lines), overhead / total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--steps", type=int, default=100, help="steps profiled, after a warm-up")
    parser.add_argument("--first", type=int, help="step to start at; after the curriculum")
    parser.add_argument("--out", type=Path, help="JSON; results/step-profile-PRESET.json")
    parser.add_argument("flags", nargs="*", help="further flags of `nacgraph train`, after --")
    a = parser.parse_args()
    found = profile(a.preset, a.steps, a.first, a.flags)
    text, share = table(found)
    found["overhead_share"] = share
    results = Path(__file__).resolve().parent / "results"
    out = a.out or results / f"step-profile-{a.preset}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    title = f"{a.preset}, steps {found['first_step']} to {found['first_step'] + a.steps}"
    print(f"{title}; {found['machine']}\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
