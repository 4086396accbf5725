"""Whether two circuits share their latent positions: graspologic's tests, seeded and bounded."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from nacgraph.viz.statistics import undefined

Value = dict[str, Any]
LEAST = 8  # modules below which the test says nothing
DIMENSIONS = 6  # of latent positions, at most
BOOTSTRAPS = 200
WORK, FEWEST = 4e7, 39  # bootstraps times modules squared: half a minute at most


def latent_positions(
    a: np.ndarray,
    b: np.ndarray,
    order: np.ndarray | None,
    seed: int = 0,
    bootstraps: int = BOOTSTRAPS,
) -> dict[str, Any]:
    """graspologic's test of whether two random graphs have the same latent positions.

    Both tests are for graphs whose links are drawn, so one graph is drawn from each P. Modules in
    matched order: ``latent_position_test`` (the same position for each pair of modules, up to a
    rotation; its bootstrap draws graphs from the positions found). Unequal numbers of modules:
    ``latent_distribution_test`` (positions from the same distribution; distance correlation,
    relabelled). Circuits of many modules get fewer bootstraps than asked for.

    A small p says that the circuits differ. Matching has made them as alike as it could, which the
    test does not know.

    Source: Tang et al., A semiparametric two-sample hypothesis testing problem for random graphs
    (2017); Tang et al., A nonparametric two-sample hypothesis testing problem (2017).
    """
    name = "latent_position_test" if order is not None else "latent_distribution_test"
    if min(len(a), len(b)) < LEAST:
        return undefined(f"{min(len(a), len(b))} modules are too few, expected {LEAST}") | {
            "test": name
        }
    rng = np.random.default_rng([seed, 7])
    drawn = [_draw(p, rng) for p in (a if order is None else a[order][:, order], b)]
    for graph, which in zip(drawn, "AB", strict=True):
        links = graph.sum() / 2
        if links in (0, len(graph) * (len(graph) - 1) / 2):
            what = "no links" if links == 0 else "all links"
            return undefined(f"a graph drawn from {which} has {what}") | {"test": name}
    size = max(len(a), len(b))
    bootstraps = min(bootstraps, max(FEWEST, int(WORK / size**2)))
    try:
        with warnings.catch_warnings(), _numpy_seeded(seed):
            warnings.simplefilter("ignore")  # of graphs in several parts
            return _latent_test(drawn, order is not None, bootstraps, seed) | {
                "test": name,
                "bootstraps": bootstraps,
            }
    except (ValueError, np.linalg.LinAlgError) as error:
        return undefined(f"the test failed: {error}") | {"test": name}


def _latent_test(
    drawn: list[np.ndarray], aligned: bool, bootstraps: int, seed: int
) -> dict[str, Any]:
    from graspologic.embed import select_dimension
    from graspologic.inference import latent_distribution_test, latent_position_test

    elbows = [select_dimension(graph)[0][-1] for graph in drawn]
    dimension = int(min(DIMENSIONS, max(elbows)))
    a, b = drawn
    result: Any
    if aligned:
        result = latent_position_test(
            a, b, embedding="ase", n_components=dimension, n_bootstraps=bootstraps
        )
    else:
        result = latent_distribution_test(
            a, b, n_components=dimension, n_bootstraps=bootstraps, random_state=seed, workers=1
        )
    return {"value": float(result.stat), "p": float(result.pvalue), "dimension": dimension}


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """NumPy's global numbers, which graspologic's bootstrap draws, from a seed; then as before."""
    from sklearn.utils import check_random_state

    shared = check_random_state(None)
    before = shared.get_state()
    shared.seed(seed)
    try:
        yield
    finally:
        shared.set_state(before)


def _draw(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A graph (U, U) with every link on its own, symmetric, without loops."""
    upper = np.triu(rng.random(p.shape) < p, k=1).astype(np.float64)
    return upper + upper.T
