"""The pictures of an analysis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nacgraph.training.build import build_target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nacgraph.analysis.probing import Probe
    from nacgraph.training.run import Run
    from nacgraph.viz import Frame

ENOUGH = 8  # frames from which a path through them says something


@dataclass(frozen=True)
class Drawing:
    """A picture that has not been drawn yet."""

    title: str
    caption: str
    draw: Callable[[], Figure]


class Gallery:
    """The pictures of one analysis; they share order, places and colours.

    Args:
        run: The run, whose folder holds curves and frames of its training.
        stats: The numbers of the analysis.
        link: Link probabilities P, (U, U).
        readout_link: Those from processors to read-outs, (O, U).
        probe: What the modules do.

    Attributes:
        labels: Community of each module; -1, drawn grey, for none.
        target: The prior's link probabilities, None without a prior.
    """

    def __init__(
        self,
        run: Run,
        stats: Mapping[str, Any],
        link: np.ndarray,
        readout_link: np.ndarray,
        probe: Probe | None,
    ) -> None:
        self.run, self.stats, self.probe = run, stats, probe
        self.link, self.readout_link = link, readout_link
        labels = stats["communities"]["labels"]
        self.labels = np.full(len(link), -1) if labels is None else np.asarray(labels)
        target = build_target(run.config)
        self.target = None if target is None else target.numpy()

    @cached_property
    def order(self) -> np.ndarray:
        """Modules in the order that fits the prior best, or by community, best linked first."""
        if self.target is None:
            return np.lexsort((-self.link.sum(1), self.labels))
        import torch

        from nacgraph.priors import match

        link, target = torch.from_numpy(self.link), torch.from_numpy(self.target)
        return match(link, target, kind=self.run.config.prior.loss).numpy()

    @cached_property
    def positions(self) -> np.ndarray:
        """Places of the processors, (U, 2)."""
        from nacgraph.viz import force_layout

        return force_layout(self.link)

    @cached_property
    def readout_positions(self) -> np.ndarray:
        """Places of the read-outs, (O, 2)."""
        from nacgraph.viz import readout_layout

        return readout_layout(self.positions, self.readout_link)

    @cached_property
    def frames(self) -> list[Frame]:
        """The circuit over training.

        Raises:
            ValueError: If there are no frames, or they are damaged.
        """
        from nacgraph.viz import read_frames

        return read_frames(self.run.path, self.run.circuit.circuit.kernel.bandwidth)

    @cached_property
    def distances(self) -> list[float] | None:
        """Distance of every frame to the prior."""
        from nacgraph.viz import frame_distances

        if self.target is None or self.run.config.prior.loss != "mse":
            return None
        return frame_distances(self.frames, self.target)[0]

    @cached_property
    def drawings(self) -> dict[str, Drawing]:
        """Every picture that there is something for, by name."""
        folder = self.run.path
        frames = list((folder / "frames").glob("step_*.npz"))
        spectrum: Any = (
            self.stats["views"]["probability"].get("spectral_embedding", {}).get("value")
        )
        blocks = self._blocks()
        every = [
            (
                "circuit",
                True,
                "The circuit",
                "Force layout with attraction inverse to signature distance, "
                "a line where P > 0.5, squares for read-outs; colours are communities.",
                self._circuit,
            ),
            (
                "prior",
                self.target is not None,
                "P beside its prior",
                "Target and learned link probabilities, modules in "
                "the order of their best match, and the links with P > 0.5.",
                self._prior,
            ),
            (
                "degrees",
                True,
                "Degrees",
                "Share of modules with at least this degree: expected under P, "
                "of P > 0.5, and of sampled graphs.",
                self._degrees,
            ),
            (
                "training",
                (folder / "metrics.csv").is_file(),
                "Training",
                "What training did to the circuit.",
                self._training,
            ),
            (
                "frames",
                (folder / "frames").is_dir(),
                "The circuit over training",
                "P in matched order above, links with "
                "P > 0.5 below; all steps share order, places and colours.",
                self._frames,
            ),
            (
                "embedding",
                len(frames) >= ENOUGH,
                "Its path",
                "Lower triangle of P at each frame → PCA → t-SNE, at two perplexities.",
                self._path,
            ),
            (
                "modules",
                self.probe is not None,
                "What modules do",
                "Codes against links, what is read, what is lost "
                "without a module, and the confidence of the read-outs.",
                self._modules,
            ),
            (
                "spectrum",
                bool(spectrum),
                "Spectral embedding",
                "Adjacency spectral embedding of P; colours are communities.",
                lambda: self._spectrum(spectrum),
            ),
            (
                "blocks",
                bool(blocks),
                "Block models",
                "Share of pairs linked between blocks (P > 0.5), and "
                "how many modules each block has.",
                lambda: self._block_models(blocks),
            ),
        ]
        return {
            name: Drawing(title, caption, draw)
            for name, wanted, title, caption, draw in every
            if wanted
        }

    def animate(self, path: Path) -> bool:
        """Write the circuit over training as a GIF; False if there are no frames."""
        from nacgraph.viz import save_animation

        if not (self.run.path / "frames").is_dir():
            return False
        save_animation(self.frames, path, self.labels, self.order, distances=self.distances)
        return True

    def _circuit(self) -> Figure:
        from nacgraph.viz import circuit_drawing

        return circuit_drawing(
            self.link,
            self.positions,
            "community",
            self.labels,
            readout_probability=self.readout_link,
        )

    def _prior(self) -> Figure:
        from nacgraph.viz import circuit_figure

        return circuit_figure("", self.link, self.target, self.order, difference=True)

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
        return degree_ccdf_figure(views, None if self.target is None else self.target.sum(1) - 1)

    def _training(self) -> Figure:
        from nacgraph.viz import training_figure

        summary = self.stats["summary"]
        names = {"majority_accuracy": "majority", "root_operator_accuracy": "root operator"}
        known = {shown: summary[k] for k, shown in names.items() if summary.get(k) is not None}
        metrics = self.run.path / "metrics.csv"
        return training_figure(metrics, len(self.link), summary.get("prior_floor"), known)

    def _frames(self) -> Figure:
        from nacgraph.viz import frames_figure

        return frames_figure(self.frames, self.order, self.labels, self.positions, self.distances)

    def _path(self) -> Figure:
        from nacgraph.analysis.populations.points import embed_circuits
        from nacgraph.viz import embedding_figure

        links = np.stack([frame.probability() for frame in self.frames])
        most = max(2.0, (len(self.frames) - 1) / 3)
        places = {perplexity: embed_circuits(links, perplexity) for perplexity in (most / 2, most)}
        return embedding_figure(places, [frame.step for frame in self.frames])

    def _modules(self) -> Figure:
        from nacgraph.viz import modules_figure

        if self.probe is None:
            raise ValueError("probe: expected what modules do, got None")
        shown: dict[str, Any] = {
            "P": self.link,
            "code_similarity": self.probe.code_similarity,
            "modules": self.stats["modules"],
            "readouts": self.stats["readouts"],
        }
        if self.probe.token_attention is not None:
            shown["token_attention"] = self.probe.token_attention
            shown["token_names"] = self.probe.token_names
        return modules_figure(shown)

    def _spectrum(self, places: list[list[float]]) -> Figure:
        from nacgraph.viz import spectral_figure

        return spectral_figure(np.array(places, float), self.labels)

    def _block_models(self, blocks: Mapping[str, np.ndarray]) -> Figure:
        from nacgraph.viz import block_figure

        return block_figure(blocks)

    def _blocks(self) -> dict[str, np.ndarray]:
        found = {}
        for name, title in (("sbm", "SBM"), ("dcsbm", "DCSBM")):
            matrix = self.stats["block_models"].get(name, {}).get("block_p")
            matrix = matrix.get("value") if isinstance(matrix, Mapping) else matrix
            if matrix:  # a block of one module has no pairs within: null, drawn as 0
                found[title] = np.array([[v or 0.0 for v in row] for row in matrix], float)
        return found
