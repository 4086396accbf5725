"""What the circuit of a run is like: statistics, what its modules do, pictures, one report."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nacgraph.training.flags import flat
from nacgraph.utils.check import check_whole
from nacgraph.utils.files import write_atomically
from nacgraph.utils.result import write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from networkx import Graph

    from nacgraph.analysis.gallery import Gallery
    from nacgraph.analysis.probing import Probe
    from nacgraph.graph.design import CircuitDesign
    from nacgraph.training.run import Run

MANY = 128  # modules from which statistics are worth a process of their own

Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False, repr=False)
class Analysis:
    """What :func:`analyze` found about a circuit.

    Attributes:
        run: The run.
        design: Its circuit's design.
        link: Link probabilities P among processors, with diagonal 1.
        readout_link: Link probabilities from processors to read-outs.
        stats: All numbers, as ``stats.json`` holds them.
        probe: What the modules do on samples; None if that was not measured.

    Shapes:
        link (U, U) · readout_link (O, U)
    """

    run: Run
    design: CircuitDesign
    link: np.ndarray
    readout_link: np.ndarray
    stats: dict[str, Any]
    probe: Probe | None

    @property
    def modules(self) -> list[dict[str, Any]]:
        """A row for each processor: its place in the graph, and what it does."""
        return self.stats["modules"]

    @property
    def readouts(self) -> list[dict[str, Any]]:
        """A row for each read-out."""
        return self.stats["readouts"]

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the pictures that there is something for."""
        return tuple(self.gallery.drawings)

    def figure(self, name: str = "circuit") -> Figure:
        """A picture by its name, one of :attr:`figures`.

        Raises:
            ValueError: If there is none of this name, or it cannot be drawn.
        """
        if name not in self.gallery.drawings:
            raise ValueError(f"figure: expected one of {', '.join(self.figures)}, got {name!r}")
        return self.gallery.drawings[name].draw()

    @cached_property
    def gallery(self) -> Gallery:
        """The pictures, which share order, places and colours."""
        from nacgraph.analysis.gallery import Gallery

        return Gallery(self.run, self.stats, self.link, self.readout_link, self.probe)

    def report(
        self,
        path: Path | str,
        *,
        pictures: Path | str | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Write one HTML page with all numbers and pictures, that needs no network.

        Args:
            path: The page.
            pictures: Folder that also gets every picture as SVG and PNG, and ``forming.gif``, the
                circuit over training.
            progress: Called with ("drawing", share done).

        Returns:
            ``path``.
        """
        from nacgraph.analysis.report import write

        folder = None if pictures is None else Path(pictures)
        return write(self.gallery, Path(path), folder, progress)

    def save(self, folder: Path | str) -> Path:
        """Write ``stats.json`` and ``circuit.graphml``; returns the folder."""
        import networkx as nx

        out = Path(folder)
        write_json(out / "stats.json", self.stats)
        text = "\n".join(nx.generate_graphml(self.to_networkx())) + "\n"
        write_atomically(out / "circuit.graphml", text.encode())
        return out

    def to_networkx(self) -> Graph:
        """Processors and read-outs with their rows as attributes, links with P > 0.5."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that no link is strong, stats say too
            graph = self.design.to_networkx()
        for node, row in enumerate([*self.modules, *self.readouts]):
            # "role" says what a module reads, as in the report; so what it is goes by "kind".
            graph.nodes[node]["kind"] = graph.nodes[node].pop("role")
            plain = {k: v for k, v in row.items() if isinstance(v, (bool, int, float, str))}
            if row.get("top_tokens"):
                plain["top_tokens"] = " ".join(name for name, _ in row["top_tokens"])
            graph.nodes[node].update(plain)
        return graph

    def __repr__(self) -> str:
        links = self.stats["views"]["threshold"]["links"]["value"]
        return (
            f"Analysis of {self.run.path}: {len(self.modules)} modules, "
            f"{links} links with P > 0.5; figures {', '.join(self.figures)}"
        )

    def _repr_html_(self) -> str:
        from html import escape

        from nacgraph.analysis.report import key_facts
        from nacgraph.viz import to_svg

        rows = [
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
            for name, value in key_facts(self.run.config, self.stats)
        ]
        return f"<table>{''.join(rows)}</table>{to_svg(self.figure())}"


def analyze(
    run: Run,
    *,
    nulls: int = 20,
    draws: int = 5,
    seeds: int = 10,
    seed: int = 0,
    samples: int = 128,
    lesion_samples: int | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Analysis:
    """Statistics of a trained circuit, what its modules do, how far it is from every prior.

    Args:
        run: A run with one circuit for all samples.
        nulls: Degree-preserving null graphs.
        draws: Graphs sampled from P.
        seeds: Searches for communities.
        seed: Seed of everything that is drawn.
        samples: Validation samples on which it is measured what modules do; 0: none.
        lesion_samples: Samples answered without each module in turn; about a minute's worth if
            None.
        workers: With 2 a large circuit's statistics are computed in a second process while this
            one runs the model. The numbers are the same. The process imports the main script, so
            that must not analyze outside of ``if __name__ == "__main__"``; plugins are loaded
            there too, and ``progress`` must be picklable.
        progress: Called with (what is done, share done).

    Raises:
        ValueError: If the run has no circuit or one for every sample, or a number is out of range.

    Example:
        >>> found = analyze(nacgraph.load("runs/x"))  # doctest: +SKIP
        >>> found.figure("circuit")  # doctest: +SKIP
    """
    check_whole(1, nulls=nulls, draws=draws, seeds=seeds, workers=workers)
    check_whole(0, seed=seed, samples=samples, lesion_samples=lesion_samples or 0)
    import torch

    model, design = run.circuit, run.design
    with torch.no_grad():
        among, outward = design.links()
    link = among.double().fill_diagonal_(1.0).cpu().numpy()
    readout_link = outward.double().cpu().numpy()
    config = run.config
    measure = partial(
        graph_statistics,
        link,
        (model.config.bandwidth, model.config.signature_dim),
        complete=model.config.wiring == "complete",
        prior=(config.prior.name, config.prior.parameters),
        kind=config.prior.loss,
        nulls=nulls,
        draws=draws,
        seeds=seeds,
        seed=seed,
        progress=progress,
    )
    apart = workers > 1 and samples and len(link) >= MANY and torch.get_num_threads() > 1
    with _in_a_process(measure) if apart else _here(measure) as measured:
        probe = None
        if samples:
            from nacgraph.analysis import probing

            probe = probing.probe(
                model,
                run.task,
                samples=samples,
                lesion_samples=lesion_samples,
                seed=seed,
                progress=progress,
            )
        found = measured()
    stats: dict[str, Any] = {
        "run": str(run.path),
        "checkpoint": {"name": run.checkpoint.path.name, "step": run.checkpoint.state["step"]},
        "config": {k: v for k, v in flat(config).items() if k not in ("out", "resume")},
        "summary": run.summary,
        **found,
        "modules": modules_table(link, probe),
        "readouts": readouts_table(readout_link, probe),
        "probe": None if probe is None else _probe_numbers(probe),
        "notes": [*run.notes, *_missing(probe)],
    }
    labels = stats["communities"]["labels"]
    for k, row in enumerate(stats["modules"]):
        row["community"] = None if labels is None else labels[k]
    return Analysis(run, design, link, readout_link, stats, probe)


@contextmanager
def _here(measure: Callable[[], dict[str, Any]]) -> Iterator[Callable[[], dict[str, Any]]]:
    yield measure


@contextmanager
def _in_a_process(measure: Callable[[], dict[str, Any]]) -> Iterator[Callable[[], dict[str, Any]]]:
    """Begin to measure in a process of its own; calling what is yielded waits for the result.

    Statistics and probe of a large circuit take about as long, and neither fills two cores.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    import torch

    from nacgraph.utils.registry import LOADED

    # Not forked: the threads of PyTorch do not survive that.
    pool = ProcessPoolExecutor(1, get_context("spawn"))
    waiting = pool.submit(_with_plugins, [path for path in LOADED if path.is_file()], measure)
    pool.shutdown(wait=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads - 1)  # threads that have to wait for a core cost far more
    try:
        yield waiting.result
    finally:
        torch.set_num_threads(threads)


def _with_plugins(plugins: Sequence[Path], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    from nacgraph.utils.registry import load_plugin

    for path in plugins:
        load_plugin(path)
    return measure()


def graph_statistics(
    link: np.ndarray,
    kernel: tuple[float, int],
    *,
    complete: bool = False,
    prior: tuple[str, Mapping[str, Any]] = ("none", {}),
    kind: str = "mse",
    nulls: int = 20,
    draws: int = 5,
    seeds: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The statistics of a graph, and its distance to every prior.

    They are computed on one thread, so that sums do not depend on how many there are.

    Args:
        link: Link probabilities P, (U, U), with diagonal 1.
        kernel: Bandwidth, and width of the signatures.
        complete: The model links all modules whatever their signatures, so there are no distances.
        prior: Name and parameters of the run's own prior; all others have their defaults.
        kind: Distance, "mse" or "kl".
        nulls: Degree-preserving null graphs.
        draws: Graphs sampled from P.
        seeds: Searches for communities.
        seed: Seed of everything that is drawn.
        progress: Called with (what is done, share done).
    """
    import torch

    from nacgraph.priors import PRIORS, get_prior
    from nacgraph.viz.statistics import circuit_statistics, prior_distances, undefined

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = circuit_statistics(
            link, nulls=nulls, samples=draws, seeds=seeds, seed=seed, progress=progress
        )
        if complete:
            none = undefined("the model links all modules, whatever their signatures")
            parts = ("raw", "matched", "floor", "untrained")
            names = [name for name in PRIORS.names() if not PRIORS.get(name).is_none]
            return found | {"priors": {name: dict.fromkeys(parts, none) for name in names}}
        name, parameters = prior
        priors = {each: get_prior(each) for each in PRIORS.names()}
        priors[name] = get_prior(name, **parameters)
        distances = prior_distances(
            link, *kernel, kind=kind, seed=seed, priors=priors, progress=progress
        )
        return found | {"priors": distances}
    finally:
        torch.set_num_threads(threads)


def modules_table(link: np.ndarray, probe: Probe | None) -> list[dict[str, Any]]:
    """A row for each processor: its place in the graph, and what it does."""
    from nacgraph.viz.statistics import core_numbers, local_clustering

    linked = (link > 0.5) & ~np.eye(len(link), dtype=bool)
    clustering, core = local_clustering(linked), core_numbers(linked)
    does = [{} for _ in link] if probe is None else probe.modules()
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


def readouts_table(readout_link: np.ndarray, probe: Probe | None) -> list[dict[str, Any]]:
    """A row for each read-out."""
    if probe is not None:
        return probe.readouts()
    return [{"readout": k, "degree": float(row.sum())} for k, row in enumerate(readout_link)]


def _probe_numbers(probe: Probe) -> dict[str, Any]:
    """What was measured on how many samples, and how codes go with links."""
    names = ("split", "samples", "lesion_samples", "mode", "accuracy", "loss", "similarity_link")
    return {name: getattr(probe, name) for name in names}


def _missing(probe: Probe | None) -> list[str]:
    if probe is None:
        return ["what modules do was not measured (--samples 0)"]
    by_reason: dict[str, list[str]] = {}
    for name, reason in probe.reasons.items():
        by_reason.setdefault(reason, []).append(name)
    return [f"not measured: {', '.join(names)} ({why})" for why, names in by_reason.items()]
