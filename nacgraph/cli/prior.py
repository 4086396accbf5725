"""``nacgraph prior``: list the graph priors, or check, measure and draw one."""

from __future__ import annotations

import argparse
import inspect
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nacgraph.cli.reading import add_shared, key_values, prepare
from nacgraph.graph.links import DEFAULT_BANDWIDTH, link_probabilities
from nacgraph.priors import PRIORS, GraphPrior, get_prior, lowest_probability, prior_signatures
from nacgraph.priors.reachable import best_signatures
from nacgraph.testing.plugins import target_problems


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. 0: fine; 1: the prior breaks its promises; 2: not understood."""
    arguments = _parser().parse_args(argv)
    try:
        prepare(arguments)
        return _list() if arguments.action == "list" else _check(arguments)
    except BrokenPipeError:  # `| head`: for nacgraph.__main__
        raise
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nacgraph prior", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="the priors there are, with their parameters")
    check = actions.add_parser("check", help="check a prior, measure what is reachable, draw it")
    for each in (listing, check):
        add_shared(each, "plugin")
    check.add_argument("name", help="a name from `nacgraph prior list`")
    check.add_argument("-n", "--modules", type=int, default=128, help="modules (default 128)")
    check.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a parameter of the prior; may be repeated",
    )
    check.add_argument(
        "--bandwidth",
        type=float,
        default=DEFAULT_BANDWIDTH,
        help=f"kernel bandwidth ε (default {DEFAULT_BANDWIDTH:.3f})",
    )
    check.add_argument(
        "--signature-dim", type=int, default=64, help="width of signatures (default 64)"
    )
    check.add_argument("--seed", type=int, default=0, help="seed of the sample drawn")
    check.add_argument("--out", type=Path, help="picture (default prior-NAME.png, here)")
    return parser


def _list() -> int:
    for name, shown in PRIORS.offered():
        if isinstance(shown, ValueError):
            print(f"{name:<18} {shown}")
            continue
        summary = (shown.__doc__ or "").strip().split("\n")[0]
        print(f"{name:<18} {summary}")
        fields = ", ".join(map(str, inspect.signature(shown).parameters.values()))
        if fields:
            print(f"{'':<18} {fields.replace(chr(39), '')}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    n, bandwidth, width = arguments.modules, arguments.bandwidth, arguments.signature_dim
    _positive("--modules", n)
    _positive("--bandwidth", bandwidth)
    _positive("--signature-dim", width)
    prior = get_prior(arguments.name, **key_values(arguments.set, "--set"))
    out = arguments.out or Path(f"prior-{arguments.name}.png")
    target = _called(prior, "edge_probabilities", n)
    described = " ".join([arguments.name, *_given(prior)])
    _row("prior", described)
    _row("modules", n)
    problems = target_problems(target, n)
    for problem in problems:
        _row("WRONG", problem)
    if problems:
        return 1
    graph = _called(prior, "sample", n, arguments.seed)
    off_diagonal = target[~torch.eye(n, dtype=torch.bool)]
    low, high = (off_diagonal.min().item(), off_diagonal.max().item()) if n > 1 else (1.0, 1.0)
    _row("target", f"symmetric, diagonal 1, in [0, 1]: {low:.4g} to {high:.4g}")
    degree = off_diagonal.sum().item() / n
    drawn = 2 * graph.number_of_edges() / n
    _row("mean degree", f"{degree:.2f} of {n - 1} (the sample drawn: {drawn:.2f})")
    _row("kernel", f"bandwidth {bandwidth:.4g}, signatures of width {width}")
    least = lowest_probability(bandwidth)
    verdict = "out of reach" if low < least else "within reach of a pair alone"
    _row("bound", f"P >= e^(-2/bandwidth) = {least:.4g}; the target's least is {verdict}")
    _, closed = prior_signatures(target, bandwidth, width)
    fit = best_signatures(target, bandwidth, width)
    _row("closed form", f"rms error {closed:.4f}")
    _row("reachable", f"mse {fit.loss:.3e}, rms error {math.sqrt(fit.loss):.4f} (an upper bound)")
    reached = link_probabilities(fit.signatures, fit.signatures, bandwidth)
    _draw(out, described, target, reached, graph)
    _row("picture", out)
    return 0


def _draw(out: Path, title: str, target: Tensor, reachable: Tensor, graph: Any) -> None:
    from nacgraph.viz import prior_figure

    prior_figure(f"{title}, {len(target)} modules", target, reachable, graph).savefig(out)


def _called(prior: GraphPrior, method: str, *arguments: int) -> Any:
    """Call into the prior, which may be a stranger's code: what it raises is told in one line."""
    try:
        return getattr(prior, method)(*arguments)
    except Exception as error:
        shown = ", ".join(str(argument) for argument in arguments)
        raise ValueError(f"{method}({shown}) raised {type(error).__name__}: {error}") from error


def _given(prior: GraphPrior) -> list[str]:
    return [f"{key}={value}" for key, value in prior.parameters().items() if value is not None]


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name}: expected a number above 0, got {value}")


def _row(name: str, value: object) -> None:
    print(f"{name:<12} {value}")
