"""The circuit over training: frames read from a run folder, and as small multiples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nacgraph.graph.links import DEFAULT_BANDWIDTH
from nacgraph.utils.arrays import read_arrays
from nacgraph.utils.errors import CheckpointError
from nacgraph.viz.drawing import draw_circuit, linked_pairs
from nacgraph.viz.layout import force_layout
from nacgraph.viz.plots import heat_map
from nacgraph.viz.style import (
    count,
    label_array,
    new_figure,
    number,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Frame:
    """Signatures after a step of training.

    Shapes:
        processor_signatures (U, S) · readout_signatures (O, S)
    """

    step: int
    processor_signatures: NDArray[np.float64]
    readout_signatures: NDArray[np.float64]
    bandwidth: float = DEFAULT_BANDWIDTH

    def probability(self) -> NDArray[np.float64]:
        """P = exp(-(1 - cos)/ε) among processors, (U, U) with diagonal 1."""
        found = self._links(self.processor_signatures)
        found = (found + found.T) / 2
        np.fill_diagonal(found, 1.0)
        return found

    def readout_probability(self) -> NDArray[np.float64]:
        """Link probabilities R from read-outs to processors, (O, U)."""
        return self._links(self.readout_signatures)

    def _links(self, receivers: NDArray[np.float64]) -> NDArray[np.float64]:
        cosine = _directions(receivers) @ _directions(self.processor_signatures).T
        return np.exp(-(1 - cosine).clip(0, 2) / self.bandwidth)


def read_frames(run: Path | str, bandwidth: float) -> list[Frame]:
    """The frames of a run folder (``frames/step_*.npz``) by step. Nothing in it is run as code.

    Args:
        run: The run folder.
        bandwidth: The run's ε.

    Raises:
        ValueError: If there are no frames, or a file is damaged or no frame of this run.
    """
    folder = Path(run) / "frames"
    paths = sorted(folder.glob("step_*.npz")) if folder.is_dir() else []
    if not paths:
        raise ValueError(
            f"{run}: expected frames/step_*.npz, got none (runs write them at every validation, "
            "but older ones did not)"
        )
    frames = [_read_frame(path, bandwidth) for path in paths]
    wanted = frames[0].processor_signatures.shape
    for frame, path in zip(frames, paths, strict=True):
        if frame.processor_signatures.shape != wanted:
            raise ValueError(
                f"{path}: expected signatures {wanted} as in the first frame, "
                f"got {frame.processor_signatures.shape}"
            )
    return frames


def frame_distances(frames: Sequence[Frame], target: Any) -> tuple[list[float], NDArray[np.int64]]:
    """Matched distance of every frame to a prior's matrix, and the last frame's permutation.

    Shapes:
        target (U, U), an array or tensor · output a number for each frame, and (U,)
    """
    import torch

    from nacgraph.priors import match, matched_loss

    _some(frames)
    wanted = torch.from_numpy(number(target))
    distances: list[float] = []
    orders: list[Any] = [None]
    # From the last to the first: each match starts from its neighbour's.
    for frame in reversed(frames):
        link = torch.from_numpy(frame.probability())
        orders.append(match(link, wanted, start=orders[-1]))
        distances.append(float(matched_loss(link, wanted, orders[-1])))
    return distances[::-1], orders[1].numpy()


def chosen_frames(frames: Sequence[Frame], most: int) -> list[int]:
    """Indices of at most ``most`` frames, first and last among them, equal change of P apart.

    Frames at equal times would show a circuit that forms in the first steps only finished.
    """
    if len(frames) <= most:
        return list(range(len(frames)))
    change = [0.0]
    last = frames[0].probability()
    for frame in frames[1:]:
        now = frame.probability()
        change.append(float(np.sqrt(((now - last) ** 2).mean())))
        last = now
    # A little for time itself, so that a circuit at rest is shown at more than one moment.
    way = np.cumsum(np.array(change) + 0.2 * sum(change) / len(change))
    marks = np.linspace(way[0], way[-1], most)
    found: list[int] = []
    for k, mark in enumerate(marks):
        nearest = int(np.abs(way - mark).argmin())
        first = found[-1] + 1 if found else 0
        found.append(min(max(nearest, first), len(frames) - (most - k)))
    return found


@styled
def frames_figure(
    frames: Sequence[Frame],
    order: Any = None,
    labels: Any = None,
    positions: Any = None,
    distances: Sequence[float] | None = None,
    most: int = 7,
    steps: Sequence[int] | None = None,
) -> Figure:
    """The circuit over training: P as heat maps above, links with P > 0.5 below.

    All frames share the order, the places (the last frame's force layout) and the colours.

    Args:
        frames: As :func:`read_frames` gives them.
        order: Order of modules in the heat maps, as the last frame's match to the prior; by
            default by community, or as they are.
        labels: Community of each module; by default all have one colour.
        positions: Places of the modules.
        distances: Prior distance of every frame, shown in its title.
        most: Frames to show, at equal changes of P.
        steps: Steps to show instead.

    Raises:
        ValueError: If there is no frame, a step is not among them, or shapes do not agree.
    """
    _some(frames)
    if steps is None:
        picked = chosen_frames(frames, max(1, most))
    else:
        known = {frame.step: k for k, frame in enumerate(frames)}
        if unknown := [step for step in steps if step not in known]:
            raise ValueError(f"steps: expected some of {sorted(known)}, got {unknown[0]}")
        picked = [known[step] for step in steps]
    if distances is not None and len(distances) != len(frames):
        raise ValueError(f"distances: expected {len(frames)} numbers, got {len(distances)}")
    n = len(frames[0].processor_signatures)
    ids = None if labels is None else label_array("labels", labels, n)
    arranged = module_order(order, ids, n)
    places = force_layout(frames[-1].probability()) if positions is None else number(positions)
    if places.shape != (n, 2):
        raise ValueError(f"positions: expected ({n}, 2), got shape {places.shape}")
    figure = new_figure(2.05 * len(picked) + 0.8, 4.5)
    grid = figure.subplots(2, len(picked), squeeze=False)
    for (above, below), k in zip(grid.T, picked, strict=True):
        matrix = frames[k].probability()
        heat_map(above, matrix[np.ix_(arranged, arranged)], f"step {frames[k].step:,}", bar=False)
        above.set(xlabel="", xticks=[], yticks=[])
        if distances is not None:
            above.set_xlabel(f"prior distance {distances[k]:.3g}", fontsize=8)
        links = linked_pairs(matrix)
        draw_circuit(below, places, links, ids, None, n, size=0.55)
        below.set_title(count(len(links[0]), "link"), fontsize=9)
    scale = figure.colorbar(grid[0, 0].images[0], ax=list(grid[0]), shrink=0.8, aspect=18)
    scale.set_label("P")
    scale.outline.set_visible(False)
    return figure


def module_order(order: Any, labels: NDArray[np.int64] | None, n: int) -> NDArray[np.int64]:
    """The order given, checked, or by community, or as they are."""
    if order is None:
        return np.arange(n) if labels is None else np.argsort(labels, kind="stable")
    found = number(order).astype(np.int64)
    if found.shape != (n,) or not np.array_equal(np.sort(found), np.arange(n)):
        raise ValueError(f"order: expected a permutation of 0..{n - 1}, got {found.tolist()}")
    return found


def _some(frames: Sequence[Frame]) -> None:
    if not frames:
        raise ValueError("frames: expected at least one, got none")


def _read_frame(path: Path, bandwidth: float) -> Frame:
    step = re.fullmatch(r"step_(\d+)", path.stem)
    if step is None:
        raise ValueError(f"{path}: expected a name like step_00000250.npz")
    try:
        found = read_arrays(path)
        arrays = [
            found[key].astype(np.float64) for key in ("processor_signatures", "readout_signatures")
        ]
    except (OSError, KeyError, CheckpointError) as error:
        raise ValueError(f"{path}: expected a frame with signatures, got none ({error})") from error
    for array in arrays:
        if array.ndim != 2 or array.shape[1] != arrays[0].shape[1] or not np.isfinite(array).all():
            raise ValueError(f"{path}: expected finite signatures (n, S), got shape {array.shape}")
    return Frame(int(step[1]), arrays[0], arrays[1], bandwidth)


def _directions(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
