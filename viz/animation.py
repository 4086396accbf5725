"""The circuit over training as an animated GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nacgraph.utils.files import write_atomically
from nacgraph.viz.drawing import draw_circuit, linked_pairs
from nacgraph.viz.frames import Frame, module_order
from nacgraph.viz.layout import force_layout
from nacgraph.viz.plots import heat_map
from nacgraph.viz.style import (
    COLOURS,
    COMMUNITY_COLOURS,
    INK,
    NEUTRAL,
    count,
    label_array,
    number,
    styled,
)

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 200  # pictures in one file


@styled
def save_animation(
    frames: Sequence[Frame],
    path: Path | str,
    labels: Any = None,
    order: Any = None,
    positions: Any = None,
    distances: Sequence[float] | None = None,
    between: int = 4,
    rate: float = 12.0,
    hold: float = 2.0,
    dpi: float = 80.0,
) -> None:
    """Write the circuit over training as a GIF: links with P > 0.5 left, P as a heat map right.

    Between two frames, signatures and places are interpolated; what was saved is at the frames.

    Args:
        frames: As :func:`nacgraph.viz.read_frames` gives them.
        path: The file, ``.gif``.
        labels: Community of each module, for the colours.
        order: Order of modules in the heat map; by default by community, or as they are.
        positions: Places of the modules, which then stay. By default each frame has its force
            layout, begun from that of the frame after it, so that modules move smoothly.
        distances: Prior distance of every frame, for the title.
        between: Pictures between two frames.
        rate: Pictures a second.
        hold: Seconds that the last one stays.
        dpi: Pixels per inch of the 9 × 4.8 inches.

    Raises:
        ValueError: If there is no frame, the suffix is not .gif, or shapes do not agree.
    """
    path = Path(path)
    if path.suffix != ".gif":
        raise ValueError(f"path: expected a name that ends in .gif, got {path.name!r}")
    if not frames:
        raise ValueError("frames: expected at least one, got none")
    if distances is not None and len(distances) != len(frames):
        raise ValueError(f"distances: expected {len(frames)} numbers, got {len(distances)}")
    n = len(frames[0].processor_signatures)
    ids = None if labels is None else label_array("labels", labels, n)
    arranged = module_order(order, ids, n)
    paths = _paths(frames, positions)
    between = max(0, min(between, (MOST - 1) // max(1, len(frames) - 1) - 1))
    pictures = [
        _picture(frame, places, ids, arranged, distance, dpi)
        for frame, places, distance in _moments(frames, paths, distances, between)
    ]
    write_atomically(path, _gif(pictures, rate, hold))


def _paths(frames: Sequence[Frame], positions: Any) -> list[NDArray[np.float64]]:
    """Places of the modules at every frame."""
    if positions is not None:
        places = number(positions)
        if places.shape != (len(frames[0].processor_signatures), 2):
            raise ValueError(
                f"positions: expected ({len(frames[0].processor_signatures)}, 2), "
                f"got shape {places.shape}"
            )
        return [places] * len(frames)
    found = [force_layout(frames[-1].probability())]
    for frame in reversed(frames[:-1]):
        found.append(force_layout(frame.probability(), start=found[-1]))
    return found[::-1]


def _moments(
    frames: Sequence[Frame],
    paths: Sequence[NDArray[np.float64]],
    distances: Sequence[float] | None,
    between: int,
) -> list[tuple[Frame, NDArray[np.float64], float | None]]:
    """Every picture's frame, places and prior distance (that of the frame last passed)."""
    told: Sequence[float | None] = distances if distances is not None else [None] * len(frames)
    found = []
    for k in range(len(frames) - 1):
        here, there = frames[k], frames[k + 1]
        for part in np.arange(between + 1) / (between + 1):
            mixed = (1 - part) * here.processor_signatures + part * there.processor_signatures
            step = round((1 - part) * here.step + part * there.step)
            places = (1 - part) * paths[k] + part * paths[k + 1]
            found.append((replace(here, step=step, processor_signatures=mixed), places, told[k]))
    return [*found, (frames[-1], paths[-1], told[-1])]


def _picture(
    frame: Frame,
    places: NDArray[np.float64],
    labels: NDArray[np.int64] | None,
    order: NDArray[np.int64],
    distance: float | None,
    dpi: float,
) -> Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL.Image import fromarray

    # Fixed places on the canvas: a layout that depends on the text would tremble.
    figure = Figure(figsize=(9, 4.8), dpi=dpi, facecolor="white")
    left = figure.add_axes((0.01, 0.03, 0.47, 0.86))
    right = figure.add_axes((0.52, 0.03, 0.46, 0.86))
    matrix = frame.probability()
    links = linked_pairs(matrix)
    draw_circuit(left, places, links, labels, None, len(matrix))
    left.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12))
    left.set_aspect("equal", adjustable="box")
    heat_map(right, matrix[np.ix_(order, order)], "link probability", bar=False)
    right.set(xlabel="", xticks=[], yticks=[])
    told = "" if distance is None else f"    distance to the prior {distance:.4f}"
    left.set_title(f"step {frame.step:,}    {count(len(links[0]), 'link')}")
    right.set_title(f"P{told}")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _gif(pictures: Sequence[Image], rate: float, hold: float) -> bytes:
    from PIL.Image import Dither
    from PIL.Image import new as blank

    # One palette for all pictures, so that still colours do not flicker.
    palette = blank("P", (1, 1))
    palette.putpalette(_palette())
    flat = [picture.quantize(palette=palette, dither=Dither.NONE) for picture in pictures]
    stay = [round(1000 / rate)] * (len(flat) - 1) + [round(1000 * hold)]
    data = io.BytesIO()
    flat[0].save(
        data,
        format="GIF",
        save_all=True,
        append_images=flat[1:],
        duration=stay,
        loop=0,
    )
    return data.getvalue()


def _palette() -> list[int]:
    """The 256 colours that pictures of circuits are made of, pure white first."""
    import matplotlib
    from matplotlib.colors import to_rgb

    white, ink = np.ones(3), np.array(to_rgb(INK))
    ramps = [(white, ink, 36), (white, np.array(to_rgb(NEUTRAL)), 6)]
    for colour in COMMUNITY_COLOURS:
        ramps += [(np.array(to_rgb(colour)), white, 6), (np.array(to_rgb(colour)), ink, 4)]
    mixed = [
        (1 - part) * first + part * last
        for first, last, many in ramps
        for part in np.arange(many) / many
    ]
    heat = matplotlib.colormaps[COLOURS](np.linspace(0, 1, 256 - len(mixed)))[:, :3]
    return np.rint(255 * np.concatenate([mixed, heat])).astype(int).ravel().tolist()
