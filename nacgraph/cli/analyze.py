"""``nacgraph analyze RUN``: what the circuit of a run is like, in numbers, pictures, one report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nacgraph.cli.answer import answer
from nacgraph.cli.prune import read_summary
from nacgraph.cli.reading import add_shared, at_least, prepare, read_circuit, task_arguments
from nacgraph.training.config import RunConfig
from nacgraph.training.flags import flat
from nacgraph.utils.files import write_atomically
from nacgraph.utils.progress import ProgressPrinter

APART = 128  # modules from which statistics are worth a process of their own

if TYPE_CHECKING:
    from nacgraph.analysis.probing import Probe
    from nacgraph.graph.design import CircuitDesign


def main(argv: Sequence[str] | None = None) -> int:
    """Analyze; returns the exit code."""
    arguments = _parser().parse_args(argv)
    return answer(lambda: str(analyze(arguments) / "stats.json"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    parser.add_argument(
        "--samples",
        type=int,
        default=128,
        help="validation samples on which it is seen what modules do; 0: none",
    )
    parser.add_argument(
        "--lesion-samples",
        type=int,
        help="those answered without each module in turn; what about a minute allows if not given",
    )
    add_shared(parser, "data", "cache_dir", "threads", "plugin")
    return parser


def analyze(arguments: argparse.Namespace) -> Path:
    """Measure, write ``stats.json`` and ``circuit.graphml``, with ``--html`` the report.

    Raises:
        ConfigError, CheckpointError, ValueError, OSError: If something is not as it should be.
    """
    import torch

    prepare(arguments)
    at_least(arguments, nulls=1, draws=1, seeds=1)
    given = task_arguments(arguments)
    run = read_circuit(arguments.run, **given)
    model, task, config, checkpoint = run.circuit, run.task, run.config, run.checkpoint
    out: Path = arguments.out or arguments.run / "analysis"
    out.mkdir(parents=True, exist_ok=True)
    told = ProgressPrinter()
    with torch.no_grad():
        design = model.design()
        among, outward = design.links(model.circuit.kernel.bandwidth)
    link = among.double().fill_diagonal_(1.0).numpy()
    counted = _begin(link, config, arguments, told)
    seen = None
    if arguments.samples:
        from nacgraph.analysis.probing import probe

        seen = probe(
            model,
            task,
            samples=arguments.samples,
            lesion_samples=arguments.lesion_samples,
            seed=arguments.seed,
            progress=told,
        )
    readout_link = outward.double().numpy()
    stats: dict[str, Any] = {
        "run": str(arguments.run),
        "checkpoint": {"name": checkpoint.path.name, "step": checkpoint.state["step"]},
        "config": {k: v for k, v in flat(config).items() if k not in ("out", "resume")},
        "summary": read_summary(arguments.run),
        **counted(),
        "modules": modules_table(link, seen),
        "readouts": readouts_table(readout_link, seen),
        "probe": None if seen is None else _probe_facts(seen),
        "notes": [*run.notes, *_missing(seen)],
    }
    labels = stats["communities"]["labels"]
    for k, row in enumerate(stats["modules"]):
        row["community"] = None if labels is None else labels[k]
    text = json.dumps(stats, indent=1, allow_nan=False, ensure_ascii=False)
    write_atomically(out / "stats.json", (text + "\n").encode())
    write_graphml(out / "circuit.graphml", design, model.circuit.kernel.bandwidth, stats)
    if arguments.html:
        from nacgraph.cli.gallery import write_gallery

        told("drawing", 0.0)
        write_gallery(out, arguments.run, config, stats, link, readout_link, seen, told)
        print(f"report     {out / 'report.html'}", file=sys.stderr)
    print(f"results    {out}\nnext       nacgraph prune {arguments.run} --curve", file=sys.stderr)
    return out


def _begin(
    link: np.ndarray, config: RunConfig, arguments: argparse.Namespace, told: ProgressPrinter
) -> Callable[[], dict[str, Any]]:
    """Begin :func:`measure`; calling what comes back waits for its result.

    A large circuit's statistics are counted in a process of their own, while this one runs the
    model: both take about as long, and neither fills two cores. The numbers are the same.
    """
    import torch

    if len(link) < APART or torch.get_num_threads() < 2 or not arguments.samples:
        return lambda: measure(link, config, arguments, told)
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # Not forked: the threads of PyTorch do not survive that.
    pool = ProcessPoolExecutor(1, get_context("spawn"))
    waiting = pool.submit(_apart, link, config, arguments)
    pool.shutdown(wait=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads - 1)  # threads that have to wait for a core cost far more

    def counted() -> dict[str, Any]:
        found = waiting.result()
        torch.set_num_threads(threads)
        return found

    return counted


def _apart(link: np.ndarray, config: RunConfig, arguments: argparse.Namespace) -> dict[str, Any]:
    from nacgraph.utils.registry import load_plugin

    for path in arguments.plugin:
        load_plugin(path)
    return measure(link, config, arguments, ProgressPrinter())


def measure(
    link: np.ndarray,
    config: RunConfig,
    arguments: argparse.Namespace,
    told: Callable[[str, float], None],
) -> dict[str, Any]:
    """The statistics of the graph and its distance to every prior."""
    import torch

    # One thread, so that sums do not depend on how many there are.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measure(link, config, arguments, told)
    finally:
        torch.set_num_threads(threads)


def _measure(
    link: np.ndarray,
    config: RunConfig,
    arguments: argparse.Namespace,
    told: Callable[[str, float], None],
) -> dict[str, Any]:
    from nacgraph.priors import PRIORS, get_prior
    from nacgraph.viz.statistics import circuit_statistics, prior_distances, undefined

    found = circuit_statistics(
        link,
        nulls=arguments.nulls,
        samples=arguments.draws,
        seeds=arguments.seeds,
        seed=arguments.seed,
        progress=told,
    )
    engine = config.nac_config()
    if config.links_all():
        none = undefined("the model links all modules, whatever their signatures")
        parts = ("raw", "matched", "floor", "untrained")
        names = [name for name in PRIORS.names() if not PRIORS.get(name).is_none]
        return found | {"priors": {name: dict.fromkeys(parts, none) for name in names}}
    priors = {name: get_prior(name) for name in PRIORS.names()}
    priors[config.prior.name] = get_prior(config.prior.name, **config.prior.parameters)
    found["priors"] = prior_distances(
        link,
        engine.bandwidth,
        engine.signature_dim,
        kind=config.prior.loss,
        seed=arguments.seed,
        priors=priors,
        progress=told,
    )
    return found


def modules_table(link: np.ndarray, seen: Probe | None) -> list[dict[str, Any]]:
    """A row for each processor: its place in the graph, and what it does."""
    from nacgraph.viz.statistics import core_numbers, local_clustering

    linked = (link > 0.5) & ~np.eye(len(link), dtype=bool)
    clustering, core = local_clustering(linked), core_numbers(linked)
    does = [{} for _ in link] if seen is None else seen.modules()
    return [
        {
            "module": module,
            "degree": float(link[module].sum() - link[module, module]),
            "degree_threshold": int(linked[module].sum()),
            "clustering": None if linked[module].sum() < 2 else float(clustering[module]),
            "core": int(core[module]),
            **does[module],
        }
        for module in range(len(link))
    ]


def readouts_table(readout_link: np.ndarray, seen: Probe | None) -> list[dict[str, Any]]:
    """A row for each read-out."""
    if seen is not None:
        return seen.readouts()
    return [{"readout": k, "degree": float(row.sum())} for k, row in enumerate(readout_link)]


def _probe_facts(seen: Probe) -> dict[str, Any]:
    """What was measured on how many samples, and how codes go with links."""
    names = ("split", "samples", "lesion_samples", "mode", "accuracy", "loss", "similarity_link")
    return {name: getattr(seen, name) for name in names}


def _missing(seen: Probe | None) -> list[str]:
    if seen is None:
        return ["what modules do was not measured (--samples 0)"]
    by_reason: dict[str, list[str]] = {}
    for name, reason in seen.reasons.items():
        by_reason.setdefault(reason, []).append(name)
    return [f"not measured: {', '.join(names)} ({why})" for why, names in by_reason.items()]


def write_graphml(
    path: Path, design: CircuitDesign, bandwidth: float, stats: Mapping[str, Any]
) -> None:
    """Processors and read-outs with their rows as attributes, links with P > 0.5."""
    import networkx as nx

    graph = design.to_networkx(bandwidth)
    processors = design.num_processors
    rows = [*stats["modules"], *stats["readouts"]]
    for node, row in enumerate(rows):
        # `role` says what a module reads, in the report too; what it is goes by another name.
        graph.nodes[node]["kind"] = graph.nodes[node].pop("role")
        plain = {k: v for k, v in row.items() if isinstance(v, (bool, int, float, str))}
        if node < processors and row.get("top_tokens"):
            plain["top_tokens"] = " ".join(name for name, _ in row["top_tokens"])
        graph.nodes[node].update(plain)
    text = "\n".join(nx.generate_graphml(graph)) + "\n"
    write_atomically(path, text.encode())
