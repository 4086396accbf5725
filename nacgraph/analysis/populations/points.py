"""Circuits as points: lower triangles of P, and their principal components. Formulas only."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)
Floats = NDArray[np.float64]


def lower_triangles(links: NDArray[T]) -> NDArray[T]:
    """Every link of each circuit once.

    Shapes:
        links (m, U, U) · output (m, U (U - 1) / 2)
    """
    rows, columns = np.tril_indices(links.shape[1], k=-1)
    return links[:, rows, columns]


def principal_components(flat: NDArray[Any], count: int) -> Floats:
    """Coordinates of the rows along their principal components, the largest first.

    There are far fewer circuits than links, so they come from the small matrix of the rows' inner
    products. A component's sign is that of its third moment, since it has none of its own.

    Args:
        flat: One row a circuit.
        count: Components, at most; there are never more than m - 1.

    Shapes:
        flat (m, d) · output (m, at most ``count``)
    """
    centred = flat.astype(np.float64)
    centred -= centred.mean(0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    count = min(count, len(flat) - 1)
    vectors, values = vectors[:, ::-1][:, :count], values[::-1][:count].clip(0)
    signs = np.where((vectors**3).sum(0) < 0, -1.0, 1.0)
    return np.asarray(vectors * signs * np.sqrt(values))
