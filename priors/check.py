"""Does a prior keep its promises, and how near can signatures come to its target?"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import networkx as nx
import torch
from torch import Tensor

from nacgraph.graph.links import DEFAULT_BANDWIDTH, link_probabilities
from nacgraph.priors.base import PRIORS, GraphPrior
from nacgraph.priors.reachable import best_signatures, lowest_probability, prior_signatures
from nacgraph.utils.check import check_positive, check_whole


@dataclass(frozen=True)
class PriorCheck:
    """What :func:`check_prior` measured; ``viz.prior_figure`` draws the three graphs.

    Attributes:
        target: Edge probabilities T (n, n) as the prior gives them.
        problems: What keeps T from being edge probabilities. If there is any, all below is None.
        sample: One graph of the prior.
        reached: Link probabilities (n, n) of the best signatures that were found.
        numbers: "low" and "high", least and largest entry of T off the diagonal; "mean_degree" of
            T and "sample_degree" of the sample; "lowest", the least link probability at this
            bandwidth; "closed_form_rms", the error of signatures in closed form; "mse", the loss
            of the best signatures, an upper bound of what can be reached.
    """

    target: Tensor
    problems: list[str]
    sample: nx.Graph | None = None
    reached: Tensor | None = None
    numbers: dict[str, float] | None = None


def check_prior(
    prior: GraphPrior,
    modules: int = 128,
    *,
    bandwidth: float = DEFAULT_BANDWIDTH,
    signature_dim: int = 64,
    seed: int = 0,
) -> PriorCheck:
    """Check a prior's target, draw a sample, and measure how near signatures come to the target.

    Args:
        prior: The prior.
        modules: Number n of modules.
        bandwidth: Bandwidth ε of the kernel.
        signature_dim: Width of signatures.
        seed: Seed of the sample.

    Raises:
        ValueError: If an argument is out of range, or the prior itself raises.
    """
    check_whole(1, modules=modules, signature_dim=signature_dim)
    check_positive(bandwidth=bandwidth)
    n = modules
    target = _called(prior, "edge_probabilities", n)
    if problems := target_problems(target, n):
        return PriorCheck(target, problems)
    sample = _called(prior, "sample", n, seed)
    others = target[~torch.eye(n, dtype=torch.bool)]
    fit = best_signatures(target, bandwidth, signature_dim)
    numbers = {
        "low": others.min().item() if n > 1 else 1.0,
        "high": others.max().item() if n > 1 else 1.0,
        "mean_degree": others.sum().item() / n,
        "sample_degree": 2 * sample.number_of_edges() / n,
        "lowest": lowest_probability(bandwidth),
        "closed_form_rms": prior_signatures(target, bandwidth, signature_dim)[1],
        "mse": fit.loss,
    }
    reached = link_probabilities(fit.signatures, fit.signatures, bandwidth)
    return PriorCheck(target, [], sample, reached, numbers)


def check_lines(found: PriorCheck, bandwidth: float, signature_dim: int) -> Iterator[str]:
    """The result as lines of text, with the settings that it was measured at."""
    yield f"{'modules':<12} {len(found.target)}"
    for problem in found.problems:
        yield f"{'WRONG':<12} {problem}"
    if (x := found.numbers) is None:
        return
    verdict = "out of reach" if x["low"] < x["lowest"] else "within reach of a single pair"
    rows = {
        "target": f"symmetric, diagonal 1, in [0, 1]: {x['low']:.4g} to {x['high']:.4g}",
        "mean degree": f"{x['mean_degree']:.2f} of {len(found.target) - 1} "
        f"(the sample drawn: {x['sample_degree']:.2f})",
        "kernel": f"bandwidth {bandwidth:.4g}, signatures of width {signature_dim}",
        "bound": f"P >= e^(-2/bandwidth) = {x['lowest']:.4g}; the target's least is {verdict}",
        "closed form": f"rms error {x['closed_form_rms']:.4f}",
        "reachable": f"mse {x['mse']:.3e}, rms error {math.sqrt(x['mse']):.4f} (an upper bound)",
    }
    yield from (f"{name:<12} {text}" for name, text in rows.items())


def overview() -> Iterator[str]:
    """A line for each registered prior, and one for its parameters."""
    for name, prior in PRIORS.offered():
        if isinstance(prior, ValueError):
            yield f"{name:<18} {prior}"
            continue
        yield f"{name:<18} {(prior.__doc__ or '').strip().split(chr(10))[0]}"
        fields = ", ".join(map(str, inspect.signature(prior).parameters.values()))
        if fields:
            yield f"{'':<18} {fields.replace(chr(39), '')}"


def target_problems(target: object, n: int) -> list[str]:
    """What keeps ``target`` from being edge probabilities of ``n`` modules; empty if nothing."""
    if not isinstance(target, Tensor):
        return [f"expected a torch.Tensor, got {type(target).__name__}"]
    if target.shape != (n, n):
        return [f"expected shape ({n}, {n}), got {tuple(target.shape)}"]
    if target.dtype != torch.float64:
        return [f"expected dtype torch.float64, got {target.dtype}"]
    problems = []
    if not bool(torch.isfinite(target).all()):
        problems.append("expected finite entries, got NaN or infinity")
    elif not bool(((target >= 0) & (target <= 1)).all()):
        low, high = target.min().item(), target.max().item()
        problems.append(f"expected entries in [0, 1], got {low:.6g} to {high:.6g}")
    if not torch.allclose(target, target.T, rtol=0, atol=1e-12):
        worst = (target - target.T).abs().max().item()
        problems.append(f"expected a symmetric matrix, got differences up to {worst:.6g}")
    if not bool((target.diagonal() == 1).all()):
        problems.append("expected 1 on the diagonal, got something else")
    return problems


def _called(prior: GraphPrior, method: str, *arguments: int) -> Any:
    """Call a method of the prior, which may be a plugin's; what it raises becomes one line."""
    try:
        return getattr(prior, method)(*arguments)
    except Exception as error:
        shown = ", ".join(str(argument) for argument in arguments)
        raise ValueError(f"{method}({shown}) raised {type(error).__name__}: {error}") from error
