"""``nacgraph embed RUN``: the circuits of a conditional run, and what they go with (Figure 6)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nacgraph.cli.answer import Parser, answer
from nacgraph.cli.reading import add_shared, comma_list, prepare, read_circuit, task_arguments
from nacgraph.utils.progress import ProgressPrinter


def main(argv: Sequence[str] | None = None) -> int:
    """Embed; returns the exit code."""
    parser = Parser(
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
    parser.add_argument("--drawn", type=int, default=3, help="circuits drawn of each word")
    parser.add_argument("--seed", type=int, default=0, help="of permutations and t-SNE")
    parser.add_argument("--out", type=Path, help="folder of the results; RUN/embedding by default")
    add_shared(parser, "data", "cache_dir", "threads", "plugin")
    arguments = parser.parse_args(argv)
    return answer(lambda: work(arguments))


def work(arguments: argparse.Namespace) -> dict[str, Any]:
    """Read the run, embed its circuits, write and tell the results."""
    from nacgraph.analysis import embed

    prepare(arguments)
    perplexities = comma_list(
        "perplexities", arguments.perplexities, float, "numbers above 0 with commas between them"
    )
    found = embed(
        read_circuit(arguments.run, **task_arguments(arguments)),
        color=arguments.color,
        samples=arguments.samples,
        split=arguments.split,
        perplexities=perplexities,
        permutations=arguments.permutations,
        drawn=arguments.drawn,
        seed=arguments.seed,
        progress=ProgressPrinter(),
    )
    out = found.save(arguments.out or arguments.run / "embedding")
    print(found, file=sys.stderr)
    print(f"results    {out}/embed.json, figure6.svg, circuits.svg (and .png)", file=sys.stderr)
    return dict(found)
