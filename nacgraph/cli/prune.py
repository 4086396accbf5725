"""``nacgraph prune RUN``: a smaller run folder, or the curve of accuracy over size."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nacgraph.cli.answer import answer
from nacgraph.cli.reading import add_shared, prepare, read_circuit, task_arguments
from nacgraph.models.pruning import ORDERS, kept_count, prune, ranking
from nacgraph.training.run import RunFolder, build_target
from nacgraph.utils.errors import ConfigError
from nacgraph.utils.progress import ProgressPrinter, percent

KEEPS = (1.0, 0.8, 0.65, 0.5, 0.35, 0.2, 0.125)


def main(argv: Sequence[str] | None = None) -> int:
    """Prune; returns the exit code."""
    arguments = _parser().parse_args(argv)
    return answer(lambda: run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nacgraph prune",
        description="Remove modules for good. With --keep a new, smaller run folder; with --curve "
        "accuracy, latency, parameters and memory at several sizes, as CSV and picture.",
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="a run folder of nacgraph train")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--keep", type=float, help="share of the modules that stays, in (0, 1]")
    what.add_argument("--curve", action="store_true", help="several shares and orders")
    parser.add_argument(
        "--order",
        choices=ORDERS,
        default="degree",
        help="which go first: the least linked, any, or those whose removal costs least",
    )
    parser.add_argument("--seed", type=int, default=0, help="of a random order")
    parser.add_argument(
        "--out",
        type=Path,
        help="new folder; RUN-keepPERCENT-ORDER, for a curve RUN/pruning, if not given",
    )
    parser.add_argument(
        "--lesion-samples",
        type=int,
        help="validation samples on which each "
        "module is removed to measure contributions, beside gradients on 128; as "
        "many as about a minute allows if not given",
    )
    curve = parser.add_argument_group("for --curve")
    curve.add_argument(
        "--keeps",
        default=",".join(f"{k:g}" for k in KEEPS),
        help="shares, with commas (default %(default)s)",
    )
    curve.add_argument("--orders", default=",".join(ORDERS), help="with commas")
    curve.add_argument("--seeds", type=int, default=3, help="random orders drawn")
    curve.add_argument(
        "--baseline",
        type=Path,
        help="a further run, of perceiver_io say, whose modules are dropped at random",
    )
    curve.add_argument("--split", choices=("val", "test"), default="val")
    curve.add_argument("--samples", type=int, help="samples scored; the whole split if not given")
    curve.add_argument("--latency-batch", type=int, default=8, help="samples a timed batch")
    curve.add_argument("--repeats", type=int, default=15, help="timed rounds")
    add_shared(parser, "data", "cache_dir", "threads", "plugin")
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Load, prune, write.

    Raises:
        ConfigError, CheckpointError, ValueError, OSError: If something is not as it should be.
    """
    prepare(arguments)
    if arguments.curve:
        from nacgraph.cli.dropping import curve

        return curve(arguments)
    return smaller_run(arguments)


def smaller_run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the folder of the pruned run; returns what was done."""
    from nacgraph.cli.outcome import circuit, versions
    from nacgraph.priors import MatchedLoss
    from nacgraph.training.checkpoint import save_checkpoint
    from nacgraph.training.scoring import score

    source = arguments.run
    run = read_circuit(source, **task_arguments(arguments))
    model, task, config, checkpoint = run.circuit, run.task, run.config, run.checkpoint
    count = kept_count(config.modules, arguments.keep)
    out = arguments.out or source.with_name(
        f"{source.resolve().name}-keep{100 * arguments.keep:g}-{arguments.order}"
    )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError([f"out: expected a new or empty folder, got {out}"])
    kept = order_of(arguments.order, model, task, arguments, arguments.seed)[:count].sort().values
    small = prune(model, kept)
    new = replace(config.with_model(modules=count), start=None)
    target = build_target(new)
    arrays, numbers = circuit(
        small, task, "cpu", None if target is None else MatchedLoss(target, config.prior.loss)
    )
    print("scoring    the validation split", file=sys.stderr, flush=True)
    found = score(small, task, "val", precision=config.precision)
    summary = read_summary(source)
    made = {
        "from": str(source),
        "checkpoint": checkpoint.path.name,
        "order": arguments.order,
        "keep": arguments.keep,
        "seed": arguments.seed,
        "modules_before": config.modules,
        "kept": kept.tolist(),
    }
    folder = RunFolder(out)
    folder.create(new, task)
    weights = {f"model/{name}": t for name, t in small.state_dict().items()}
    state = {
        **{k: checkpoint.state[k] for k in ("step", "seconds", "best_step")},
        "best_accuracy": found.accuracy,
    }
    save_checkpoint(folder.checkpoints, "best", weights, state)
    folder.save_circuit(arrays)
    folder.save_summary(
        {
            **new.labels(),
            "steps": checkpoint.state["step"],
            "parameters": small.num_parameters(),
            "best_step": checkpoint.state["best_step"],
            "val_accuracy": found.accuracy,
            "test_accuracy": None,
            **task.baselines("test"),
            **numbers,
            "pruned": made,
            "data": task.describe(),
            "versions": versions(),
        }
    )
    before = summary.get("val_accuracy")
    print(
        f"kept       {count} of {config.modules} modules by {arguments.order}: "
        f"{small.num_parameters():,} of {model.num_parameters():,} parameters\n"
        f"val        {percent(found.accuracy)} (before {percent(before)})\n"
        f"results    {out}\n"
        f"next       nacgraph evaluate {out}\n"
        f"           nacgraph train --start {out} --out {out}-tuned --steps 500",
        file=sys.stderr,
    )
    return {
        **made,
        "run": str(out),
        "modules": count,
        "parameters": small.num_parameters(),
        "val_accuracy": found.accuracy,
        "val_accuracy_before": before,
    }


def order_of(order: str, model: Any, task: Any, arguments: Any, seed: int) -> Any:
    """The ranking of a model's modules; contributions are measured on the validation split."""
    import torch

    with torch.no_grad():
        link = model.design().links(model.circuit.kernel.bandwidth)[0]
    cost = None
    if order == "contribution":
        from nacgraph.analysis.probing import affordable, measured_contributions

        first = next(iter(task.eval_batches("val", limit=1)))
        count = arguments.lesion_samples
        if count is None:
            count = affordable(model, first.mask.shape[1])
        mean, _ = measured_contributions(
            model, task, lesion_samples=count, progress=ProgressPrinter()
        )
        cost = torch.from_numpy(mean)
    return ranking(order, link, contribution=cost, seed=seed)


def read_summary(folder: Path) -> dict[str, Any]:
    """``summary.json`` of a run, or nothing where it has none."""
    try:
        found = json.loads((folder / "summary.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
