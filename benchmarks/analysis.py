"""How long ``nacgraph analyze`` takes, and how much memory, by the number of modules.

    python benchmarks/analysis.py --out benchmarks/results/analysis.json
    python benchmarks/analysis.py --modules 320 --threads 2

Each circuit is trained for a few steps only, from signatures that already follow their prior, so
that the graph has the structure of a finished run; the time of an analysis depends on its size and
structure, not on how well it answers. The command runs in a process of its own, imports included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

BARS = {320: 60.0, 1024: 300.0}  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", type=int, nargs="+", default=list(BARS))
    parser.add_argument("--prior", default="planted_partition")
    parser.add_argument("--nulls", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="keep the run folders here")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    record = {
        "machine": describe(arguments.threads, 0),
        "prior": arguments.prior,
        "nulls": arguments.nulls,
        "html": True,
        "results": [],
    }
    with tempfile.TemporaryDirectory() as scratch:
        for modules in arguments.modules:
            folder = (arguments.keep or Path(scratch)) / f"modules-{modules}"
            nacgraph(
                "train",
                f"--out={folder}",
                f"--modules={modules}",
                "--steps=4",
                f"--prior={arguments.prior}",
                "--signature-start=prior",
                "--train-size=2000",
                "--val-size=256",
                "--test-size=32",
                "--validate-samples=32",
                "--batch-size=8",
                f"--threads={arguments.threads}",
            )
            began, before = time.perf_counter(), _cpu()
            nacgraph(
                "analyze",
                str(folder),
                "--html",
                f"--nulls={arguments.nulls}",
                f"--threads={arguments.threads}",
            )
            row = {
                "modules": modules,
                "seconds": round(time.perf_counter() - began, 1),
                "cpu_seconds": round(_cpu() - before, 1),
                "peak_mib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
                "report_mib": round(
                    (folder / "analysis" / "report.html").stat().st_size / 2**20, 2
                ),
                "bar_seconds": BARS.get(modules),
            }
            record["results"].append(row)
            print(json.dumps(row), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def nacgraph(*argv: str) -> None:
    subprocess.run([sys.executable, "-m", "nacgraph", *argv], check=True, stdout=subprocess.DEVNULL)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
