"""``nacgraph embed RUN``: the circuits of a conditional run, and what they go with (Figure 6)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacgraph.cli.answer import answer
from nacgraph.cli.reading import add_shared, at_least, prepare, read_circuit, task_arguments
from nacgraph.training.run import build_nac, without_start
from nacgraph.utils.files import write_atomically
from nacgraph.utils.progress import ProgressPrinter

if TYPE_CHECKING:
    from nacgraph.analysis.populations import Population

GIVEN = ("sentence", "text", "caption", "question")  # tags that say what a sample was given
GROUPS = 6  # words of which circuits are drawn, the commonest


def main(argv: Sequence[str] | None = None) -> int:
    """Embed; returns the exit code."""
    arguments = _parser().parse_args(argv)
    return answer(lambda: embed(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nacgraph embed",
        description="For a conditional run: the link probabilities of many samples' circuits as "
        "points (lower triangle, PCA, t-SNE), coloured by a tag of the samples, with measures of "
        "how the two go together, and some of the circuits drawn. Prints JSON.",
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="a run folder with --condition task or inputs")
    parser.add_argument(
        "--color",
        "--colour",
        default="label",
        dest="color",
        help="tag of the samples, such as skill; label is always one",
    )
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--perplexities", default="5,30,50", help="of t-SNE, with commas")
    parser.add_argument("--permutations", type=int, default=1000, help="of tags, for p-values")
    parser.add_argument("--drawn", type=int, default=3, help="circuits drawn of each tag's word")
    parser.add_argument("--seed", type=int, default=0, help="of permutations and t-SNE")
    parser.add_argument("--out", type=Path, help="folder of the results; RUN/embedding by default")
    add_shared(parser, "data", "cache_dir", "threads", "plugin")
    return parser


def embed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Gather circuits, measure, write ``embed.json`` and the pictures; returns the measures.

    Raises:
        ConfigError, CheckpointError: If the folder is no run or holds no valid checkpoint.
        ValueError: If the run is not conditional, its circuits are all the same, the tag is none
            of the task's, or an argument is out of range.
    """
    prepare(arguments)
    perplexities = _checked(arguments)
    from nacgraph.analysis.populations import components, gather, separation, tag_words, variation

    run = read_circuit(arguments.run, **task_arguments(arguments))
    model, task, config, checkpoint = run.circuit, run.task, run.config, run.checkpoint
    told = ProgressPrinter()
    sampled = arguments.split, arguments.samples, config.precision
    population = gather(model, task, *sampled, progress=told)
    tags = tag_words(task, arguments.split, population)
    if arguments.color not in tags:
        raise ValueError(f"color: expected one of {', '.join(tags)}, got {arguments.color!r}")
    if too_high := [p for p in perplexities if not p < len(population.rows)]:
        raise ValueError(
            f"perplexities: expected less than the {len(population.rows)} different "
            f"circuits, got {too_high[0]:g}"
        )

    def measures(found: Population) -> dict[str, Any]:
        points = components(found.links)
        table = {}
        for k, (name, words) in enumerate(tags.items()):
            told("permutations", k / len(tags))
            table[name] = separation(points, words, arguments.permutations, arguments.seed)
        return {**variation(found.links), "tags": table}

    result = {
        "run": str(arguments.run),
        "checkpoint": {"name": checkpoint.path.name, "step": checkpoint.state["step"]},
        "data": task.describe(),
        "split": arguments.split,
        "samples": population.samples,
        "circuits": len(population.rows),
        "color": arguments.color,
        "seed": arguments.seed,
        "permutations": arguments.permutations,
        "trained": measures(population),
    }
    # Sentences that are alike make like circuits in any network: what training adds is beyond that.
    fresh = build_nac(without_start(config), task, None)
    try:
        result["untrained"] = measures(gather(fresh, task, *sampled, progress=told))
    except ValueError as error:
        result["untrained"] = {"value": None, "reason": str(error)}
    out: Path = arguments.out or arguments.run / "embedding"
    out.mkdir(parents=True, exist_ok=True)
    places = _draw(population, tags, perplexities, arguments, out, told)
    whole = {
        **result,
        "points": [
            {
                "row": int(row),
                **{name: words[k] for name, words in tags.items()},
                **{f"tsne_{p:g}": [round(float(x), 4) for x in at[k]] for p, at in places.items()},
            }
            for k, row in enumerate(population.rows)
        ],
    }
    text = json.dumps(whole, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(out / "embed.json", text.encode())
    print("\n".join(lines(result)), file=sys.stderr)
    print(f"results    {out}/embed.json, figure6.svg, circuits.svg (and .png)", file=sys.stderr)
    return result


def _checked(arguments: argparse.Namespace) -> list[float]:
    at_least(arguments, samples=4, permutations=1, drawn=1, seed=0)
    try:
        found = [float(part) for part in arguments.perplexities.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < p < float("inf") for p in found):
        raise ValueError(
            "perplexities: expected numbers above 0 with commas between them, "
            f"got {arguments.perplexities!r}"
        )
    return sorted(set(found))


def _draw(
    population: Population,
    tags: Mapping[str, Sequence[str]],
    perplexities: Sequence[float],
    arguments: argparse.Namespace,
    out: Path,
    told: ProgressPrinter,
) -> dict[float, Any]:
    """Write both pictures; returns the places of the circuits by perplexity."""
    from nacgraph.viz import embed_circuits, save
    from nacgraph.viz.populations import circuits_figure, population_figure

    places = {}
    for k, perplexity in enumerate(perplexities):
        told(f"t-SNE: perplexity {perplexity:g}", k / len(perplexities))
        places[perplexity] = embed_circuits(population.links, perplexity, arguments.seed)
    words = tags[arguments.color]
    told("drawing", 0.0)
    chosen = examples(words, arguments.drawn)
    texts = next((tags[name] for name in GIVEN if name in tags), None)
    titles = [f"sample {population.rows[k]}" if texts is None else texts[k] for k in chosen]
    figures = {
        "figure6": population_figure(places, words, arguments.color),
        "circuits": circuits_figure(
            list(population.links[chosen]), titles, [words[k] for k in chosen], arguments.drawn
        ),
    }
    for name, figure in figures.items():
        for suffix in ("svg", "png"):
            save(figure, out / f"{name}.{suffix}")
    return places


def examples(words: Sequence[str], each: int) -> list[int]:
    """The first so many places of each of the commonest words, word by word."""
    from collections import Counter

    common = sorted(word for word, _ in Counter(words).most_common(GROUPS))
    return [k for word in common for k in [i for i, w in enumerate(words) if w == word][:each]]


def lines(result: Mapping[str, Any]) -> list[str]:
    """The measures as a table, the trained circuits beside those of the untrained model."""
    head = f"{'tag':<12} {'':<10} {'silhouette':>20} {'5 neighbours':>30} {'centroid':>30} majority"
    varying = 100 * result["trained"]["links_in_some"]
    rows = [
        f"circuits   {result['circuits']} different ones among {result['samples']} samples; "
        f"{varying:.1f} % of links in some but not all",
        head,
    ]
    for name, of in result["trained"]["tags"].items():
        for which, found in (("trained", of), ("untrained", result["untrained"])):
            if which == "untrained":
                found = found.get("tags", {}).get(name, found)
            if "reason" in found:
                rows.append(f"{name:<12} {which:<10} undefined: {found['reason']}")
                continue
            silhouette, near, middle = (
                found[kind] for kind in ("silhouette", "neighbours", "centroid")
            )
            rows.append(
                f"{name:<12} {which:<10} {silhouette['value']:>+9.3f} p {silhouette['p']:<8.3g}"
                + "".join(
                    f" {100 * each['value']:>5.1f} % (chance {100 * each['chance']:.1f}) "
                    f"p {each['p']:<8.3g}"
                    for each in (near, middle)
                )
                + f" {100 * found['majority']:.1f} %"
            )
    return rows
