"""The pruning curve: accuracy, time and size of circuits of fewer and fewer modules."""

from __future__ import annotations

import csv
import io
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nacgraph.analysis.pruning import rank_modules
from nacgraph.models.pruning import ORDERS, kept_count, prune
from nacgraph.training.scoring import score
from nacgraph.utils.check import check_at_least
from nacgraph.utils.files import write_atomically
from nacgraph.utils.progress import percent
from nacgraph.utils.result import Result, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from nacgraph.models.nac import NAC
    from nacgraph.tasks import Batch
    from nacgraph.training.run import Run

KEEPS = (1.0, 0.8, 0.65, 0.5, 0.35, 0.2, 0.125)
COLUMNS = (
    "model", "order", "keep", "modules", "seed", "accuracy", "ci_low", "ci_high", "n",
    "milliseconds", "circuit_milliseconds", "speedup", "circuit_speedup", "parameters", "peak_mib",
)  # fmt: skip

Progress = Callable[[str, float], None]
Row = dict[str, Any]


@dataclass(frozen=True, eq=False, repr=False)
class PruningCurve(Result):
    """What :func:`pruning_curve` measured: "rows", one for each pruned circuit, as a mapping."""

    def figure(self) -> Figure:
        """The paper's Figure 5: accuracy and speed-up over the share of modules kept."""
        from nacgraph.viz import dropping_figure

        return dropping_figure(self["rows"], self["majority_accuracy"])

    def save(self, folder: Path | str) -> Path:
        """Write ``curve.csv``, and the picture as ``figure5.svg`` and ``.png``; returns the
        folder."""
        from nacgraph.viz import save

        out = Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self["rows"])
        write_atomically(out / "curve.csv", text.getvalue().encode())
        figure = self.figure()
        for suffix in ("svg", "png"):
            save(figure, out / f"figure5.{suffix}")
        return out

    def lines(self) -> list[str]:
        """The curve as a table, with means over random orders."""
        groups: dict[tuple[str, str, int], list[Row]] = {}
        for row in self["rows"]:
            groups.setdefault((row["model"], row["order"], row["modules"]), []).append(row)
        names = "kept", "accuracy", "ms", "speed-up", "parameters", "MiB"
        head = "{:<13} {:<12} {:>5}  {:>11} {:>7} {:>9} {:>12} {:>8}"
        lines = [head.format("model", "order", *names)]
        for (model, order, modules), rows in groups.items():
            first = rows[0]
            accuracy = percent(statistics.mean(row["accuracy"] for row in rows))
            lines.append(
                f"{model:<13} {order:<12} {modules:>5}  {accuracy:>11} "
                f"{first['milliseconds']:>7.1f} {first['speedup']:>8.2f}x "
                f"{first['parameters']:>12,} {first['peak_mib']:>8.1f}"
            )
        return lines


@dataclass(frozen=True)
class Variant:
    """One pruned circuit of the curve; ``weights`` is the digest of the run's checkpoint."""

    run: Run
    weights: str
    order: str
    keep: float
    seed: int
    kept: Tensor

    @property
    def model(self) -> str:
        """Name of the run's model."""
        return self.run.config.model_name

    @property
    def key(self) -> str:
        """Name of its row in ``curve.json``."""
        return f"{self.weights}/{self.order}/{self.seed}/{len(self.kept)}"

    @property
    def modules(self) -> tuple[Any, ...]:
        """What decides the answers: whose modules, and which."""
        return self.model, *self.kept.tolist()


def pruning_curve(
    run: Run,
    baseline: Run | None = None,
    *,
    keeps: Sequence[float] = KEEPS,
    orders: Sequence[str] = ORDERS,
    seeds: int = 3,
    split: str = "val",
    samples: int | None = None,
    lesion_samples: int | None = None,
    latency_batch: int = 8,
    repeats: int = 15,
    out: Path | str | None = None,
    progress: Progress | None = None,
) -> PruningCurve:
    """Accuracy, latency, parameters and memory of a circuit pruned to several sizes.

    Args:
        run: A run with one circuit for all samples.
        baseline: A run of another model, of perceiver_io say, pruned at random.
        keeps: Shares of the modules that stay; 1 is always among them.
        orders: Which modules stay, see :func:`nacgraph.analysis.pruning.rank_modules`. A complete
            graph, whose degrees are all equal, is pruned at random only.
        seeds: Random orders.
        split: "val" or "test".
        samples: Samples scored; the whole split if None.
        lesion_samples: See :func:`nacgraph.analysis.pruning.rank_modules`.
        latency_batch: Samples in a timed batch.
        repeats: Timed rounds; in each, all sizes take their turn.
        out: Folder of the results. What an interrupted call with the same settings has scored is
            in its ``curve.json`` and is not scored again. None: nothing is written.
        progress: Called with (what is done, share done).

    Raises:
        ValueError: If a run has no circuit or one for every sample, both are of one model, or an
            argument is out of range.
    """
    check_at_least(1, seeds=seeds, latency_batch=latency_batch, repeats=repeats)
    if samples is not None:
        check_at_least(1, samples=samples)
    if not orders or (unknown := [name for name in orders if name not in ORDERS]):
        got = ", ".join(unknown) if orders else "none"
        raise ValueError(f"orders: expected some of {', '.join(ORDERS)}, got {got}")
    for share in keeps:
        kept_count(1, share)
    runs = [run] if baseline is None else [run, baseline]
    if baseline is not None and baseline.config.model_name == run.config.model_name:
        raise ValueError(
            f"baseline: expected a run of another model, got {run.config.model_name} too"
        )
    variants: list[Variant] = []
    for k, each in enumerate(runs):
        complete = each.circuit.config.wiring == "complete"
        named = ["random"] if k or complete else orders
        # The whole circuit is what all others are compared with.
        shares = sorted({1.0, *keeps}, reverse=True)
        variants += _variants(each, named, shares, seeds, lesion_samples, progress)
    data = getattr(run.task, "data", None)
    settings = {
        "split": split,
        "samples": samples,
        "data": None if data is None else str(data),
        "lesion_samples": lesion_samples,
    }
    record = None if out is None else Path(out) / "curve.json"
    rows = _scored(variants, split, samples, record, settings, progress)
    if progress is not None:
        threads = torch.get_num_threads()
        progress(f"timing: {repeats} rounds of {latency_batch} samples, {threads} threads", 0.0)
    for each in runs:
        _weigh(each, [v for v in variants if v.run is each], rows, latency_batch, repeats)
    found = PruningCurve(
        {
            "run": str(run.path),
            "split": split,
            "majority_accuracy": run.task.baselines(split).get("majority_accuracy"),
            "out": None if out is None else str(out),
            "rows": [rows[v.key] | _columns(v) for v in variants],
        }
    )
    if out is not None:
        found.save(out)
    return found


def _columns(variant: Variant) -> Row:
    names = ("model", "order", "keep", "seed")
    return {name: getattr(variant, name) for name in names} | {"modules": len(variant.kept)}


def _variants(
    run: Run,
    orders: Sequence[str],
    keeps: Sequence[float],
    seeds: int,
    lesion_samples: int | None,
    progress: Progress | None,
) -> list[Variant]:
    weights = str(run.checkpoint.state["sha256"])[:16]
    found = []
    for order in orders:
        for seed in range(seeds if order == "random" else 1):
            ranked = rank_modules(
                run.circuit,
                run.task,
                order,
                seed=seed,
                lesion_samples=lesion_samples,
                progress=progress,
            )
            for keep in keeps:
                kept = ranked[: kept_count(len(ranked), keep)].sort().values
                found.append(Variant(run, weights, order, keep, seed, kept))
    return found


def _scored(
    variants: Sequence[Variant],
    split: str,
    samples: int | None,
    record: Path | None,
    settings: Row,
    progress: Progress | None,
) -> dict[str, Row]:
    """Accuracy by key. The same set of modules is scored once, whichever orders lead to it."""
    rows = {} if record is None else _recorded(record, settings)
    known = {v.modules: rows[v.key] for v in variants if v.key in rows}
    todo = [v for v in variants if v.key not in rows]
    for done, variant in enumerate(todo):
        if progress is not None:
            what = f"{variant.model} by {variant.order}, {len(variant.kept)} modules"
            progress(f"scoring: {what}", done / len(todo))
        row = known.get(variant.modules)
        if row is None:
            run = variant.run
            small = prune(run.circuit, variant.kept)
            found = score(small, run.task, split, precision=run.config.precision, limit=samples)
            low, high = found.ci95
            row = {
                "accuracy": found.accuracy,
                "ci_low": low,
                "ci_high": high,
                "n": found.n,
                "parameters": small.num_parameters(),
            }
        rows[variant.key] = known[variant.modules] = dict(row)
        if record is not None:
            write_json(record, {"settings": settings, "rows": rows})
    return {v.key: dict(rows[v.key]) for v in variants}


def _recorded(record: Path, settings: Row) -> dict[str, Row]:
    """The rows of an earlier call with the same settings."""
    try:
        found = json.loads(record.read_text("utf-8"))
        return dict(found["rows"]) if found["settings"] == settings else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _weigh(
    run: Run, variants: Sequence[Variant], rows: dict[str, Row], samples: int, repeats: int
) -> None:
    """Add time and peak memory of one batch to the rows of a run.

    Time depends on little but the number of modules, so one variant of each size is timed.
    """
    from nacgraph.utils.machine import peak_of

    sizes = {len(v.kept): v for v in variants}
    small = {n: prune(run.circuit, v.kept) for n, v in sizes.items()}
    batch = next(iter(run.task.eval_batches("val", limit=samples)))
    times = time_in_turns(small, batch, repeats)
    whole = times[max(times)]
    for n, model in small.items():
        with torch.inference_mode():
            peak = peak_of(partial(model, batch))
        both: Row = {}
        for k, name in enumerate(("", "circuit_")):
            mine, full = [t[k] for t in times[n]], [t[k] for t in whole]
            both[f"{name}milliseconds"] = 1000 * statistics.median(mine)
            ratios = [b / a for a, b in zip(mine, full, strict=True)]
            both[f"{name}speedup"] = statistics.median(ratios)
        for variant in variants:
            if len(variant.kept) == n:
                rows[variant.key] |= {**both, "peak_mib": peak / 2**20}


def time_in_turns(
    models: dict[int, NAC], batch: Batch, repeats: int
) -> dict[int, list[tuple[float, float]]]:
    """Seconds of the whole model and of its circuit alone, each model once a round."""
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
