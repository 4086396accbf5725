"""Public checks for people who write plugins: call them from your own tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import networkx as nx
import torch
from torch import Tensor

if TYPE_CHECKING:
    from nacgraph.priors import GraphPrior

SAMPLES = 16


def target_problems(target: object, n: int) -> list[str]:
    """What keeps ``target`` from being edge probabilities of ``n`` modules; empty if nothing."""
    if not isinstance(target, Tensor):
        return [f"wanted a torch.Tensor, got {type(target).__name__}"]
    if target.shape != (n, n):
        return [f"wanted shape ({n}, {n}), got {tuple(target.shape)}"]
    if target.dtype != torch.float64:
        return [f"wanted dtype torch.float64, got {target.dtype}"]
    problems = []
    if not bool(torch.isfinite(target).all()):
        problems.append("wanted finite entries, got NaN or infinity")
    elif not bool(((target >= 0) & (target <= 1)).all()):
        low, high = target.min().item(), target.max().item()
        problems.append(f"wanted entries in [0, 1], got {low:.6g} to {high:.6g}")
    if not torch.allclose(target, target.T, rtol=0, atol=1e-12):
        worst = (target - target.T).abs().max().item()
        problems.append(f"wanted a symmetric matrix, got differences up to {worst:.6g}")
    if not bool((target.diagonal() == 1).all()):
        problems.append("wanted 1 on the diagonal, got something else")
    return problems


def assert_prior(prior: GraphPrior, sizes: Sequence[int] = (1, 2, 7, 16, 33)) -> None:
    """Check that a prior keeps its promises at these numbers of modules.

    The target is symmetric, within [0, 1], 1 on the diagonal and the same at every call; a
    sample is a simple graph on 0..n-1, fixed by its seed, with no link where the target is 0,
    every link where it is 1, and about as many links as the target expects.

    Raises:
        AssertionError: Saying what was wanted and what was got.
    """
    for n in sizes:
        where = f"{type(prior).__name__}, n = {n}"
        target = prior.edge_probabilities(n)
        for problem in target_problems(target, n):
            raise AssertionError(f"{where}: edge_probabilities: {problem}")
        _want(
            torch.equal(target, prior.edge_probabilities(n)),
            f"{where}: edge_probabilities: wanted the same matrix at every call, got another",
        )
        _check_samples(prior, target, where)
        label = prior.communities(n)
        if label is not None:
            _want(
                label.shape == (n,) and not label.is_floating_point(),
                f"{where}: communities: wanted {n} whole numbers or None, "
                f"got {label.dtype} of shape {tuple(label.shape)}",
            )
    _want(
        isinstance(prior.parameters(), dict),
        f"{type(prior).__name__}: parameters: wanted a dict, got {prior.parameters()!r}",
    )


def _check_samples(prior: GraphPrior, target: Tensor, where: str) -> None:
    n = len(target)
    links = 0
    for seed in range(SAMPLES):
        graph = prior.sample(n, seed)
        _want(
            type(graph) is nx.Graph,
            f"{where}: sample: wanted a networkx.Graph, got {type(graph).__name__}",
        )
        _want(
            set(graph) == set(range(n)),
            f"{where}: sample: wanted the nodes 0..{n - 1}, got {sorted(graph, key=str)[:8]}…",
        )
        _want(nx.number_of_selfloops(graph) == 0, f"{where}: sample: wanted no self-loops, got one")
        if seed == 0:
            again = prior.sample(n, seed)
            _want(
                nx.utils.graphs_equal(graph, again),
                f"{where}: sample: wanted one graph per seed, got two for seed 0",
            )
        drawn = torch.from_numpy(nx.to_numpy_array(graph, range(n), weight=None)).fill_diagonal_(1)
        wrong = ((target == 0) & (drawn > 0)) | ((target == 1) & (drawn == 0))
        if bool(wrong.any()):
            i, j = torch.nonzero(wrong)[0].tolist()
            raise AssertionError(
                f"{where}: sample: a link ({i}, {j}) has probability {target[i, j]:g}, "
                f"but was {'' if drawn[i, j] else 'not '}drawn"
            )
        links += graph.number_of_edges()
    upper = target.triu(1)
    expected, mean = upper.sum().item(), links / SAMPLES
    spread = ((upper * (1 - upper)).sum().item() / SAMPLES) ** 0.5
    # Links may depend on each other, so this only catches another density altogether.
    _want(
        abs(mean - expected) <= 2 + 0.15 * expected + 6 * spread,
        f"{where}: sample: wanted about {expected:.1f} links on average, got {mean:.1f}",
    )


def _want(held: bool, message: str) -> None:
    if not held:
        raise AssertionError(message)
