"""Where modules lie in a drawing: forces from signature distances, and read-outs beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacgraph.viz.style import number, square

NEAREST = 0.1  # distances d/ε below this attract no more: twins would outweigh everything
FARTHEST = 14.0  # d/ε of pairs that never link; their springs still hold the drawing together
SOFT = 1e-9  # squared distance that keeps modules in one place from an infinite push


def force_layout(
    probability: Any, seed: int = 0, start: Any = None, iterations: int = 200
) -> NDArray[np.float64]:
    r"""Positions of modules by a force layout whose springs follow signature distances.

    A pair attracts in inverse proportion to its distance :math:`d = -\varepsilon \log P` (SPEC
    7), :math:`w = 1 / \max(d/\varepsilon, 0.1)` scaled to a mean of one, and all pairs push each
    other off. The positions are a minimum of the energy of these forces,

    .. math:: E = \sum_{i<j} \tfrac12 w_{ij} |x_i - x_j|^2 - \log |x_i - x_j|

    found by L-BFGS from the leading eigenvectors of the springs. The work is done in an order
    that only depends on P: relabelled modules keep their places, unless two have equal degrees.

    Args:
        probability: Link probabilities P, symmetric; the diagonal is not looked at.
        seed: Tells twins apart.
        start: Positions to begin from, (n, 2), as of the frame before; the drawing is then
            neither turned nor mirrored.
        iterations: Steps of L-BFGS, at most.

    Shapes:
        probability (n, n) · output (n, 2), centred, within [-1, 1]

    Raises:
        ValueError: If P is not square, finite and within [0, 1], or ``start`` does not fit.

    Source: the energy is that of Noack (2007) with attraction 1 and repulsion -1; springs as in
        Neural Attentive Circuits, figure 6.
    """
    from scipy.optimize import minimize

    matrix = probabilities("probability", square("probability", probability))
    n = len(matrix)
    if n == 1:
        return np.zeros((1, 2))
    matrix = (matrix + matrix.T) / 2
    order = _canonical(matrix)
    springs = _springs(matrix[np.ix_(order, order)])
    if start is None:
        begin = _spectral(springs, seed)
    else:
        begin = _started(start, n)[order]

    def energy(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        return _energy(flat.reshape(n, 2), springs)

    # Divided by the number of pairs, so that the tolerances mean the same at every size.
    begin = _best_scale(begin, springs)
    limits = {"maxiter": iterations, "maxcor": 10, "ftol": 1e-8, "gtol": 1e-6}
    solved = minimize(energy, begin.ravel(), jac=True, method="L-BFGS-B", options=limits)
    places = solved.x.reshape(n, 2)
    places = places - places.mean(0)
    if start is None:
        places = _upright(places)
    places -= (places.max(0) + places.min(0)) / 2
    places /= max(float(np.abs(places).max()), 1e-12)
    found = np.empty_like(places)
    found[order] = places
    return found


def readout_layout(
    positions: Any, readout_probability: Any, gap: float = 0.12
) -> NDArray[np.float64]:
    """Positions of read-outs: near the processors that they listen to, beside and not on them.

    Each begins at the mean of the processors weighted by the squared link probability, and is
    moved until it is ``gap`` away from all modules, as far as there is room.

    Args:
        positions: Positions of the processors, as :func:`force_layout` gives them.
        readout_probability: Link probabilities R from read-outs to processors.
        gap: Least distance, in the units of ``positions``.

    Shapes:
        positions (U, 2) · readout_probability (O, U) · output (O, 2)

    Raises:
        ValueError: If the shapes do not agree, or R is not within [0, 1].
    """
    places = number(positions)
    heard = probabilities("readout_probability", number(readout_probability))
    if places.ndim != 2 or places.shape[1] != 2:
        raise ValueError(f"positions: expected (U, 2), got shape {places.shape}")
    if heard.ndim != 2 or heard.shape[1] != len(places):
        raise ValueError(
            f"readout_probability: expected (O, {len(places)}), got shape {heard.shape}"
        )
    weight = heard**2 + 1e-12
    found = (weight @ places) / weight.sum(1, keepdims=True)
    # Read-outs with equal links start in one place: on a small circle they separate evenly.
    turn = 2 * np.pi * np.arange(len(found)) / max(1, len(found))
    found = found + 0.1 * gap * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    gap = min(gap, 1.2 / max(1, len(places)) ** 0.5)  # no more room among many modules
    for _ in range(60):
        others = np.concatenate([places, found])
        apart = found[:, None] - others[None]
        far = np.sqrt((apart**2).sum(-1))
        far[np.arange(len(found)), len(places) + np.arange(len(found))] = np.inf
        push = np.clip(gap - far, 0, None) / np.maximum(far, 1e-6)
        if not push.any():
            break
        found = found + 0.4 * (push[..., None] * apart).sum(1).clip(-gap, gap)
    return found


def probabilities(name: str, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix, clipped of rounding errors.

    Raises:
        ValueError: If an entry is not within [0, 1].
    """
    if matrix.size and not (matrix.min() >= -1e-6 and matrix.max() <= 1 + 1e-6):
        raise ValueError(
            f"{name}: expected probabilities in [0, 1], got {matrix.min():.4g} to "
            f"{matrix.max():.4g}"
        )
    return matrix.clip(0.0, 1.0)


def _springs(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        distance = np.clip(-np.log(matrix), NEAREST, FARTHEST)
    springs = 1 / distance
    np.fill_diagonal(springs, 0.0)
    n = len(springs)
    return springs * (n * (n - 1) / springs.sum())


def _canonical(matrix: NDArray[np.float64]) -> NDArray[np.int64]:
    """An order of the modules that follows them when they are relabelled: by degree.

    Sums run over sorted rows, so that they do not even round in another way.
    """
    rows = np.sort(matrix, axis=1)
    return np.lexsort(((rows**2).sum(1), rows.sum(1)))


def _spectral(springs: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """The two directions along which linked modules differ least, begun at unit spread."""
    n = len(springs)
    noise = np.random.default_rng(seed).normal(size=(n, 2))
    if n == 2:
        return noise
    root = springs.sum(1) ** 0.5
    _, vectors = np.linalg.eigh(springs / np.outer(root, root))
    # The last eigenvector is the trivial one. Equal values leave a plane free to turn, whose
    # turn is LAPACK's choice; it is the same for the same matrix.
    places = vectors[:, [-2, -3]] * np.sign((vectors[:, [-2, -3]] ** 3).sum(0) + 1e-15)
    places = places / np.maximum(places.std(0), 1e-9)
    return 0.5 * places + 0.05 * noise


def _started(start: Any, n: int) -> NDArray[np.float64]:
    places = number(start)
    if places.shape != (n, 2) or not np.isfinite(places).all():
        raise ValueError(f"start: expected finite positions ({n}, 2), got shape {places.shape}")
    return places


def _best_scale(places: NDArray[np.float64], springs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same drawing at its size of least energy, where the sum of w |x|² is the pairs'."""
    n = len(places)
    squared = ((places[:, None] - places[None]) ** 2).sum(-1)
    return places * (n * (n - 1) / max(float(np.vdot(springs, squared)), 1e-12)) ** 0.5


def _energy(
    places: NDArray[np.float64], springs: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Energy and its gradient, per pair; O(n²) by matrix products."""
    length = (places**2).sum(1)
    squared = places @ places.T
    squared *= -2
    squared += length[:, None]
    squared += length[None]
    np.maximum(squared, SOFT, out=squared)
    np.fill_diagonal(squared, 1.0)
    n = len(places)
    energy = (np.vdot(springs, squared) - np.log(squared).sum()) / 4
    force = springs - np.reciprocal(squared, out=squared)
    np.fill_diagonal(force, 0.0)
    gradient = force.sum(1)[:, None] * places - force @ places
    pairs = n * (n - 1) / 2
    return energy / pairs, (gradient / pairs).ravel()


def _upright(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turned so that the longest extent lies level, mirrored so that tails point right and up."""
    turned = places @ np.linalg.eigh(places.T @ places)[1][:, ::-1]
    skew = (turned**3).sum(0)
    return turned * np.where(skew < 0, -1.0, 1.0)
