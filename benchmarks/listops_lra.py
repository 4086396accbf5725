"""Gathers finished ListOps runs into benchmarks/results: what each was, its curve, the picture.

    python benchmarks/listops_lra.py NAME=RUN [NAME=RUN …] --out benchmarks/results/listops-lra

The first run's circuit is drawn beside its prior.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from pathlib import Path

import numpy as np
import torch

from nacgraph.priors import match
from nacgraph.training.build import build_target
from nacgraph.training.run import read_config
from nacgraph.viz import circuit_figure, curves_figure, read_metrics

EVERY = 25  # rows of metrics.csv kept, beside all those with a validation


def thin(source: Path, target: Path) -> None:
    with open(source, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    seen = header.index("val_accuracy")
    kept = [row for k, row in enumerate(rows, 1) if k % EVERY == 0 or row[seen]]
    with open(target, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *kept])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    runs = {name: Path(run) for name, _, run in (text.partition("=") for text in arguments.runs)}
    lines = [
        "| run | parameters | steps | minutes | test accuracy | 95 % interval | prior loss (floor)"
        " | mean degree |",
        "|---|---|---|---|---|---|---|---|",
    ]
    curves, baselines = {}, {}
    for name, run in runs.items():
        folder = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in ("config.yaml", "summary.json"):
            shutil.copy(run / file, folder / file)
        thin(run / "metrics.csv", folder / "metrics.csv")
        curves[name] = read_metrics(run / "metrics.csv")
        s = json.loads((run / "summary.json").read_text("utf-8"))
        baselines = {k: s[k] for k in ("majority_accuracy", "root_operator_accuracy")}
        low, high = (100 * x for x in s["ci95"])
        prior = "–"
        if s["prior_loss"] is not None:
            prior = f"{s['prior_loss']:.4f} ({s['prior_floor']:.4f})"
        lines.append(
            f"| {name} | {s['parameters']:,} | {s['steps']} | {s['seconds'] / 60:.0f} "
            f"| {100 * s['test_accuracy']:.1f} % of {s['test_n']} | {low:.1f}–{high:.1f} "
            f"| {prior} | {s['mean_degree']:.1f} |"
        )
    lines += [
        "",
        ", ".join(
            f"{k.removesuffix('_accuracy').replace('_', ' ')} {100 * v:.1f} %"
            for k, v in baselines.items()
        ),
    ]
    (arguments.out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines_drawn = {f"{k.removesuffix('_accuracy')} (test)": v for k, v in baselines.items()}
    curves_figure(curves, lines_drawn).savefig(arguments.out / "curves.png")
    name, run = next(iter(runs.items()))
    target = build_target(read_config(run))
    if target is not None:
        with np.load(run / "circuit.npz", allow_pickle=False) as file:
            link = torch.from_numpy(file["link_probabilities"]).double()
        figure = circuit_figure(f"{name}, {len(link)} modules", link, target, match(link, target))
        figure.savefig(arguments.out / "circuit.png")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
