"""``nacgraph prune RUN``: a smaller run folder, or the curve of accuracy over size."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nacgraph.cli.answer import Parser, answer, seed_number
from nacgraph.cli.reading import add_shared, comma_list, prepare, read_circuit, task_arguments
from nacgraph.utils.commands import command_line
from nacgraph.utils.progress import ProgressPrinter, percent

CURVE = ("seeds", "split", "samples", "lesion_samples", "latency_batch", "repeats")


def main(argv: Sequence[str] | None = None) -> int:
    """Prune; returns the exit code."""
    text = "Remove modules for good: a new, smaller run folder, or measures at several sizes."
    parser = Parser("nacgraph prune", description=text, allow_abbrev=False)
    add = parser.add_argument
    add("run", type=Path, help="a run folder of nacgraph train")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--keep", type=float, help="share of the modules that stays, in (0, 1]")
    what.add_argument("--curve", action="store_true", help="several shares and orders")
    orders = "degree (the best linked), contribution (those whose removal costs most) or random"
    add("--order", default="degree", help=f"which modules stay: {orders}; default %(default)s")
    add("--seed", type=seed_number, default=0, help="seed of a random order")
    add("--out", type=Path, help="RUN-keepPERCENT-ORDER, for a curve RUN/pruning, if not given")
    add("--lesion-samples", type=int, help="on which contributions are measured; a minute's worth")
    add = parser.add_argument_group("for --curve").add_argument
    add("--keeps", default="1,0.8,0.65,0.5,0.35,0.2,0.125", help="shares (default %(default)s)")
    add("--orders", default="degree,random,contribution", help="default %(default)s")
    add("--seeds", type=int, default=3, help="random orders drawn")
    add("--baseline", type=Path, help="a run of another model, such as perceiver_io")
    add("--split", choices=("val", "test"), default="val")
    add("--samples", type=int, help="samples scored; the whole split if not given")
    add("--latency-batch", type=int, default=8, help="samples a timed batch")
    add("--repeats", type=int, default=15, help="timed rounds")
    add_shared(parser, "data", "cache_dir", "threads", "plugin", "allow_edited")
    arguments = parser.parse_args(argv)
    return answer(lambda: (curve if arguments.curve else smaller)(arguments))


def curve(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the curve, write and tell the results."""
    from nacgraph.analysis import pruning_curve

    prepare(given)
    keeps = comma_list("keeps", given.keeps, float, "shares with commas between them")
    other = given.baseline and read_circuit(given.baseline, **task_arguments(given))
    run, out = read_circuit(given.run, **task_arguments(given)), given.out or given.run / "pruning"
    options = {name: getattr(given, name) for name in CURVE}
    options |= {"keeps": keeps, "orders": given.orders.split(","), "out": out}
    found = pruning_curve(run, other, progress=ProgressPrinter(), **options)
    print(found, f"results    {out}/curve.csv, figure5.svg, figure5.png", sep="\n", file=sys.stderr)
    return dict(found)


def smaller(given: argparse.Namespace) -> dict[str, Any]:
    """Write the smaller run; tell what it is."""
    from nacgraph.analysis.pruning import prune_run, pruned

    prepare(given)
    run = read_circuit(given.run, **task_arguments(given))
    options = {name: getattr(given, name) for name in ("order", "seed", "lesion_samples", "out")}
    out = prune_run(run, keep=given.keep, progress=ProgressPrinter(), **options)
    made = pruned(out, run)
    after, before = percent(made["val_accuracy"]), percent(made["val_accuracy_before"])
    tune = "train", "--start", out, "--out", f"{out}-tuned", "--steps", "500"
    print(
        f"kept       {made['modules']} of {made['modules_before']} modules by {made['order']}: "
        f"{made['parameters']:,} of {run.model.num_parameters():,} parameters\n"
        f"val        {after} (before {before})\nresults    {out}\n"
        f"next       {command_line('evaluate', out, plugins=given.plugin)}\n"
        f"           {command_line(*tune, plugins=given.plugin)}", file=sys.stderr,
    )  # fmt: skip
    return made
