"""``nacgraph analyze RUN``: what the circuit of a run is like, in numbers, pictures, one report."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nacgraph.checkpoint import CheckpointError, write_atomically
from nacgraph.commands.prune import read_summary, task_arguments
from nacgraph.config import ConfigError, RunConfig
from nacgraph.progress import clock
from nacgraph.rundir import load_run

if TYPE_CHECKING:
    from nacgraph.design import CircuitDesign
    from nacgraph.model import NAC
    from nacgraph.tasks import Task


def main(argv: Sequence[str] | None = None) -> int:
    """Analyze; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        out = analyze(arguments)
    except ConfigError as error:
        print("\n".join(f"error: {text}" for text in error.problems), file=sys.stderr)
        return 2
    except (CheckpointError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(out / "stats.json")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nacgraph analyze",
        description="Statistics of a trained circuit: of its link probabilities P, of P > 0.5 and "
        "of sampled graphs; what its modules do; how far it is from every prior.",
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--out", type=Path, help="folder for the results; RUN/analysis if not given")
    parser.add_argument("--html", action="store_true", help="also one report.html, with pictures")
    parser.add_argument("--nulls", type=int, default=20, help="degree-preserving null graphs")
    parser.add_argument("--draws", type=int, default=5, help="graphs sampled from P")
    parser.add_argument("--seeds", type=int, default=10, help="searches for communities")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    parser.add_argument("--samples", type=int, default=256,
                        help="validation samples read to see what modules attend to; 0: none")  # fmt: skip
    parser.add_argument("--lesion-samples", type=int, default=128,
                        help="those answered without each module in turn; 0: none")  # fmt: skip
    parser.add_argument("--data", help="as of nacgraph evaluate")
    parser.add_argument("--cache-dir", help="where generated data is kept")
    parser.add_argument("--threads", type=int, default=0, help="0 leaves PyTorch's choice")
    parser.add_argument("--plugin", action="append", default=[], help="a Python file that is run")
    return parser


class Told:
    """Says on stderr what is being done, how far it is and how long it has taken."""

    def __init__(self, every: float = 5.0) -> None:
        self.began = self.last = time.monotonic()
        self.what, self.every = "", every

    def __call__(self, what: str, share: float) -> None:
        now = time.monotonic()
        if what == self.what and now - self.last < self.every and share < 1:
            return
        if what == self.what and share >= 1 and now - self.last < 1:
            return
        self.what, self.last = what, now
        text = f"{clock(now - self.began):>7}    {what} {100 * share:.0f} %"
        print(text, file=sys.stderr, flush=True)


def analyze(arguments: argparse.Namespace) -> Path:
    """Measure, write ``stats.json`` and ``circuit.graphml``, with ``--html`` the report.

    Raises:
        ConfigError, CheckpointError, ValueError, OSError: If something is not as it should be.
    """
    import torch

    from nacgraph.registry import load_plugin

    for path in arguments.plugin:
        load_plugin(path)
    for name in ("nulls", "draws", "seeds"):
        if getattr(arguments, name) < 1:
            raise ValueError(f"{name}: wanted at least 1, got {getattr(arguments, name)}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model, task, config, checkpoint, notes = load_run(arguments.run, **task_arguments(arguments))
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    out: Path = arguments.out or arguments.run / "analysis"
    out.mkdir(parents=True, exist_ok=True)
    told = Told()
    with torch.no_grad():
        design = model.generator()
        among, outward = design.links(model.circuit.kernel.bandwidth)
    link = among.double().fill_diagonal_(1.0).numpy()
    seen = _seen(model, task, arguments, told)
    stats = measure(link, config, arguments, told) | {
        "run": str(arguments.run),
        "config": {k: v for k, v in asdict(config).items() if k not in ("out", "resume")},
        "summary": read_summary(arguments.run),
        "checkpoint": {"name": checkpoint.path.name, "step": checkpoint.state["step"]},
        "notes": notes,
    }
    stats["modules"] = _modules(link, stats, seen)
    stats["readouts"] = _readouts(outward.double().numpy(), seen)
    if seen is not None:
        stats["code_link_correlation"] = seen.correlation
    text = json.dumps(stats, indent=1, allow_nan=False, ensure_ascii=False, default=_plain)
    write_atomically(out / "stats.json", (text + "\n").encode())
    _write_graphml(out / "circuit.graphml", design, model, stats)
    if arguments.html:
        from nacgraph.commands.gallery import write_gallery

        told("drawing", 0.0)
        write_gallery(out, arguments.run, config, stats, link, outward.double().numpy(), seen)
        told("drawing", 1.0)
        print(f"report     {out / 'report.html'}", file=sys.stderr)
    print(f"results    {out}\nnext       nacgraph prune {arguments.run} --curve", file=sys.stderr)
    return out


def measure(
    link: np.ndarray,
    config: RunConfig,
    arguments: argparse.Namespace,
    told: Callable[[str, float], None],
) -> dict[str, Any]:
    """The statistics of the graph and its distance to every prior."""
    from nacgraph.viz.statistics import circuit_statistics, prior_distances

    found = circuit_statistics(
        link, nulls=arguments.nulls, samples=arguments.draws, seeds=arguments.seeds,
        seed=arguments.seed, progress=told,
    )  # fmt: skip
    engine = config.nac_config()
    found["priors"] = prior_distances(
        link, engine.bandwidth, engine.signature_dim, kind=config.prior_loss, seed=arguments.seed,
        progress=told,
    )  # fmt: skip
    return found
