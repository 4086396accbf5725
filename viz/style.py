"""One look for all pictures: ink, colours, sizes, and what every figure starts from.

Grounds are transparent and all lines and letters are :data:`INK`, sometimes faint, so that a
picture stands on a light and on a dark page: ``to_svg`` turns the ink into the page's own colour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

INK = "#333333"
"""Colour of letters, axes and links."""

NEUTRAL = "#8c8c8c"
"""What belongs to no community (label -1)."""

COLOURS = "viridis"
"""Colour map of heat maps, which cover their ground."""

COMMUNITY_COLOURS = (
    *("#3c87e1", "#f0a500", "#a52d00", "#00c3b4", "#783ca5"),
    *("#87870f", "#00695a", "#c35aa5", "#b4a5ff", "#ff7878"),
)
"""Colour of community 0, 1, …; beyond ten they begin again.

Found by a search for the largest least distance (OKLab) in normal, deuteranopic, protanopic and
tritanopic vision (0.09 apart at least; Okabe and Ito's palette: 0.08) at a contrast of at least
2 : 1 on white and on a dark ground (#121212).
"""

STYLE: Any = {  # a dict; matplotlib types the names of its settings from 3.11 on only
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.facecolor": "none",
    "figure.titlesize": 12,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture on every machine
    "font.size": 10,
    "grid.alpha": 0.2,
    "grid.color": INK,
    "grid.linewidth": 0.8,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "patch.edgecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": 9,
    "ytick.color": INK,
    "ytick.labelsize": 9,
}

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """A drawing function that runs under :data:`STYLE` and leaves matplotlib's settings alone."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return inside


def new_figure(width: float, height: float, title: str | None = None) -> Figure:
    """An empty figure of this size in inches, without pyplot: no window, no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=120)
    if title:
        figure.suptitle(title, color=INK)
    return figure


def node_map() -> Colormap:
    """The colour map of single dots: viridis without its ends, which vanish on some ground."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    whole = matplotlib.colormaps[COLOURS]
    return ListedColormap(whole(np.linspace(0.2, 0.88, 256)), name="viridis_middle")


def community_colour(label: int) -> str:
    """The colour of one community; -1 is none."""
    return NEUTRAL if label < 0 else COMMUNITY_COLOURS[label % len(COMMUNITY_COLOURS)]


def community_colours(labels: ArrayLike) -> list[str]:
    """The colour of each module from its community, the same in every picture."""
    return [community_colour(int(label)) for label in np.asarray(labels)]


def number(matrix: Any) -> NDArray[np.float64]:
    """An array, or a tensor of any device, as float64."""
    if hasattr(matrix, "detach"):
        matrix = matrix.detach().cpu().numpy()
    return np.asarray(matrix, dtype=np.float64)


def square(name: str, matrix: Any, size: int | None = None) -> NDArray[np.float64]:
    """A finite (n, n) matrix with n of at least 1 (and equal to ``size``).

    Raises:
        ValueError: If it is anything else.
    """
    array = number(matrix)
    wanted = "(n, n)" if size is None else f"({size}, {size})"
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not len(array):
        raise ValueError(f"{name}: expected a {wanted} matrix, got shape {array.shape}")
    if size is not None and len(array) != size:
        raise ValueError(f"{name}: expected a {wanted} matrix, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return array


def column(rows: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    """One column of a table of dicts; what is missing or None is NaN."""
    cells = (row.get(key) for row in rows)
    return np.array([np.nan if cell is None else float(cell) for cell in cells], dtype=np.float64)


def label_array(name: str, labels: Iterable[Any] | ArrayLike, n: int) -> NDArray[np.int64]:
    """Community labels (n,) as whole numbers.

    Raises:
        ValueError: If there are not ``n``, or they are not whole numbers.
    """
    array = np.asarray(labels)
    if array.shape != (n,) or not np.equal(np.mod(array, 1), 0).all():
        raise ValueError(f"{name}: expected {n} whole numbers, got shape {array.shape}")
    return array.astype(np.int64)


def count(n: int, noun: str) -> str:
    """``1 module``, ``2 modules``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def bare(axes: Axes) -> None:
    """No frame and no ticks, but the same scale both ways."""
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")  # so panels in a row keep one size
    axes.spines[:].set_visible(False)
