"""The pictures of an analysis, and the report that holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nacgraph.training.config import RunConfig
from nacgraph.training.run import build_target
from nacgraph.utils.files import write_atomically
from nacgraph.utils.progress import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nacgraph.analysis.probing import Probe
    from nacgraph.viz.report import ReportData

ProgressPrinter = Callable[[str, float], None]


class Gallery:
    """What all pictures of one analysis share: order, places, colours."""

    def __init__(
        self,
        run: Path,
        config: RunConfig,
        stats: Mapping[str, Any],
        link: np.ndarray,
        readout_link: np.ndarray,
        seen: Probe | None,
    ) -> None:
        from nacgraph.priors import match
        from nacgraph.viz import force_layout, readout_layout

        self.run, self.config, self.stats, self.seen = run, config, stats, seen
        self.link, self.readout_link = link, readout_link
        labels = stats["communities"]["labels"]  # -1, no community, is drawn grey
        self.labels = np.full(len(link), -1) if labels is None else np.asarray(labels)
        self.target = build_target(config)
        if self.target is None:  # no prior to follow: communities, the best linked first
            self.order = np.lexsort((-link.sum(1), self.labels))
        else:
            found = match(torch.from_numpy(link), self.target, kind=config.prior.loss)
            self.order = found.numpy()
        self.positions = force_layout(link)
        self.readout_positions = readout_layout(self.positions, readout_link)

    def figures(self) -> Iterator[tuple[str, str, str, Callable[[], Figure]]]:
        """Name, title, caption, and how to draw each picture that there is something for."""
        from nacgraph import viz

        yield (
            "circuit",
            "The circuit",
            "Force layout with attraction inverse to signature distance, "
            "a line where P > 0.5, squares for read-outs; colours are communities.",
            lambda: viz.circuit_drawing(
                self.link,
                self.positions,
                "community",
                self.labels,
                readout_probability=self.readout_link,
            ),
        )
        if self.target is not None:
            yield (
                "prior",
                "P beside its prior",
                "Target and learned link probabilities, modules in "
                "the order of their best match, and the links with P > 0.5.",
                lambda: viz.circuit_figure("", self.link, self.target, self.order, difference=True),
            )
        yield (
            "degrees",
            "Degrees",
            "Share of modules with at least this degree: expected under P, "
            "of P > 0.5, and of sampled graphs.",
            self._degrees,
        )
        if (self.run / "metrics.csv").is_file():
            yield "training", "Training", "What training did to the circuit.", self._training
        if (self.run / "frames").is_dir():
            yield (
                "frames",
                "The circuit over training",
                "P in matched order above, links with "
                "P > 0.5 below; all steps share order, places and colours.",
                self._frames,
            )
            if len(list((self.run / "frames").glob("step_*.npz"))) >= 8:
                yield (
                    "embedding",
                    "Its path",
                    "Lower triangle of P at each frame → PCA → t-SNE, at two perplexities.",
                    self._path,
                )
        if self.seen is not None:
            yield (
                "modules",
                "What modules do",
                "Codes against links, what is read, what is lost "
                "without a module, and how much read-outs are believed.",
                self._modules,
            )
        embedding = self.stats["views"]["probability"].get("spectral_embedding", {})
        if embedding.get("value"):
            yield (
                "spectrum",
                "Spectral embedding",
                "Adjacency spectral embedding of P; colours are communities.",
                lambda: viz.spectral_figure(np.array(embedding["value"], float), self.labels),
            )
        blocks = self._blocks()
        if blocks:
            yield (
                "blocks",
                "Block models",
                "Share of pairs linked between blocks (P > 0.5), and "
                "how many modules each block has.",
                lambda: viz.block_figure(blocks),
            )

    def _degrees(self) -> Figure:
        from nacgraph.viz import degree_ccdf_figure

        own = np.eye(len(self.link), dtype=bool)
        off = np.where(own, 0.0, self.link)
        rng = np.random.default_rng(0)
        drawn = []
        for _ in range(5):
            upper = np.triu(rng.random(off.shape) < off, 1)
            drawn.append((upper | upper.T).sum(1))
        views = {
            "probability": off.sum(1),
            "threshold": (off > 0.5).sum(1),
            "sampled": np.array(drawn),
        }
        prior = None if self.target is None else (self.target.sum(1) - 1).numpy()
        return degree_ccdf_figure(views, prior)

    def _training(self) -> Figure:
        from nacgraph.viz import training_figure

        summary = self.stats["summary"]
        names = {"majority_accuracy": "majority", "root_operator_accuracy": "root operator"}
        known = {shown: summary[k] for k, shown in names.items() if summary.get(k) is not None}
        return training_figure(
            self.run / "metrics.csv", len(self.link), summary.get("prior_floor"), known
        )

    def _read(self) -> list[Any]:
        from nacgraph.viz import read_frames

        return read_frames(self.run)

    def _distances(self, frames: list[Any]) -> Any:
        from nacgraph.viz import frame_distances

        if self.target is None or self.config.prior.loss != "mse":
            return None
        return frame_distances(frames, self.target)[0]

    def _frames(self) -> Figure:
        from nacgraph.viz import frames_figure

        frames = self._read()
        told = self._distances(frames)
        return frames_figure(frames, self.order, self.labels, self.positions, told)

    def animate(self, path: Path) -> bool:
        """Write the circuit over training as a GIF, if there are frames of it."""
        from nacgraph.viz import save_animation

        if not (self.run / "frames").is_dir():
            return False
        frames = self._read()
        told = self._distances(frames)
        save_animation(frames, path, self.labels, self.order, distances=told)
        return True

    def _path(self) -> Figure:
        from nacgraph.viz import embedding_figure

        frames = self._read()
        links = np.stack([frame.probability() for frame in frames])
        most = max(2.0, (len(frames) - 1) / 3)
        return embedding_figure(links, [f.step for f in frames], (most / 2, most))

    def _modules(self) -> Figure:
        from nacgraph.viz import modules_figure

        seen = self.seen
        if seen is None:
            raise ValueError("seen: expected a probe, got None")
        found: dict[str, Any] = {
            "P": self.link,
            "code_similarity": seen.code_similarity,
            "modules": self.stats["modules"],
            "readouts": self.stats["readouts"],
        }
        if seen.token_attention is not None:
            found |= {"token_attention": seen.token_attention, "token_names": seen.token_names}
        return modules_figure(found)

    def _blocks(self) -> dict[str, np.ndarray]:
        found = {}
        for name, title in (("sbm", "SBM"), ("dcsbm", "DCSBM")):
            matrix = self.stats["block_models"].get(name, {}).get("block_p")
            matrix = matrix.get("value") if isinstance(matrix, Mapping) else matrix
            if matrix:  # a block of one module has no pairs within: null, drawn as 0
                found[title] = np.array([[v or 0.0 for v in row] for row in matrix], float)
        return found


def write_gallery(
    out: Path,
    run: Path,
    config: RunConfig,
    stats: Mapping[str, Any],
    link: np.ndarray,
    readout_link: np.ndarray,
    seen: Probe | None,
    told: ProgressPrinter,
) -> None:
    """Draw all pictures into ``out/figures`` and write ``out/report.html``."""
    from nacgraph.viz import INK, save, to_svg
    from nacgraph.viz.report import Picture, write_report

    gallery = Gallery(run, config, stats, link, readout_link, seen)
    folder = out / "figures"
    folder.mkdir(exist_ok=True)
    pictures, notes = [], []
    todo = list(gallery.figures())
    for k, (name, title, caption, draw) in enumerate(todo):
        told("drawing", k / (len(todo) + 1))
        try:
            figure = draw()
        except ValueError as error:  # a circuit too small, a file damaged: said, not fatal
            notes.append(f"not drawn: {title} ({error})")
            continue
        save(figure, folder / f"{name}.png")
        text = to_svg(figure, f"fig-{name}", title)
        # Outside a page there is no colour of text to take.
        alone = text.replace("currentColor", INK)
        write_atomically(folder / f"{name}.svg", alone.encode())
        pictures.append(Picture(name, title, caption, text))
    try:
        gallery.animate(folder / "forming.gif")
    except ValueError as error:
        notes.append(f"not drawn: the animation ({error})")
    write_report(out / "report.html", report_data(gallery, pictures, notes))
    told("drawing", 1.0)


def report_data(gallery: Gallery, pictures: list[Any], notes: list[str]) -> ReportData:
    """All that the report shows."""
    from nacgraph.viz.report import ReportData

    config, stats, run = gallery.config, gallery.stats, gallery.run
    target = None if gallery.target is None else gallery.target.numpy()
    return ReportData(
        title=f"{config.model_name} on {config.task.name}"
        + ("" if config.prior.name == "none" else f" under {config.prior.name}"),
        facts=facts(config, stats),
        statistics=stats,
        probability=gallery.link,
        readout_probability=gallery.readout_link,
        positions=gallery.positions,
        readout_positions=gallery.readout_positions,
        order=gallery.order.tolist(),
        target=target,
        pictures=pictures,
        notes=[*stats["notes"], *stats["summary"].get("warnings", []), *notes],
        commands=[
            f"nacgraph analyze {run} --html",
            f"nacgraph prune {run} --curve",
            f"nacgraph prune {run} --keep 0.2",
            f"nacgraph export {run} --format onnx",
        ],
    )


def facts(config: RunConfig, stats: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The key lines at the top of the report."""
    summary, engine = stats["summary"], config.nac_config()
    found = [("Run", stats["run"])]
    if summary.get("test_accuracy") is not None:
        text = percent(summary["test_accuracy"])
        if summary.get("ci95"):
            low, high = map(percent, summary["ci95"])
            text += f" of {summary['test_n']} (95 %: {low} to {high})"
        found.append(("Test accuracy", text))
    elif summary.get("val_accuracy") is not None:
        found.append(("Validation accuracy", percent(summary["val_accuracy"])))
    for key, name in (
        ("majority_accuracy", "Majority class"),
        ("root_operator_accuracy", "Root operator"),
    ):
        if summary.get(key) is not None:
            found.append((name, percent(summary[key])))
    found.append(
        (
            "Modules",
            f"{engine.modules} processors, {engine.readouts} read-outs, "
            f"{engine.rounds} rounds, width {engine.width}",
        )
    )
    if summary.get("parameters"):
        found.append(("Parameters", f"{summary['parameters']:,}"))
    if pruned := summary.get("pruned"):
        found.append(("Pruned", f"from {pruned['modules_before']} modules by {pruned['order']}"))
    if summary.get("prior_loss") is not None:
        text = f"{summary['prior_loss']:.4f}"
        if summary.get("prior_floor") is not None:
            text += f" (reachable floor {summary['prior_floor']:.4f})"
        found.append((f"Distance to {config.prior.name}", text))
    if summary.get("data"):
        found.append(("Data", summary["data"]))
    return [*found, ("Weights", f"step {stats['checkpoint']['step']}, seed {config.seed}")]
