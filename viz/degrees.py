"""How degrees are distributed: the share of modules with at least k links."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nacgraph.viz.style import COMMUNITY_COLOURS, INK, count, new_figure, number, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VIEWS = {
    "probability": "P (expected degree)",
    "threshold": "P > 0.5",
    "sampled": "sampled graphs",
}
HEAVY = 8.0  # largest over middle degree from which the tail is worth a log-log scale


@styled
def degree_ccdf_figure(
    views: Mapping[str, Any], prior: Any = None, scale: str = "auto", title: str | None = None
) -> Figure:
    """Share of modules with at least a given degree, for each way to look at P.

    Args:
        views: Degrees of the modules by view: ``probability``, ``threshold``, ``sampled``, or any
            other name. Several graphs, as samples are, give the mean share and a band from the
            lowest to the highest.
        prior: Expected degrees that the prior asks for, if there is one.
        scale: ``linear``, ``log`` (both axes; degree 0 is then not shown but named), or ``auto``:
            log if some degree is eight times the median.
        title: Line above.

    Shapes:
        views[name] (U,) or (graphs, U) · prior (U,)

    Raises:
        ValueError: If there is no view, degrees are negative or not finite, or the scale is
            unknown.
    """
    if scale not in ("auto", "linear", "log"):
        raise ValueError(f"scale: expected 'auto', 'linear' or 'log', got {scale!r}")
    if not views:
        raise ValueError("views: expected degrees of at least one view, got none")
    degrees = {name: _degrees(f"views[{name!r}]", values) for name, values in views.items()}
    wanted = None if prior is None else _degrees("prior", prior)
    if scale == "auto":
        heavy = [d.max() > HEAVY * max(float(np.median(d)), 0.5) for d in degrees.values()]
        scale = "log" if any(heavy) else "linear"
    figure = new_figure(5.6, 4.0, title)
    axes = figure.add_subplot()
    everything = [*degrees.values(), *([] if wanted is None else [wanted])]
    positive = np.concatenate([values[values > 0] for values in everything])
    left = 0.0 if scale == "linear" else float(positive.min(initial=1.0))
    remarks = []
    for k, (name, values) in enumerate(degrees.items()):
        at, mean, low, high = _line(values, left)
        colour = COMMUNITY_COLOURS[k % len(COMMUNITY_COLOURS)]
        label = VIEWS.get(name, name.replace("_", " "))
        if scale == "log" and (values == 0).any():
            none = (values == 0).sum(1).mean()
            remarks.append(f"{label}: {none:.3g} of {values.shape[1]} without link")
        if len(values) > 1:
            label += f" (mean of {len(values)})"
            axes.fill_between(at, low, high, step="pre", color=colour, alpha=0.2, linewidth=0)
        axes.step(at, mean, where="pre", color=colour, label=label)
    if wanted is not None:
        at, mean, _, _ = _line(wanted, left)
        axes.step(
            at,
            mean,
            where="pre",
            color=INK,
            linestyle="--",
            linewidth=1.2,
            label="prior (expected degree)",
        )
    n = next(iter(degrees.values())).shape[1]
    axes.set(xlabel="degree k", ylabel=f"share of {count(n, 'module')} with degree ≥ k")
    if scale == "log":
        axes.set(xscale="log", yscale="log", ylim=(0.7 / n, 1.3))
    else:
        axes.set_ylim(0, 1.03)
        axes.set_xlim(left=0)
    if remarks:
        axes.set_title("\n".join(remarks), fontsize=8)
    axes.legend()
    return figure


def ccdf(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Degrees k in order, and the share of modules with at least k: mean, lowest, highest graph.

    Shapes:
        values (graphs, U) · output four times (K,)
    """
    at = np.unique(values)
    counts = [len(row) - np.searchsorted(np.sort(row), at, side="left") for row in values]
    share = np.array(counts) / values.shape[1]
    return at, share.mean(0), share.min(0), share.max(0)


def _line(values: NDArray[np.float64], left: float) -> tuple[NDArray[np.float64], ...]:
    """The corners of the stairs from ``left`` on; on a linear axis they end at zero."""
    at, *shares = ccdf(values)
    shown = at > 0 if left > 0 else at >= 0
    at, shares = at[shown], [share[shown] for share in shares]
    if not len(at):
        return at, *shares
    at = np.concatenate([[min(left, at[0])], at, at[-1:]])
    end = [np.nan] if left > 0 else [0.0]
    return at, *(np.concatenate([share[:1], share, end]) for share in shares)


def _degrees(name: str, values: Any) -> NDArray[np.float64]:
    array = np.atleast_2d(number(values))
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name}: expected degrees (U,) or (graphs, U), got shape {array.shape}")
    if not (np.isfinite(array).all() and (array >= 0).all()):
        raise ValueError(f"{name}: expected finite degrees of at least 0, got {array.min()}")
    return array
