"""Many circuits as points: lower triangle of P → PCA → t-SNE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nacgraph.analysis.populations.triangles import lower_triangles, principal_components
from nacgraph.viz.style import (
    INK,
    community_colour,
    new_figure,
    node_map,
    number,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMPONENTS = 64
EXACT = 400  # circuits up to which t-SNE's gradient is exact


def embed_circuits(
    link_matrices: Any, perplexity: float = 5.0, seed: int = 0
) -> NDArray[np.float64]:
    """Coordinates of circuits in a plane: lower triangle of P → PCA (64) → t-SNE.

    All circuits must list their modules in the same order: frames of one run do, separate runs
    after matching. With fewer than 64 circuits all their components are kept.

    Args:
        link_matrices: Link probabilities of each circuit.
        perplexity: About how many neighbours each point minds, below the number of circuits.
        seed: Seed of t-SNE, which begins from the first two components.

    Shapes:
        link_matrices (m, U, U) · output (m, 2)

    Raises:
        ValueError: If there are fewer than three circuits or two modules, the perplexity is not
            below the number of circuits, or all circuits are equal.

    Source: Neural Attentive Circuits (NeurIPS 2022), figure 6; van der Maaten & Hinton (2008).
    """
    from sklearn.manifold import TSNE

    matrices = _matrices(link_matrices)
    m = len(matrices)
    if not 0 < perplexity < m:
        raise ValueError(
            f"perplexity: expected above 0 and below the number of circuits, {m}, got {perplexity}"
        )
    flat = lower_triangles(matrices)
    components = principal_components(flat, COMPONENTS)
    if (components[:, 0] ** 2).sum() <= 1e-18 * max(1, flat.size):
        raise ValueError("link_matrices: expected circuits that differ, got equal ones")
    # The exact gradient needs no threads, which would wait for other libraries' at every step.
    method = "exact" if m <= EXACT else "barnes_hut"
    solver = TSNE(2, perplexity=float(perplexity), init="pca", random_state=seed, method=method)
    return np.asarray(solver.fit_transform(components), dtype=np.float64)


@styled
def embedding_figure(
    link_matrices: Any,
    labels: Sequence[Any],
    perplexities: Sequence[float] = (5.0, 15.0),
    seed: int = 0,
    label_name: str = "step",
) -> Figure:
    """The paper's Figure 6, right: circuits as points, one panel for each perplexity.

    Args:
        link_matrices: See :func:`embed_circuits`.
        labels: What each circuit is. Numbers, as steps of a run, give a scale and a line through
            the points in order; words, as tasks or priors, give a colour each.
        perplexities: t-SNE can deceive: what holds at several of them may be believed.
        seed: Seed of t-SNE.
        label_name: What the labels are.

    Shapes:
        link_matrices (m, U, U) · labels (m,)

    Raises:
        ValueError: As :func:`embed_circuits`, or if there are not m labels or no perplexity.
    """
    matrices = _matrices(link_matrices)
    if len(labels) != len(matrices):
        raise ValueError(f"labels: expected {len(matrices)}, got {len(labels)}")
    if not perplexities:
        raise ValueError("perplexities: expected at least one, got none")
    points = [embed_circuits(matrices, perplexity, seed) for perplexity in perplexities]
    ordered = all(isinstance(label, (int, float, np.number)) for label in labels)
    figure = new_figure(3.7 * len(points) + 1.1, 3.7)
    panels = figure.subplots(1, len(points), squeeze=False)[0]
    for axes, places, perplexity in zip(panels, points, perplexities, strict=True):
        if ordered:
            dots = _path(axes, places, np.asarray(labels, dtype=float))
        else:
            _groups(axes, places, [str(label) for label in labels])
        axes.set(title=f"perplexity {perplexity:g}", xticks=[], yticks=[])
        axes.set(xlabel="t-SNE 1", ylabel="t-SNE 2")
        axes.margins(0.1)
    if ordered:
        scale = figure.colorbar(dots, ax=list(panels), label=label_name, shrink=0.8, aspect=30)
        scale.outline.set_visible(False)
    else:
        panels[-1].legend(title=label_name, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _matrices(link_matrices: Any) -> NDArray[np.float64]:
    try:
        matrices = np.stack([number(matrix) for matrix in link_matrices])
    except ValueError as error:
        raise ValueError(f"link_matrices: expected circuits of one size ({error})") from error
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2] or matrices.shape[1] < 2:
        raise ValueError(f"link_matrices: expected (m, U, U), U > 1, got shape {matrices.shape}")
    if len(matrices) < 3:
        raise ValueError(f"link_matrices: expected at least 3 circuits, got {len(matrices)}")
    if not np.isfinite(matrices).all():
        raise ValueError("link_matrices: expected finite numbers, got NaN or infinity")
    return matrices


def _path(axes: Axes, places: NDArray[np.float64], values: NDArray[np.float64]) -> Any:
    order = np.argsort(values, kind="stable")
    x, y = places[order].T
    axes.plot(x, y, color=INK, linewidth=0.8, alpha=0.4, zorder=1)
    return axes.scatter(
        x,
        y,
        c=values[order],
        cmap=node_map(),
        s=34,
        edgecolors=INK,
        linewidths=0.4,
        zorder=2,
    )


def _groups(axes: Axes, places: NDArray[np.float64], labels: list[str]) -> None:
    for k, name in enumerate(dict.fromkeys(labels)):
        mine = np.array([label == name for label in labels])
        colour = community_colour(k)
        axes.scatter(
            places[mine, 0],
            places[mine, 1],
            color=colour,
            s=34,
            edgecolors=INK,
            linewidths=0.4,
            label=name,
        )
