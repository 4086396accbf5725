"""Pictures of priors, circuits and runs. Each function returns a matplotlib Figure; none is shown.

They take arrays, paths and plain dicts, never a model. Importing this package is light: a name
loads its file when first used, and matplotlib comes with the first picture.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nacgraph.viz.animation import save_animation as save_animation
    from nacgraph.viz.degrees import degree_ccdf_figure as degree_ccdf_figure
    from nacgraph.viz.drawing import circuit_drawing as circuit_drawing
    from nacgraph.viz.dropping import dropping_figure as dropping_figure
    from nacgraph.viz.embedding import embedding_figure as embedding_figure
    from nacgraph.viz.fewshot import fewshot_figure as fewshot_figure
    from nacgraph.viz.frames import Frame as Frame
    from nacgraph.viz.frames import frame_distances as frame_distances
    from nacgraph.viz.frames import frames_figure as frames_figure
    from nacgraph.viz.frames import read_frames as read_frames
    from nacgraph.viz.layout import force_layout as force_layout
    from nacgraph.viz.layout import readout_layout as readout_layout
    from nacgraph.viz.lines import lines_figure as lines_figure
    from nacgraph.viz.modules import modules_figure as modules_figure
    from nacgraph.viz.output import save as save
    from nacgraph.viz.output import to_svg as to_svg
    from nacgraph.viz.plots import circuit_figure as circuit_figure
    from nacgraph.viz.plots import draw_graph as draw_graph
    from nacgraph.viz.plots import heat_map as heat_map
    from nacgraph.viz.plots import prior_figure as prior_figure
    from nacgraph.viz.plots import priors_figure as priors_figure
    from nacgraph.viz.populations import circuits_figure as circuits_figure
    from nacgraph.viz.populations import population_figure as population_figure
    from nacgraph.viz.renditions import renditions_figure as renditions_figure
    from nacgraph.viz.runs import curves_figure as curves_figure
    from nacgraph.viz.runs import read_metrics as read_metrics
    from nacgraph.viz.runs import training_figure as training_figure
    from nacgraph.viz.structure import block_figure as block_figure
    from nacgraph.viz.structure import spectral_figure as spectral_figure
    from nacgraph.viz.style import COMMUNITY_COLOURS as COMMUNITY_COLOURS
    from nacgraph.viz.style import INK as INK
    from nacgraph.viz.style import community_colours as community_colours

_HOME = {  # public name: the file that defines it
    "COMMUNITY_COLOURS": "style",
    "INK": "style",
    "Frame": "frames",
    "block_figure": "structure",
    "circuit_drawing": "drawing",
    "circuit_figure": "plots",
    "circuits_figure": "populations",
    "community_colours": "style",
    "curves_figure": "runs",
    "degree_ccdf_figure": "degrees",
    "draw_graph": "plots",
    "dropping_figure": "dropping",
    "embedding_figure": "embedding",
    "fewshot_figure": "fewshot",
    "force_layout": "layout",
    "frame_distances": "frames",
    "frames_figure": "frames",
    "heat_map": "plots",
    "lines_figure": "lines",
    "modules_figure": "modules",
    "population_figure": "populations",
    "prior_figure": "plots",
    "priors_figure": "plots",
    "read_frames": "frames",
    "read_metrics": "runs",
    "readout_layout": "layout",
    "renditions_figure": "renditions",
    "save": "output",
    "save_animation": "animation",
    "spectral_figure": "structure",
    "to_svg": "output",
    "training_figure": "runs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nacgraph.viz' has no attribute {name!r}")
    value = getattr(import_module(f"nacgraph.viz.{_HOME[name]}"), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
