"""``nacgraph prune RUN --curve``: what circuits of fewer and fewer modules still can, and cost."""

from __future__ import annotations

import argparse
import csv
import io
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacgraph.cli.prune import order_of
from nacgraph.cli.reading import at_least, read_circuit, task_arguments
from nacgraph.models.pruning import ORDERS, kept_count, prune
from nacgraph.training.scoring import score
from nacgraph.utils.files import write_atomically
from nacgraph.utils.progress import clock, percent

if TYPE_CHECKING:
    from torch import Tensor

    from nacgraph.models.nac import NAC
    from nacgraph.tasks import Batch, Task

COLUMNS = (
    "model", "order", "keep", "modules", "seed", "accuracy", "ci_low", "ci_high", "n",
    "milliseconds", "circuit_milliseconds", "speedup", "circuit_speedup", "parameters", "peak_mib",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """One circuit of the curve: a model, an order of dropping, a size."""

    model: str
    weights: str
    order: str
    keep: float
    seed: int
    kept: Tensor

    @property
    def key(self) -> str:
        """What it is known by in ``curve.json``."""
        return f"{self.weights}/{self.order}/{self.seed}/{len(self.kept)}"


@dataclass(frozen=True)
class Source:
    """A run whose modules are dropped; ``weights`` is the digest of its checkpoint."""

    name: str
    weights: str
    model: NAC
    task: Task
    precision: str


def curve(arguments: argparse.Namespace) -> dict[str, Any]:
    """Score, time and weigh every variant; write ``curve.csv``, ``curve.json``, figure 5.

    What an interrupted call had scored, the next one with the same settings takes up.

    Raises:
        ConfigError, CheckpointError: If a folder is no run or holds no valid checkpoint.
        ValueError: If a share, an order or a count is none.
    """
    keeps, orders = _numbers(arguments.keeps), arguments.orders.split(",")
    if unknown := [name for name in orders if name not in ORDERS]:
        raise ValueError(f"orders: expected some of {', '.join(ORDERS)}, got {', '.join(unknown)}")
    at_least(arguments, seeds=1, latency_batch=1, repeats=1)
    out: Path = arguments.out or arguments.run / "pruning"
    sources = [_source(arguments.run, arguments)]
    if arguments.baseline is not None:
        sources.append(_source(arguments.baseline, arguments))
        if sources[0].name == sources[1].name:
            raise ValueError(
                f"baseline: expected a run of another model, got {sources[0].name} too"
            )
    variants: list[Variant] = []
    for k, source in enumerate(sources):
        # All links of Perceiver IO are equal: there is no degree to go by, but chance.
        complete = source.model.config.wiring == "complete"
        named = ["random"] if k or complete else orders
        variants += _variants(source, named, keeps, arguments)
    out.mkdir(parents=True, exist_ok=True)
    rows = _scored(sources, variants, arguments, out)
    _weigh(sources, variants, rows, arguments)
    table = [
        rows[v.key]
        | {
            "model": v.model,
            "order": v.order,
            "keep": v.keep,
            "seed": v.seed,
            "modules": len(v.kept),
        }
        for v in variants
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_atomically(out / "curve.csv", text.getvalue().encode())
    baseline = sources[0].task.baselines(arguments.split).get("majority_accuracy")
    _draw(table, baseline, out)
    for line in _table(table):
        print(line, file=sys.stderr)
    print(f"results    {out}/curve.csv, {out}/figure5.svg, {out}/figure5.png", file=sys.stderr)
    return {
        "run": str(arguments.run),
        "split": arguments.split,
        "majority_accuracy": baseline,
        "out": str(out),
        "rows": table,
    }


def _numbers(text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"keeps: expected shares with commas between them, got {text!r}") from None
    for share in found:
        kept_count(1, share)
    # The whole circuit is what all others are compared with.
    return sorted({1.0, *found}, reverse=True)


def _source(run: Path, arguments: argparse.Namespace) -> Source:
    read = read_circuit(run, **task_arguments(arguments))
    model, task, config, checkpoint = read.circuit, read.task, read.config, read.checkpoint
    weights = str(checkpoint.state["sha256"])[:16]
    return Source(config.model_name, weights, model, task, config.precision)


def _variants(
    source: Source, orders: Sequence[str], keeps: Sequence[float], arguments: argparse.Namespace
) -> list[Variant]:
    found = []
    for order in orders:
        for seed in range(arguments.seeds if order == "random" else 1):
            ranked = order_of(order, source.model, source.task, arguments, seed)
            for keep in keeps:
                kept = ranked[: kept_count(len(ranked), keep)].sort().values
                found.append(Variant(source.name, source.weights, order, keep, seed, kept))
    return found


def _scored(
    sources: Sequence[Source], variants: Sequence[Variant], arguments: argparse.Namespace, out: Path
) -> dict[str, dict[str, Any]]:
    """Accuracy by key. The same set of modules is scored once, whichever orders lead to it."""
    record = out / "curve.json"
    names = "split", "samples", "data", "lesion_samples"
    settings = {name: getattr(arguments, name) for name in names}
    rows = _kept_rows(record, settings)
    known = {_modules(v): rows[v.key] for v in variants if v.key in rows}
    todo = [v for v in variants if v.key not in rows]
    began, by_name = time.monotonic(), {source.name: source for source in sources}
    for done, variant in enumerate(todo):
        source = by_name[variant.model]
        row = known.get(_modules(variant))
        if row is None:
            small = prune(source.model, variant.kept)
            found = score(
                small,
                source.task,
                arguments.split,
                precision=source.precision,
                limit=arguments.samples,
            )
            low, high = found.ci95
            row = {
                "accuracy": found.accuracy,
                "ci_low": low,
                "ci_high": high,
                "n": found.n,
                "parameters": small.num_parameters(),
            }
        rows[variant.key] = known[_modules(variant)] = dict(row)
        text = json.dumps({"settings": settings, "rows": rows}, indent=1)
        write_atomically(record, text.encode())
        left = (time.monotonic() - began) / (done + 1) * (len(todo) - done - 1)
        print(
            f"scored {done + 1}/{len(todo)} · ETA {clock(left)} · {variant.model}, "
            f"{variant.order}, {len(variant.kept)} modules: {percent(row['accuracy'])}",
            file=sys.stderr,
            flush=True,
        )
    return {v.key: dict(rows[v.key]) for v in variants}


def _modules(variant: Variant) -> tuple[Any, ...]:
    return variant.model, *variant.kept.tolist()


def _kept_rows(record: Path, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(record.read_text("utf-8"))
        return dict(found["rows"]) if found["settings"] == settings else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _weigh(
    sources: Sequence[Source],
    variants: Sequence[Variant],
    rows: dict[str, dict[str, Any]],
    arguments: argparse.Namespace,
) -> None:
    """Add time and peak memory of one batch; all sizes are timed in turns, in one go."""
    import torch

    from nacgraph.utils.machine import peak_of

    print(
        f"timing     {arguments.repeats} rounds of {arguments.latency_batch} samples, "
        f"{torch.get_num_threads()} threads",
        file=sys.stderr,
        flush=True,
    )
    for source in sources:
        # Time depends on the number of modules alone, near enough: one variant of each stands in.
        sizes = {len(v.kept): v for v in variants if v.model == source.name}
        small = {n: prune(source.model, v.kept) for n, v in sizes.items()}
        batch = next(iter(source.task.eval_batches("val", limit=arguments.latency_batch)))
        times = time_in_turns(small, batch, arguments.repeats)
        whole = times[max(times)]
        for n, model in small.items():
            with torch.inference_mode():
                peak = peak_of(partial(model, batch))
            both = {}
            for k, name in enumerate(("", "circuit_")):
                mine, full = [t[k] for t in times[n]], [t[k] for t in whole]
                both[f"{name}milliseconds"] = 1000 * statistics.median(mine)
                ratios = [b / a for a, b in zip(mine, full, strict=True)]
                both[f"{name}speedup"] = statistics.median(ratios)
            for v in variants:
                if v.model == source.name and len(v.kept) == n:
                    rows[v.key] |= {**both, "peak_mib": peak / 2**20}


def time_in_turns(
    models: dict[int, NAC], batch: Batch, repeats: int
) -> dict[int, list[tuple[float, float]]]:
    """Seconds of the whole model and of its circuit alone, each model once a round."""
    import torch

    times: dict[int, list[tuple[float, float]]] = {n: [] for n in models}
    with torch.inference_mode():
        for model in models.values():
            model(batch)
        for _ in range(repeats):
            for n, model in models.items():
                begin = time.perf_counter()
                model(batch)
                middle = time.perf_counter()
                tokens, mask = model.tokenizer(batch)
                design = model.design(batch, tokens, mask)
                start = time.perf_counter()
                noise = torch.Generator().manual_seed(0)
                model.circuit(tokens, design, mask, noise, model.config.eval_mode)
                times[n].append((middle - begin, time.perf_counter() - start))
    return times


def _draw(table: list[dict[str, Any]], majority: float | None, out: Path) -> None:
    from nacgraph.viz import dropping_figure, save

    figure = dropping_figure(table, majority)
    for suffix in ("svg", "png"):
        save(figure, out / f"figure5.{suffix}")


def _table(table: list[dict[str, Any]]) -> list[str]:
    """The curve as lines: means over random orders."""
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for row in table:
        groups.setdefault((row["model"], row["order"], row["modules"]), []).append(row)
    names = "kept", "accuracy", "ms", "speed-up", "parameters", "MiB"
    head = "{:<13} {:<12} {:>5}  {:>11} {:>7} {:>9} {:>12} {:>8}"
    lines = [head.format("model", "order", *names)]
    for (model, order, modules), rows in groups.items():
        first = rows[0]
        accuracy = statistics.mean(row["accuracy"] for row in rows)
        lines.append(
            f"{model:<13} {order:<12} {modules:>5}  {percent(accuracy):>11} "
            f"{first['milliseconds']:>7.1f} {first['speedup']:>8.2f}x {first['parameters']:>12,} "
            f"{first['peak_mib']:>8.1f}"
        )
    return lines
