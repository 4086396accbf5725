"""Accuracy of a ListOps run by length and root operator, on sequences of a seed of their own.

    python benchmarks/listops_lengths.py RUN [RUN …] [--samples 400] [--longest 1999] [--threads 1]

The seed is 77; the test split is not read. There are so few lists of 4 to 6 symbols that a run
whose curriculum begins there has been trained on up to half of these.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from nacgraph.models.nac import NAC
from nacgraph.tasks import ListOps

RANGES = ((4, 6), (7, 12), (13, 30), (31, 60), (61, 120), (121, 250), (251, 500), (501, 1999))
OPERATORS = ("MIN", "MAX", "MED", "SM")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--longest", type=int, default=1999, help="no sequences above that")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for run in arguments.runs:
        model = NAC.from_run(run).eval()
        print(f"\n{run}\n\n| symbols | all | {' | '.join(OPERATORS)} |\n|---|---|---|---|---|---|")
        for shortest, longest in (each for each in RANGES if each[1] <= arguments.longest):
            task = ListOps(
                min_length=shortest - 1,
                max_length=longest + 1,
                train_size=1,
                val_size=arguments.samples,
                test_size=1,
                data_seed=77,
                batch_size=16,
            )
            right = np.zeros(arguments.samples, bool)
            with torch.no_grad():
                for batch in task.eval_batches("val"):
                    guess = model(batch).logits.argmax(-1)
                    right[batch.index.numpy()] = (guess == batch.labels).numpy()
            roots = np.array(task.tags("val")["root"])
            shares = [right.mean(), *(right[roots == name].mean() for name in OPERATORS)]
            print(f"| {shortest}–{longest} |", " | ".join(f"{100 * s:.0f} %" for s in shares), "|")


if __name__ == "__main__":
    main()
