"""How much memory a training run will take at its peak, measured on a small piece of it.

No formula of any layer is written here, since such formulas rot. One step of the real model runs
on a few made-up samples of the longest length, while :class:`~nacgraph.utils.machine.Live` counts
every tensor that is alive, backward pass included. Where the whole batch would take too long, two
smaller ones give it by a straight line.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from nacgraph.nn.attention import choose
from nacgraph.nn.circuit import CircuitOutput
from nacgraph.priors import MatchedLoss, get_prior, matched_loss, prior_signatures, reachable_floor
from nacgraph.training.build import build_model, build_task, without_start
from nacgraph.training.config import RunConfig
from nacgraph.training.footprint import most_tokens, size
from nacgraph.utils.machine import Live, heap_fragments, peak_of, trimmed

LENGTH, MODULES = 2048, 1024  # no longer and no more are tried; beyond, memory is extrapolated
# Numbers in the states and tokens of a trial: as many as take about a second, since small tensors
# go other ways through the layers than large ones.
TRIAL = 2**19
SMALL = (64, 128)  # modules with which matching and floor are tried: their matrices are U x U
LOADING = 3  # copies of the data while it is generated, shuffled and saved
SAVING = 2  # copies of weights and moments while a checkpoint is made
MAPPED = 2**25  # glibc takes larger blocks from the system one by one; smaller ones share a heap
# Bytes that this heap loses for each byte alive in it: the holes that steps leave behind. Blocks
# whose size follows the lengths of the samples leave more, since few fit into another's hole.
# Measured, not derived: docs/performance.md.
HOLES, HOLES_OF_LENGTHS = 0.35, 0.75
RUN = ("nacgraph.training.loop", "nacgraph.training.trainer", "torch.utils.tensorboard")


@dataclass(frozen=True)
class Links:
    """Links of a trial: the share of all pairs, and what ``auto`` chooses for that."""

    density: float
    auto: str


@dataclass(frozen=True)
class Estimate:
    """Bytes that each process of a run takes.

    Attributes:
        phases: Phase → part → bytes; a phase takes the sum of its parts.
        links: "processors", "read-outs", and "processors, prior reached" → their links.
        modules: Modules of the largest trial, the one whose links these are.
        notes: What was extrapolated or left out.
    """

    phases: dict[str, dict[str, int]]
    links: dict[str, Links] = field(default_factory=dict)
    modules: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def phase(self) -> str:
        """The phase with the peak."""
        return max(self.phases, key=lambda name: sum(self.phases[name].values()))

    @property
    def peak(self) -> int:
        """Bytes in that phase."""
        return sum(self.phases[self.phase].values())

    def lines(self) -> list[str]:
        """The estimate as text: the peak, then every phase with its parts."""
        rows = [f"estimate   {size(self.peak)} at its peak ({self.phase})"]
        for phase, parts in self.phases.items():
            shown = " + ".join(f"{part} {size(amount)}" for part, amount in parts.items())
            rows.append(f"           {phase} {size(sum(parts.values()))}: {shown}")
        return rows + [f"note       {text}" for text in self.notes]


def estimate(config: RunConfig) -> Estimate:
    """Estimate the peak of a run. Trains nothing, and takes seconds beside the data.

    ListOps' data is neither read nor generated. A `TableTask` reads or generates all of its own,
    and keeps in its cache what it would keep: the number of classes and the size of a sample,
    which the model follows from, are known only then.

    Args:
        config: The run.

    Raises:
        ValueError: If a part of the configuration does not exist or does not fit.
    """
    for name in RUN:  # what a run imports counts as its own
        with suppress(ImportError, OSError):
            import_module(name)
    if not config.has_circuit():  # then nothing grows with modules, or is pulled to a prior
        config = replace(config, prior=replace(config.prior, name="none", parameters={}))
    trials = _Trials(config)
    training, validation = trials.peak(learn=True), trials.peak(learn=False)
    matching, floor = _prior(config)
    weights, links, modules, notes = trials.weights, trials.links, trials.modules, trials.notes
    data = trials.task.data_bytes()
    del trials
    process = trimmed()
    held = {"process": process, "data": data, "weights": 4 * weights, "prior": matching}
    phases = {"training": {**held, **training.parts()}}
    # The heap is not given back after a step: what follows finds room in it, or adds to it.
    phases["validation"] = {**held, **validation.parts(training.heap)}
    phases["checkpoint"] = {**held, **Peak(SAVING * 3 * weights, 0, 0).parts(training.heap)}
    phases["start"] = {"process": process, "data": LOADING * data, "prior": floor}
    return Estimate(phases, links, modules, notes)


@dataclass(frozen=True)
class Peak:
    """Bytes in blocks of the heap, in blocks of their own, and in holes of the heap."""

    small: int
    large: int
    holes: int

    @property
    def heap(self) -> int:
        return self.small + self.holes

    def parts(self, heap: int = 0) -> dict[str, int]:
        """As parts of a phase, where the heap had grown to ``heap`` before."""
        tensors = self.small + self.large
        return {"tensors": tensors, "heap waste": max(self.heap, heap) - self.small}


class _Trials:
    """Steps of the model on a few samples, and what they say of the whole batch."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.batch = max(1, config.batch_size // (config.devices * config.nodes))
        self.modules = min(max(1, config.modules), MODULES)
        self.links: dict[str, Links] = {}
        self.notes: list[str] = []
        self.task = build_task(config)
        whole = self._build(config.modules)
        self.weights = sum(p.numel() * p.element_size() for p in whole.parameters())
        self.longest = most_tokens(whole.tokenizer, self.task)
        full = self.task.full_batch_length()
        self.full = self.longest if full is None else max(1, min(full, self.longest))
        self.length = min(self.longest, LENGTH)
        if self.length < self.longest:
            self.notes.append(f"measured with {self.length} tokens, not {self.longest}")
        if self.modules < config.modules:
            self.notes.append(f"measured with {self.modules} modules, not {config.modules}")

    def peak(self, learn: bool) -> Peak:
        """The fullest moment of a step with the whole batch."""
        longest = self.full if learn else self.longest
        length, modules = min(longest, LENGTH), self.modules
        numbers = (length + modules) * self.config.model.width
        samples = min(self.batch, max(3, TRIAL // numbers))
        model = self._build(modules).train(learn)
        blocks = self._run(model, samples, length, learn, note=learn)
        fewer, shorter, total = blocks, blocks, sum(blocks)
        batches = lengths = sizes = 1.0
        if samples < self.batch:
            few = max(2, samples * 3 // 4)  # a single one needs fewer copies than its share
            fewer = self._run(model, few, length, learn)
            found = [float(sum(fewer)), float(total)]
            batches = _polynomial([few, samples], found, self.batch) / total
        # Where tokens are few beside the modules, hardly any block follows their number.
        if (learn and 4 * length > modules) or length < longest:
            half = max(1, length // 2)
            shorter = self._run(model, samples, half, learn)
            found = [float(sum(shorter)), float(total)]
            lengths = _polynomial([half, length], found, longest) / total
        if modules < self.config.modules:
            parts = [modules // 4, modules // 2]
            found = [
                float(sum(self._run(self._build(part).train(learn), samples, length, learn)))
                for part in parts
            ]
            wanted = self.config.modules
            sizes = _polynomial([*parts, modules], [*found, total], wanted) / total
        # More tokens and more modules add; more samples multiply both.
        factor = batches * (lengths + sizes - 1)
        small, large, holes = 0.0, 0.0, 0.0
        alike = len(blocks) == len(shorter)
        for i, block in enumerate(blocks):
            size = block * factor
            follows = not alike or shorter[i] < 0.75 * block
            if size >= MAPPED or not heap_fragments():
                large += size
            else:
                small += size
                holes += size * (HOLES_OF_LENGTHS if follows else HOLES)
        return Peak(int(small), int(large), int(holes))

    def _run(
        self, model: nn.Module, batch: int, length: int, learn: bool, note: bool = False
    ) -> list[int]:
        """Sizes of the tensors alive when most is, in a step on so many samples."""
        config = self.config
        samples = self.task.dummy_batch(batch, length, torch.Generator().manual_seed(0))
        generator = torch.Generator().manual_seed(0)  # the same graph in every trial of a size
        live = Live(list(model.parameters()))
        with live, torch.set_grad_enabled(learn):
            with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16-mixed"):
                out = model(samples, generator)
            if learn:
                loss = self.task.loss(out.logits.float(), samples)
                if config.prior.name != "none":
                    loss = loss + _unmatched(out.link.float(), config.prior.loss)
                loss.backward()
        model.zero_grad(set_to_none=True)
        if note and isinstance(out, CircuitOutput):
            for name, graph in {"processors": out.graph, "read-outs": out.readout_graph}.items():
                self.links[name] = Links(float(graph.density), choose(graph))
            self._note_prior(model, generator)
        return live.fullest

    def _note_prior(self, model: Any, generator: torch.Generator) -> None:
        """Links of a circuit that looks as the prior wants it to."""
        signatures = self._wanted(model.config.modules)
        if signatures is not None and not self.config.links_all():
            graph = model.circuit.kernel(
                signatures.float(), mode=model.config.mode, generator=generator
            )
            name = "processors, prior reached"
            self.links[name] = Links(float(graph.density), choose(graph))

    def _wanted(self, modules: int) -> Tensor | None:
        config = self.config
        prior = get_prior(config.prior.name, **config.prior.parameters)
        if prior.is_none:
            return None
        engine, target = config.nac_config(), prior.edge_probabilities(modules)
        return prior_signatures(target, engine.bandwidth, engine.signature_dim)[0]

    def _build(self, modules: int) -> Any:
        """The model, from the prior's closed form where training looks for a better one long."""
        config = without_start(self.config)
        if config.has_circuit():
            config = config.with_model(modules=modules)
        model: Any = build_model(config, self.task, None)
        wanted = self.config.has_circuit() and modules <= MODULES
        if wanted and self.config.nac_config().signature_start == "prior":
            start = self._wanted(modules)
            if start is not None:
                own = model.generator.processor_signatures
                own.data.copy_(start)
        return model


def _unmatched(link: Tensor, kind: str) -> Tensor:
    """The prior's loss without the search for a matching, which :func:`_prior` measures."""
    n = link.shape[-1]
    return matched_loss(link, torch.eye(n, dtype=torch.float64), torch.arange(n), kind)


def _prior(config: RunConfig) -> tuple[int, int]:
    """Bytes of target and matching while training, and of the reachable floor before it."""
    prior = get_prior(config.prior.name, **config.prior.parameters)
    if prior.is_none:
        return 0, 0
    engine = config.nac_config()
    generator = torch.Generator().manual_seed(0)

    def matching(n: int) -> None:
        loss = MatchedLoss(prior.edge_probabilities(n), config.prior.loss, config.prior.matching)
        loss(torch.rand(n, n, generator=generator), 0)

    def floor(n: int) -> None:
        target = prior.edge_probabilities(n)
        reachable_floor(target, engine.bandwidth, engine.signature_dim, 2, config.prior.loss)

    sizes = [min(n, config.modules) for n in SMALL]
    found = []
    for work in (matching, floor):
        peaks = [peak_of(partial(work, n)) for n in sizes]
        # Through the origin: matrices of U x U and some of U x S.
        found.append(_polynomial([0, *sizes], [0, *peaks], config.modules))
    return int(found[0]), int(found[1])


def _polynomial(x: Sequence[float], y: Sequence[float], at: float) -> float:
    """The polynomial through the points (Lagrange), where equal ones count once."""
    points = dict(zip(x, y, strict=True))
    if at in points:
        return points[at]
    total = 0.0
    for here, value in points.items():
        term = float(value)
        for other in points:
            if other != here:
                term *= (at - other) / (here - other)
        total += term
    return max(total, *points.values())
