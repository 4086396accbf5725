"""Made-up circuits for the tests of the report: communities of random signatures."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacgraph.viz.report import Picture, ReportData

EVIL = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked=2'>\"&amp;"
SVG = (
    "<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='10pt' height='5pt' "
    "viewBox='0 0 10 5'><defs><path id='a' d='M0 0L10 5'/><clipPath id='c'/></defs>"
    "<use href='#a' stroke='currentColor' clip-path='url(#c)'/></svg>"
)


def links(modules: int, groups: int, seed: int = 0) -> tuple[np.ndarray, list[int]]:
    """Link probabilities P = exp(-(1 - cos) / 0.334), (U, U), and the group of every module."""
    rng, width = np.random.default_rng(seed), 16
    group = rng.integers(0, groups, modules)
    centres = rng.normal(size=(groups, width))
    signatures = centres[group] + 0.5 * rng.normal(size=(modules, width))
    signatures /= np.linalg.norm(signatures, axis=1, keepdims=True)
    link = np.exp(-(1 - signatures @ signatures.T) / 0.334)
    link = np.clip((link + link.T) / 2, 0, 1)
    np.fill_diagonal(link, 1)
    return link, group.tolist()


def report_data(
    modules: int = 48, groups: int = 6, readouts: int = 5, seed: int = 0, **changed: Any
) -> ReportData:
    """A report with every part; ``changed`` replaces fields."""
    rng = np.random.default_rng(seed)
    link, group = links(modules, groups, seed)
    order = np.argsort(group, kind="stable")
    target = np.where(np.equal.outer(np.array(group), np.array(group))[order][:, order], 0.9, 0.05)
    nothing = {"value": None, "reason": "the graph has 3 components"}
    degree = link.sum(1) - 1
    values: dict[str, Any] = {
        "title": "nac on listops under ring_of_cliques",
        "facts": [("Test accuracy", "41.2 %"), ("Modules", str(modules))],
        "statistics": {
            "run": "runs/a",
            "config": {"task": "listops", "modules": modules},
            "summary": {"test_accuracy": 0.412},
            "views": {
                "probability": {
                    "density": {"value": 0.149},
                    "clustering": {"value": 0.43, "null_mean": 0.3, "null_sd": 0.01, "z": 11.7},
                },
                "threshold": {
                    "path_length": nothing,
                    "clustering": {"value": 0.73, "null_mean": 0.1, "z": None, "reason": "sd is 0"},
                },
                "sampled": {"density": {"value": 0.15, "sd": 0.004}},
            },
            "communities": {"labels": group, "modularity": {"value": 0.51, "sd": 0.003}},
            "block_models": {
                "sbm": {"matrix": [[0.9, 0.1], [0.1, None]], "sizes": [modules - 1, 1]},
                "dcsbm": {"value": None, "reason": "too few links for a fit"},
            },
            "degree_tail": {"exponent": {"value": None, "reason": "9 modules in the tail"}},
            "priors": {
                "scale_free": {"raw": 0.06, "matched": 0.05, "floor": 0.002, "untrained": 0.07},
                "erdos_renyi": {"raw": {"value": 0.04}, "matched": 0.04, "floor": nothing},
            },
            "modules": [
                {
                    "module": k,
                    "degree": float(degree[k]),
                    "community": group[k],
                    "clustering": None if k == 3 else float(rng.random()),
                    "role": f"role {k % 3}",
                    "top_tokens": [["[MAX", 0.5], ["]", 0.2]],
                    "accuracy_lost": float(rng.normal()),
                }
                for k in range(modules)
            ],
            "readouts": [{"readout": k, "confidence": 1 / (k + 2)} for k in range(readouts)],
        },
        "probability": link,
        "readout_probability": rng.random((readouts, modules)),
        "positions": rng.normal(size=(modules, 2)),
        "readout_positions": rng.normal(size=(readouts, 2)),
        "order": order.tolist(),
        "target": target,
        "pictures": [Picture("one", "Degrees", "A caption.", SVG), Picture("two", "B", "C", SVG)],
        "notes": ["path length was left out"],
        "commands": ["nacgraph analyze runs/a --html"],
    }
    return ReportData(**{**values, **changed})


def bare_data(modules: int = 1, **changed: Any) -> ReportData:
    """The least that makes a report: no statistics, read-outs, target, pictures, notes."""
    values: dict[str, Any] = {
        "title": "bare",
        "facts": [],
        "statistics": {},
        "probability": np.eye(modules),
        "readout_probability": None,
        "positions": np.zeros((modules, 2)),
        "readout_positions": None,
        "order": range(modules),
        "target": None,
        "pictures": [],
        "notes": [],
        "commands": [],
    }
    return ReportData(**{**values, **changed})
