"""At which depth of the tree modules read: shares of attention beside shares of tokens.

    python benchmarks/listops_reading.py RUN [RUN …]

The root's operator and closing bracket have depth 0, its arguments' depth 1; a digit has the depth
of an argument. Depths are computed here to see what was learned; no model sees them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from nacgraph.analysis.probing import probe
from nacgraph.tasks import Batch
from nacgraph.tasks.listops.trees import SYMBOLS
from nacgraph.training.run import load_circuit

DEEP = 4  # what lies deeper counts as this
ROLES = ("digit", "operator", "bracket")
NAMES = ("padding", *(f"{role} {depth}" for role in ROLES for depth in range(DEEP + 1)))


def kinds(batch: Batch) -> torch.Tensor:
    """(B, T): which of ``NAMES`` each token is."""
    tokens = batch.inputs
    opens = (tokens > SYMBOLS.index("9") + 1) & (tokens < len(SYMBOLS))
    closes = tokens == len(SYMBOLS)
    inside = (opens.long() - closes.long()).cumsum(-1)  # brackets open after a token
    depth = torch.where(opens, inside - 1, inside).clamp(0, DEEP)
    role = torch.where(opens, 1, torch.where(closes, 2, 0))
    return torch.where(tokens > 0, 1 + role * (DEEP + 1) + depth, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--cache-dir")
    given = parser.parse_args()
    for run in given.runs:
        read = load_circuit(run, cache_dir=given.cache_dir)
        model, task = read.circuit, read.task
        task.token_kinds, task.token_names, task.token_groups = kinds, NAMES, {}
        found = probe(model, task, samples=given.samples, lesion_samples=0)
        print(f"{run.name}: {found.samples} validation samples, {model.config.modules} modules")
        for name, share, mine in zip(
            found.token_names, found.token_share, found.token_attention.T, strict=True
        ):
            row = {
                "tokens": share,
                "attention": mine.mean(),
                "least": mine.min(),
                "most": mine.max(),
            }
            print(f"{name:<12}", json.dumps({k: round(float(v), 4) for k, v in row.items()}))


if __name__ == "__main__":
    main()
