"""``nacgraph analyze RUN``: what the circuit of a run is like, in numbers, pictures, one report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nacgraph.cli.answer import Parser, answer
from nacgraph.cli.reading import add_shared, prepare, read_circuit, task_arguments
from nacgraph.utils.commands import command_line
from nacgraph.utils.progress import ProgressPrinter


def main(argv: Sequence[str] | None = None) -> int:
    """Analyze; returns the exit code."""
    parser = Parser(
        prog="nacgraph analyze",
        description="Statistics of a trained circuit: of its link probabilities P, of P > 0.5 and "
        "of sampled graphs; what its modules do; how far it is from every prior.",
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--out", type=Path, help="folder of the results; RUN/analysis by default")
    parser.add_argument("--html", action="store_true", help="also one report.html, with pictures")
    parser.add_argument("--nulls", type=int, default=20, help="degree-preserving null graphs")
    parser.add_argument("--draws", type=int, default=5, help="graphs sampled from P")
    parser.add_argument("--seeds", type=int, default=10, help="searches for communities")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn")
    parser.add_argument(
        "--samples",
        type=int,
        default=128,
        help="validation samples on which it is measured what modules do; 0: none",
    )
    parser.add_argument(
        "--lesion-samples",
        type=int,
        help="samples answered without each module in turn; about a minute's worth if not given",
    )
    add_shared(parser, "data", "cache_dir", "threads", "plugin")
    arguments = parser.parse_args(argv)
    return answer(lambda: work(arguments))


def work(arguments: argparse.Namespace) -> str:
    """Read the run, analyze it, write the results; returns the path of the numbers."""
    from nacgraph.analysis import analyze

    prepare(arguments)
    progress = ProgressPrinter()
    found = analyze(
        read_circuit(arguments.run, **task_arguments(arguments)),
        nulls=arguments.nulls,
        draws=arguments.draws,
        seeds=arguments.seeds,
        seed=arguments.seed,
        samples=arguments.samples,
        lesion_samples=arguments.lesion_samples,
        workers=2,
        progress=progress,
    )
    out = found.save(arguments.out or arguments.run / "analysis")
    if arguments.html:
        page = found.report(out / "report.html", pictures=out / "figures", progress=progress)
        print(f"report     {page}", file=sys.stderr)
    then = command_line("prune", arguments.run, "--curve", plugins=arguments.plugin)
    print(f"results    {out}\nnext       {then}", file=sys.stderr)
    return str(out / "stats.json")
