"""What modules do: codes against links, what they read, what is lost without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nacgraph.viz.style import (
    COLOURS,
    COMMUNITY_COLOURS,
    INK,
    NEUTRAL,
    column,
    community_colours,
    new_figure,
    number,
    square,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLOUD = 3000  # pairs from which single dots become bins
KINDS = 24  # columns of the attention map, those that modules differ in most


@styled
def modules_figure(stats: Mapping[str, Any], title: str | None = None) -> Figure:
    """What modules do, in up to four panels; what is not in ``stats`` is left out.

    Args:
        stats: Some of

            - ``code_similarity`` and ``P``: their pairs i < j against each other,
            - ``token_attention`` and ``token_names``: read-in attention by kind of token, modules
              in order of community and of what they read most,
            - ``modules``: a table of dicts with ``degree``, ``community`` and ``accuracy_lost``
              (or ``loss_gained``), drawn against each other,
            - ``readouts``: a table of dicts with ``confidence``.
        title: Line above the panels.

    Shapes:
        code_similarity (U, U) · P (U, U) · token_attention (U, V) · token_names (V,)

    Raises:
        ValueError: If nothing can be drawn of this, or shapes do not agree.
    """
    modules = list(stats.get("modules") or [])
    lost, word = _harm(modules)
    draw: list[tuple[float, Any]] = []
    if stats.get("code_similarity") is not None and stats.get("P") is not None:
        link = square("P", stats["P"])
        similar = square("code_similarity", stats["code_similarity"], len(link))
        if len(link) > 1:
            draw.append((1.0, lambda axes: _codes(axes, similar, link)))
    if stats.get("token_attention") is not None:
        attention, names = _attention(stats)
        draw.append((1.5, lambda axes: _reading(axes, attention, names, modules)))
    if np.isfinite(lost).any():
        draw.append((1.0, lambda axes: _loss(axes, modules, lost, word)))
    confidence = column(list(stats.get("readouts") or []), "confidence")
    if np.isfinite(confidence).any():
        draw.append((0.9, lambda axes: _confidences(axes, confidence)))
    if not draw:
        raise ValueError(
            "stats: expected code_similarity with P, token_attention, modules with accuracy_lost, "
            "or readouts with confidence, got none of them"
        )
    widths = [width for width, _ in draw]
    figure = new_figure(4.0 * sum(widths), 3.9, title)
    panels = figure.subplots(1, len(draw), width_ratios=widths, squeeze=False)[0]
    for axes, (_, fill) in zip(panels, draw, strict=True):
        fill(axes)
    return figure


def correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """Spearman's rank correlation in words, which do not say 0 where there is none."""
    from scipy.stats import rankdata

    seen = np.isfinite(x) & np.isfinite(y)
    first, second = rankdata(x[seen]), rankdata(y[seen])
    if seen.sum() < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return "rank correlation undefined"
    found = f"{np.corrcoef(first, second)[0, 1]:.2f}"
    return f"rank correlation {found.replace('-', '−')}"


def _codes(axes: Axes, similar: NDArray[np.float64], link: NDArray[np.float64]) -> None:
    pairs = np.triu_indices(len(link), 1)
    x, y = link[pairs], similar[pairs]
    if len(x) > CLOUD:
        bins = axes.hexbin(x, y, gridsize=32, bins="log", cmap=COLOURS, mincnt=1, linewidths=0.2)
        scale = axes.figure.colorbar(bins, ax=axes, label="pairs", shrink=0.7)
        scale.outline.set_visible(False)
    else:
        axes.scatter(x, y, s=9, color=COMMUNITY_COLOURS[0], alpha=0.5, linewidths=0)
    axes.set(xlabel="link probability", ylabel="similarity of codes (cosine)", xlim=(-0.03, 1.03))
    axes.set_title(f"codes of pairs: {correlation(x, y)}", fontsize=10)


def _attention(stats: Mapping[str, Any]) -> tuple[NDArray[np.float64], list[str]]:
    attention = number(stats["token_attention"])
    if attention.ndim != 2 or not attention.size:
        raise ValueError(f"token_attention: expected (U, V), got shape {attention.shape}")
    given = stats.get("token_names")
    names = [str(name) for name in (range(attention.shape[1]) if given is None else given)]
    if len(names) != attention.shape[1]:
        raise ValueError(f"token_names: expected {attention.shape[1]}, got {len(names)}")
    keep = np.arange(len(names))
    if len(names) > KINDS:
        keep = np.sort(np.argsort(-np.nan_to_num(attention).std(0), kind="stable")[:KINDS])
    return attention[:, keep], [names[k] for k in keep]


def _reading(
    axes: Axes,
    attention: NDArray[np.float64],
    names: list[str],
    modules: Sequence[Mapping[str, Any]],
) -> None:
    n = len(attention)
    most = np.nan_to_num(attention).argmax(1)
    labels = column(modules, "community") if len(modules) == n else np.full(n, np.nan)
    ids = np.nan_to_num(labels, nan=-1.0).astype(np.int64)
    order = np.lexsort((most, ids))
    image = axes.imshow(
        attention[order], cmap=COLOURS, vmin=0, aspect="auto", interpolation="nearest"
    )
    scale = axes.figure.colorbar(image, ax=axes, label="share of attention", shrink=0.85)
    scale.outline.set_visible(False)
    axes.set_xticks(
        range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8
    )
    axes.set(yticks=[], ylabel="module, by community" if (ids >= 0).any() else "module")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if (ids >= 0).any():
        # A strip beside the rows in the colours of their communities.
        strip = axes.inset_axes((-0.045, 0, 0.03, 1))
        from matplotlib.colors import to_rgb

        rows = np.array([to_rgb(colour) for colour in community_colours(ids[order])])
        strip.imshow(rows[:, None, :], aspect="auto", interpolation="nearest")
        strip.set(xticks=[], yticks=[])
        strip.spines[:].set_visible(False)
        axes.yaxis.labelpad = 22
    axes.set_title("what modules read", fontsize=10)


def _harm(modules: Sequence[Mapping[str, Any]]) -> tuple[NDArray[np.float64], str]:
    lost, gained = 100 * column(modules, "accuracy_lost"), column(modules, "loss_gained")
    # No answer changed: the loss, which is finer, may still tell modules apart.
    if np.nan_to_num(lost).any() or not np.isfinite(gained).any():
        return lost, "accuracy lost without it (points)"
    return gained, "loss gained without it"


def _loss(
    axes: Axes, modules: Sequence[Mapping[str, Any]], lost: NDArray[np.float64], word: str
) -> None:
    degree = column(modules, "degree")
    ids = np.nan_to_num(column(modules, "community"), nan=-1.0).astype(np.int64)
    axes.axhline(0, color=INK, linewidth=0.8, alpha=0.4, zorder=1)
    axes.scatter(
        degree, lost, c=community_colours(ids), s=28, edgecolors=INK, linewidths=0.4, zorder=2
    )
    axes.set(xlabel="expected degree", ylabel=word)
    axes.set_title(f"modules removed: {correlation(degree, lost)}", fontsize=10)


def _confidences(axes: Axes, confidence: NDArray[np.float64]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.bar(np.arange(len(confidence)), confidence, color=NEUTRAL, width=0.7)
    axes.set(xlabel="read-out", ylabel="share of the answer")
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
    axes.set_title("confidence of read-outs", fontsize=10)
