"""Roles of modules and the kinds of tokens that they read most."""

from __future__ import annotations

import numpy as np

from nacgraph.analysis.probing.roles import role, top_kinds


def test_roles_and_top_kinds_follow_their_rules() -> None:
    share = np.array([0.4, 0.35, 0.1, 0.15])
    groups = {"digits": [0, 1], "operators": [2], "closing brackets": [3]}

    def of(*mass: float) -> str:
        return role(np.array(mass), share, groups)

    assert of(*share) == "mixed"
    assert of(0.5, 0.45, 0.02, 0.03) == "digits"  # odds ratio 6.3, lift only 1.27
    assert of(0.3, 0.2, 0.45, 0.05) == "operators"
    assert of(0.0, 0.0, 0.0, 1.0) == "closing brackets"
    assert of(0.3, 0.2, 0.2, 0.3) == "mixed"  # two groups, neither ahead
    assert role(np.array([1.0]), np.array([1.0]), {"all": [0], "none": []}) == "mixed"
    assert top_kinds(np.array([0.4, 0.1, 0.3, 0.2]), share) == [2, 3]
    assert top_kinds(share, share) == []
