"""Train a small circuit on ListOps under a graph prior, then look at what it learned.

python examples/train_and_look.py          (two minutes on one core)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx

import nacgraph


def main(out: str = "runs/train-and-look", **options: Any) -> nacgraph.Run:
    """Train, unless the run is there already; ``options`` are those of ``nacgraph train``."""
    run = nacgraph.fit("listops", "ring_of_cliques", out=out, resume="auto", **options)

    found = run.evaluate(by=["root"])
    low, high = found.ci95
    print(f"test accuracy {found.accuracy:.1%} of {found.n} ({low:.1%} to {high:.1%})")
    for operator, part in found.by["root"].items():
        print(f"  {operator}: {part['accuracy']:.1%} of {part['n']}")

    questions = ["[MAX 2 9 [MIN 4 7 ] 0 ]", "[SM 1 2 3 ]"]
    for question, (answer, p) in zip(questions, run.predict(questions), strict=True):
        print(f"{question} = {answer} (probability {p:.2f})")

    graph = run.graph(threshold=0.5).to_undirected()
    groups = [sorted(group) for group in nx.connected_components(graph) if len(group) > 1]
    print(f"{graph.number_of_edges()} links with P > 0.5, in {len(groups)} groups of modules")

    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.add_subplot(title="link probabilities", xlabel="sender", ylabel="receiver")
    axes.imshow(run.link, cmap="viridis", vmin=0, vmax=1)
    figure.savefig(Path(run.path) / "links.png")
    return run


if __name__ == "__main__":
    main()
