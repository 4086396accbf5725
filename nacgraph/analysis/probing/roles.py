"""From attention over kinds of tokens to words: what a module reads most, and what that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

ODDS = 2.0  # odds ratio from which a group is more than chance and leanings
LEAD = 1.5  # by which factor the group has to lead the next one
MIXED = "mixed"


def role(attention: np.ndarray, share: np.ndarray, groups: Mapping[str, Sequence[int]]) -> str:
    r"""The group of kinds that a module reads far more than it would by chance, or "mixed".

    Groups are compared by the odds ratio of the attention mass m on a group and the group's share
    s of all tokens,

    .. math:: \frac{m/(1 - m)}{s/(1 - s)},

    and not by the lift m/s, which cannot exceed 1/s: of tokens that are three quarters digits, a
    module that reads nothing but digits has a lift of 4/3. The largest ratio has to be at least
    ODDS, and LEAD times the next.

    Args:
        attention: Attention mass on each kind, (V,), of sum 1.
        share: Share of each kind, (V,), of sum 1.
        groups: Kinds of each group. Groups without tokens, or with all, are left out.
    """
    found = []
    for name, kinds in groups.items():
        mass, common = float(attention[list(kinds)].sum()), float(share[list(kinds)].sum())
        if 0 < common < 1:
            mass = min(max(mass, 0.0), 1 - 1e-12)
            found.append((mass / (1 - mass) * (1 - common) / common, name))
    found.sort(key=lambda pair: -pair[0])
    if not found or found[0][0] < ODDS:
        return MIXED
    return MIXED if len(found) > 1 and found[0][0] < LEAD * found[1][0] else found[0][1]


def top_kinds(attention: np.ndarray, share: np.ndarray, count: int = 3) -> list[int]:
    r"""Up to ``count`` kinds, those first that set the module most apart from chance.

    By :math:`m_v \log(m_v/s_v)`, what kind v adds to the Kullback-Leibler divergence of attention m
    from the shares s; only kinds that are read more than they are common. The mass alone would
    name what is common, and the lift what is rare.
    """
    share = np.maximum(share, np.finfo(float).tiny)
    ratio = np.maximum(attention / share, np.finfo(float).tiny)
    gain = attention * np.log(ratio)
    order = np.argsort(-gain, kind="stable")[:count]
    return [int(kind) for kind in order if gain[kind] > 0]
