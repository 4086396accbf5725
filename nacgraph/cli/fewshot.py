"""``nacgraph fewshot RUN``: how well a trained model learns new classes from a few samples."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nacgraph.cli.answer import answer
from nacgraph.cli.episodes import Source, load_sources, plan, pool_of, work_off
from nacgraph.cli.reading import add_shared, at_least, prepare
from nacgraph.fewshot import (
    PARTS,
    Pool,
    Recipe,
    learning,
    mean_interval,
    paired_difference,
    parts_of,
)
from nacgraph.utils.files import write_atomically


def main(argv: Sequence[str] | None = None) -> int:
    """Adapt and score; returns the exit code."""
    arguments = _parser().parse_args(argv)
    return answer(lambda: fewshot(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nacgraph fewshot",
        description="Few-shot adaptation: in every episode a trained model gets a new head, is "
        "fine-tuned on a few samples of classes that it has never seen, and asked about others. "
        "Prints a table; the rest goes to a folder.",
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="a run folder of nacgraph train")
    parser.add_argument(
        "--dataset",
        help="other data of the same task, `embedded` for the task's "
        "own; if not given that of the run, of which classes were left out with "
        "--task-set without_classes=…",
    )
    parser.add_argument("--ways", type=int, default=8, help="classes an episode")
    parser.add_argument(
        "--shots",
        default="1,2,4,8,16",
        help="samples of each to learn from, with commas (default %(default)s)",
    )
    parser.add_argument("--queries", type=int, default=15, help="others of each that are asked")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument(
        "--adapt",
        action="append",
        metavar="PARTS",
        help="what learns beside the "
        f"new head: {', '.join(PARTS)} (default all), or several with commas; "
        "given again, the next setting to compare",
    )
    parser.add_argument("--steps", type=int, default=50, help="steps of fine-tuning")
    parser.add_argument(
        "--learning-rate",
        type=float,
        help="at the first step, then a cosine; 0.001 with all, else 0.03 if not given",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=Recipe.batch_size,
        help="support samples a step, at most (default %(default)s)",
    )
    parser.add_argument("--baseline", type=Path, help="a second run, given the same episodes")
    parser.add_argument("--seed", type=int, default=0, help="of the episodes")
    parser.add_argument("--out", type=Path, help="folder of the results; RUN/fewshot by default")
    add_shared(parser, "cache_dir", "threads", "plugin")
    parser.add_argument(
        "--task-set",
        nargs="+",
        action="extend",
        default=[],
        help="KEY=VALUE …: parameters of the task, when it reads the episodes' data",
    )
    return parser


def fewshot(arguments: argparse.Namespace) -> str:
    """Run all episodes that are not done yet; write ``fewshot.json``, figure 4; the table.

    Raises:
        ConfigError, CheckpointError: If a folder is no run or holds no valid checkpoint.
        ValueError: If an argument is out of range, classes are too few, or the two runs' tasks
            make different samples of the same data.
    """
    prepare(arguments)
    shots, adapts = _checked(arguments)
    sources = load_sources(arguments)
    for source in sources:
        for parts in adapts:
            learning(source.model, parts)  # before any work is done, whether that can learn
    pools = [pool_of(source, sources, max(shots), arguments) for source in sources]
    if pools[0].short:
        print(f"note: {len(pools[0].short)} classes have too few samples", file=sys.stderr)
    out: Path = arguments.out or arguments.run / "fewshot"
    jobs = plan(sources, pools, shots, adapts, arguments)
    count = arguments.episodes * len(shots) * len(adapts) * len(sources)
    rows = work_off(jobs, count, out / "episodes.jsonl")
    found = summary(sources, pools[0], shots, adapts, rows, arguments)
    text = json.dumps(found, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(out / "fewshot.json", text.encode())
    _draw(found, out)
    print(f"results    {out}/fewshot.json, {out}/figure4.svg, {out}/figure4.png", file=sys.stderr)
    return table(found)


def _checked(arguments: argparse.Namespace) -> tuple[list[int], list[tuple[str, ...]]]:
    at_least(arguments, ways=2, queries=1, episodes=1, steps=0, batch_size=1, seed=0)
    rate = arguments.learning_rate
    if rate is not None and not 0 < rate < float("inf"):
        raise ValueError(f"learning_rate: expected more than 0, got {rate}")
    try:
        shots = sorted({int(part) for part in arguments.shots.split(",")})
    except ValueError:
        raise ValueError(
            f"shots: expected whole numbers with commas between them, got {arguments.shots!r}"
        ) from None
    if shots[0] < 1:
        raise ValueError(f"shots: expected at least 1, got {shots[0]}")
    return shots, list(dict.fromkeys(parts_of(text) for text in arguments.adapt or ["all"]))


def summary(
    sources: Sequence[Source],
    pool: Pool,
    shots: Sequence[int],
    adapts: Sequence[tuple[str, ...]],
    rows: Sequence[dict[str, Any]],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """What ``fewshot.json`` holds: means over episodes, differences, digests."""
    by_place: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        by_place.setdefault((row["model"], row["adapt"], row["shots"]), []).append(row)
    series, differences = [], []
    for parts in adapts:
        name = "+".join(parts)
        for few in shots:
            both = [by_place[source.name, name, few] for source in sources]
            for source, mine in zip(sources, both, strict=True):
                width = source.config.model.width
                heads = (width + 1) * arguments.ways
                learns = sum(p.numel() for p in learning(source.model, parts).values()) + heads
                series.append(
                    {
                        "model": source.name,
                        "adapt": name,
                        "shots": few,
                        "parameters": learns,
                        "learning_rate": mine[0]["learning_rate"],
                        **mean_interval([row["accuracy"] for row in mine]),
                    }
                )
            if len(both) == 2:
                right, other = ([row["right"] for row in each] for each in both)
                apart = paired_difference(right, other, both[0][0]["n"])
                differences.append({"adapt": name, "shots": few, **apart})
    settings = ("ways", "queries", "episodes", "steps", "batch_size", "seed")
    return {
        "runs": {
            s.name: {"folder": str(s.folder), "weights": s.weights, "model": s.config.model_name}
            for s in sources
        },
        "baseline": sources[1].name if len(sources) > 1 else None,
        "data": pool.task.describe(),
        "classes": list(pool.classes),
        **{name: getattr(arguments, name) for name in settings},
        "chance": 1 / arguments.ways,
        "series": series,
        "differences": differences,
        "digests": {
            str(few): [row["digest"] for row in by_place[sources[0].name, "+".join(adapts[0]), few]]
            for few in shots
        },
    }


def table(found: dict[str, Any]) -> str:
    """The means as a Markdown table; ± is half of the 95 % interval, in points."""
    models = list(found["runs"])
    cells = {(s["adapt"], s["shots"], s["model"]): s for s in found["series"]}
    apart = {(d["adapt"], d["shots"]): d for d in found["differences"]}
    heads = ["learns", "shots", *models, *(["difference", "p"] if apart else [])]
    lines = [" | ".join(heads), " | ".join(["---", *["---:"] * (len(heads) - 1)])]
    for adapt, few in dict.fromkeys((s["adapt"], s["shots"]) for s in found["series"]):
        row = [adapt, str(few), *(_points(cells[adapt, few, model]) for model in models)]
        if apart:
            difference = apart[adapt, few]
            row += [_points(difference, sign="+"), f"{difference['p']:.3g}"]
        lines.append(" | ".join(row))
    last = {(s["model"], s["adapt"]): s["parameters"] for s in found["series"]}
    counts = ", ".join(f"{model} {adapt} {n:,}" for (model, adapt), n in last.items())
    return "\n".join(
        [
            *(f"| {line} |" for line in lines),
            "",
            f"Accuracy in %, mean ± half of the 95 % interval over {found['episodes']} episodes; "
            f"{found['ways']} ways, chance {100 * found['chance']:.1f}; parameters that learn: "
            f"{counts}.",
        ]
    )


def _points(value: dict[str, Any], sign: str = "") -> str:
    text = f"{100 * value['mean']:{sign}.1f}"
    if value["ci95"] is None:
        return text
    low, high = value["ci95"]
    return f"{text} ± {50 * (high - low):.1f}"


def _draw(found: dict[str, Any], out: Path) -> None:
    from nacgraph.viz.fewshot import fewshot_figure
    from nacgraph.viz.output import save

    order = {name: k for k, name in enumerate(found["runs"])}
    rows = [
        s | {"kind": found["runs"][s["model"]]["model"], "baseline": order[s["model"]] > 0}
        for s in found["series"]
    ]
    figure = fewshot_figure(rows, found["chance"], f"{found['ways']} ways")
    for suffix in ("svg", "png"):
        save(figure, out / f"figure4.{suffix}")
