"""``nacgraph prior``: list the graph priors, or check, measure and draw one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from nacgraph.cli.answer import Parser, answer
from nacgraph.cli.reading import add_shared, key_values, prepare
from nacgraph.utils.choices import DEFAULT_BANDWIDTH


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. 0: fine; 1: the prior breaks its promises; 2: not understood."""
    arguments = _parser().parse_args(argv)
    problems: list[str] = []
    code = answer(lambda: "\n".join(_run(arguments, problems)))
    return code or int(bool(problems))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="nacgraph prior", description=__doc__)
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
    check.add_argument("--signature-dim", type=int, default=64, help="of signatures (default 64)")
    check.add_argument("--seed", type=int, default=0, help="seed of the sample drawn")
    check.add_argument("--out", type=Path, help="picture (default prior-NAME.png, here)")
    return parser


def _run(arguments: argparse.Namespace, problems: list[str]) -> list[str]:
    from nacgraph.priors import get_prior
    from nacgraph.priors.check import check_lines, check_prior, overview
    from nacgraph.viz import prior_figure

    prepare(arguments)
    if arguments.action == "list":
        return list(overview())
    prior = get_prior(arguments.name, **key_values(arguments.set, "--set"))
    bandwidth, width = arguments.bandwidth, arguments.signature_dim
    found = check_prior(
        prior, arguments.modules, bandwidth=bandwidth, signature_dim=width, seed=arguments.seed
    )
    problems += found.problems
    given = [f"{key}={value}" for key, value in prior.parameters().items() if value is not None]
    name = " ".join([arguments.name, *given])
    lines = [f"{'prior':<12} {name}", *check_lines(found, bandwidth, width)]
    if found.sample is not None:
        out = arguments.out or Path(f"prior-{arguments.name}.png")
        title = f"{name}, {arguments.modules} modules"
        prior_figure(title, found.target, found.reached, found.sample).savefig(out)
        lines.append(f"{'picture':<12} {out}")
    return lines
