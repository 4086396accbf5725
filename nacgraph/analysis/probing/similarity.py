"""Do modules that are linked compute alike? Codes against link probabilities, pair by pair."""

from __future__ import annotations

from typing import Any

import numpy as np

SHUFFLES = 199


def cosines(codes: np.ndarray) -> np.ndarray:
    """Cosine similarity of rows, (U, K) → (U, U); a row of zeros is similar to none."""
    codes = codes.astype(np.float64)
    unit = codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-30)
    return unit @ unit.T


def correlations(a: np.ndarray, b: np.ndarray, seed: int = 0) -> dict[str, dict[str, Any]]:
    r"""Pearson and Spearman correlation of two symmetric matrices over their pairs i < j.

    Pairs share modules and so are not independent: the p-value is Mantel's, the share of
    relabellings of ``b`` (199 of them, and the one that is) with a correlation as far from 0.

    Shapes:
        a, b (U, U)

    Returns:
        "pearson" and "spearman", each with "value" and "p", or with "value" None and a "reason".

    Source: Mantel, The detection of disease clustering (Cancer Research 1967).
    """
    from scipy.stats import rankdata

    rows, columns = np.triu_indices(len(a), k=1)

    def ranked(matrix: np.ndarray) -> np.ndarray:
        ranks = np.zeros_like(matrix, dtype=np.float64)
        ranks[rows, columns] = rankdata(matrix[rows, columns])
        return ranks + ranks.T

    kinds = {"pearson": (a, b), "spearman": (ranked(a), ranked(b))}
    return {name: _mantel(x, y, rows, columns, seed) for name, (x, y) in kinds.items()}


def _mantel(
    a: np.ndarray, b: np.ndarray, rows: np.ndarray, columns: np.ndarray, seed: int
) -> dict[str, Any]:
    if len(rows) < 2:
        return {"value": None, "reason": f"{len(rows)} pairs of modules have no correlation"}
    left, right = _centred(a, rows, columns), _centred(b, rows, columns)
    if left is None:
        return {"value": None, "reason": "all codes are equally similar"}
    if right is None:
        return {"value": None, "reason": "all links are equally likely"}
    value = float((left * right).sum() / 2)
    rng = np.random.default_rng(seed)
    far = 0
    for _ in range(SHUFFLES):
        order = rng.permutation(len(a))
        shuffled = right.take(order, 0).take(order, 1)
        far += abs(float((left * shuffled).sum() / 2)) >= abs(value) - 1e-12
    return {"value": min(1.0, max(-1.0, value)), "p": (far + 1) / (SHUFFLES + 1)}


def _centred(matrix: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray | None:
    """Mean 0 and norm 1 over the pairs, 0 on the diagonal; None if all pairs are alike."""
    values = matrix[rows, columns].astype(np.float64)
    values = values - values.mean()
    norm = float(np.linalg.norm(values))
    if norm <= 1e-9 * max(1e-30, float(np.abs(matrix).max())) * len(values) ** 0.5:
        return None
    centred = np.zeros(matrix.shape)
    centred[rows, columns] = values / norm
    return centred + centred.T
