"""Images beside their renditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nacgraph.viz.style import new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def renditions_figure(rows: Mapping[str, Sequence[Any]], titles: Sequence[str]) -> Figure:
    """One row a rendition: an image, then its strengths.

    Args:
        rows: Images of each row, by its name.
        titles: What stands above each column.

    Shapes:
        rows[name][column] (H, W, 1) or (H, W, 3), uint8

    Raises:
        ValueError: If there is no row, or one has more images than there are titles.
    """
    if not rows:
        raise ValueError("rows: expected at least one, got none")
    columns = len(titles)
    if longer := [name for name, images in rows.items() if len(images) > columns]:
        raise ValueError(f"rows: expected at most {columns} images, got more for {longer[0]}")
    figure = new_figure(1.1 * (1 + columns), 1.05 * len(rows))
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for (name, images), row in zip(rows.items(), panels, strict=True):
        for axes, image in zip(row, images, strict=False):
            axes.imshow(np.broadcast_to(image, (*np.shape(image)[:2], 3)))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for axes, title in zip(panels[0], titles, strict=True):
        axes.set_title(title, loc="center", fontsize=9)
    return figure
