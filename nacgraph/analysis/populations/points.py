"""Circuits as points: lower triangles of P, their principal components, places in a plane."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nacgraph.viz.style import number

T = TypeVar("T", bound=np.generic)
Floats = NDArray[np.float64]

COMPONENTS = 64
EXACT = 400  # circuits up to which t-SNE's gradient is exact


def lower_triangles(links: NDArray[T]) -> NDArray[T]:
    """Every link of each circuit once.

    Shapes:
        links (m, U, U) · output (m, U (U - 1) / 2)
    """
    rows, columns = np.tril_indices(links.shape[1], k=-1)
    return links[:, rows, columns]


def principal_components(flat: NDArray[Any], count: int) -> Floats:
    """Coordinates of the rows along their principal components, the largest first.

    Args:
        flat: One row a circuit; the rows must not all be equal.
        count: Components, at most; there are never more than m - 1, nor more than d.

    Shapes:
        flat (m, d) · output (m, at most ``count``)
    """
    from sklearn.decomposition import PCA

    count = min(count, len(flat) - 1, flat.shape[1])
    found = PCA(count, svd_solver="full").fit_transform(flat.astype(np.float64))
    return np.asarray(found * signs(found))


def signs(components: Floats) -> Floats:
    """The sign of each column's third moment: a component has none of its own.

    Shapes:
        components (m, k) · output (k,), each 1 or -1
    """
    return np.where((components**3).sum(0) < 0, -1.0, 1.0)


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
    if ((flat - flat.mean(0)) ** 2).sum() <= 1e-18 * max(1, flat.size):
        raise ValueError("link_matrices: expected circuits that differ, got equal ones")
    points = principal_components(flat, COMPONENTS)
    if points.shape[1] < 2:  # two modules have a single link: t-SNE begins in a plane
        points = np.pad(points, ((0, 0), (0, 1)))
    # The exact gradient needs no threads, which would wait for other libraries' at every step.
    method = "exact" if m <= EXACT else "barnes_hut"
    solver = TSNE(2, perplexity=float(perplexity), init="pca", random_state=seed, method=method)
    return np.asarray(solver.fit_transform(points), dtype=np.float64)


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
