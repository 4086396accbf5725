"""Pruning: a circuit with fewer modules, the others removed from every tensor."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real

import torch
from torch import Tensor

from nacgraph.models.nac import NAC

ORDERS = ("degree", "random", "contribution")


def expected_degrees(link: Tensor) -> Tensor:
    r"""Expected links of each module, itself left out: :math:`\sum_{j \ne i} P_{ij}`.

    Shapes:
        link (U, U) · output (U,)
    """
    if link.dim() != 2 or link.shape[0] != link.shape[1]:
        raise ValueError(f"link: expected a square matrix (U, U), got shape {tuple(link.shape)}")
    return link.sum(-1) - link.diagonal()


def kept_count(modules: int, keep: float) -> int:
    """How many of ``modules`` a share ``keep`` is, at least one.

    Raises:
        ValueError: If the share is not in (0, 1].
    """
    if not (isinstance(keep, Real) and 0 < keep <= 1):
        raise ValueError(f"keep: expected a share in (0, 1], got {keep!r}")
    return max(1, round(keep * modules))


def ranking(
    order: str,
    link: Tensor,
    *,
    contribution: Tensor | None = None,
    seed: int = 0,
) -> Tensor:
    """The modules (U,), those to be kept first; ties keep the order of the modules.

    Args:
        order: "degree" keeps the best linked, "contribution" those whose removal costs most,
            "random" any.
        link: Link probabilities P, (U, U).
        contribution: Loss gained without each module, (U,); needed by that order.
        seed: Seed of a random order.

    Raises:
        ValueError: On an unknown order, or if its scores are missing or do not fit.

    Source: Neural Attentive Circuits (NeurIPS 2022), the dropping of modules.
    """
    if order not in ORDERS:
        raise ValueError(f"order: expected one of {', '.join(ORDERS)}, got {order!r}")
    score = expected_degrees(link)
    if order == "random":
        return torch.randperm(len(link), generator=torch.Generator().manual_seed(seed))
    if order == "contribution":
        if contribution is None or contribution.shape != score.shape:
            got = None if contribution is None else tuple(contribution.shape)
            raise ValueError(
                f"contribution: expected one number a module, ({len(link)},), got {got}"
            )
        score = contribution
    return score.detach().cpu().double().argsort(descending=True, stable=True)


def prune(model: NAC, kept: Sequence[int] | Tensor) -> NAC:
    """A new model of these processors only, in ascending order; read-outs all stay.

    Signatures and codes of the others are removed, and with them their rows in every tensor. The
    answers equal those of ``model`` with these modules cut off from all others. ``model`` stays as
    it is.

    Raises:
        ValueError: If no module is kept, one twice, or one that is not there.
    """
    chosen = torch.as_tensor(kept, dtype=torch.long).cpu()
    modules = model.config.modules
    unique = chosen.unique()
    if chosen.dim() != 1 or len(chosen) == 0 or len(unique) != len(chosen):
        raise ValueError(f"kept: expected different modules, at least one, got {chosen.tolist()}")
    if unique[0] < 0 or unique[-1] >= modules:
        raise ValueError(f"kept: expected modules 0 to {modules - 1}, got {unique.tolist()}")
    smaller = copy.deepcopy(model)
    smaller.generator = model.generator.select(unique)
    smaller.config = replace(model.config, modules=len(unique), signature_start="random")
    return smaller
