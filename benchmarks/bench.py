"""Time and memory of nacgraph beside its rivals: one command, all comparisons.

    python benchmarks/bench.py                       # all, at most 15 minutes (make bench)
    python benchmarks/bench.py --quick               # small, at most 3 minutes
    python benchmarks/bench.py --only growth gemm    # some; the table keeps the others' results
    python benchmarks/bench.py --list

Results go to benchmarks/results (NAME.json, NAME.png, speed.md), those of --quick to
build/bench-quick. The exit code is 0 unless a case failed; a missed bar is no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if Path(sys.path[0]).resolve() == ROOT / "benchmarks":  # run as a script
    sys.path[0] = str(ROOT)

LIMIT = {"full": 850.0, "quick": 165.0}  # seconds, the report not counted


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="names of the cases and their bars")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these cases, not all")
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds, no bars")
    parser.add_argument("--threads", type=int, help="threads (default: the cores one may use)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--report", action="store_true", help="only write table and plots anew")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.worker:
        return worker(json.loads(a.worker), a.out)

    from benchmarks.machine import physical_cores

    if a.list:
        return listing()
    out = a.out or ROOT / ("build/bench-quick" if a.quick else "benchmarks/results")
    threads = a.threads or physical_cores()
    return report(out, {}) if a.report else bench(a.only, a.quick, threads, a.seed, out)


def worker(order: dict[str, Any], path: Path) -> int:
    """What a fresh process does."""
    from benchmarks.cases import CASES
    from benchmarks.runner import work

    found = work(order, CASES[order["case"]])
    path.write_text(json.dumps(found), "utf-8")
    return 0


def listing() -> int:
    from benchmarks.bars import BARS
    from benchmarks.cases import CASES

    for name, case in CASES.items():
        print(f"{name:<24} {case.title}")
        for bar in BARS:
            if bar.case == name:
                print(f"{'':<24}   {bar.sense} {bar.limit:.3g}{bar.unit}: {bar.what}, {bar.at}")
    return 0


def bench(only: list[str] | None, quick: bool, threads: int, seed: int, out: Path) -> int:
    from benchmarks.cases import CASES
    from benchmarks.runner import BenchmarkError, planned, run_case, write

    every = [name for name, case in CASES.items() if not (quick and case.beside)]
    names = list(dict.fromkeys(only or every))
    unknown = [name for name in names if name not in CASES]
    if unknown:
        print(f"--only: expected some of {', '.join(CASES)}, got {unknown[0]!r}", file=sys.stderr)
        return 2
    if (load := os.getloadavg()[0]) > 0.5:
        print(f"load average {load:.1f}: others compute here too, so ratios will be noisy")
    start, failed = time.perf_counter(), {}
    for i, name in enumerate(names):
        # On a slow or busy machine budgets shrink, so that all still fits.
        left = LIMIT["quick" if quick else "full"] - (time.perf_counter() - start)
        hurry = min(1.0, max(0.0, left / sum(planned(CASES[n], quick) for n in names[i:])))
        print(f"{name} …", end=" ", flush=True)
        try:
            result = run_case(CASES[name], quick, threads, seed, hurry)
        except BenchmarkError as error:
            failed[name] = str(error)
            print(f"FAILED: {error}", flush=True)
            continue
        write(out, result)
        shown = {
            k: v for k, v in result["figures"].items() if "_cpu" not in k and "gflops" not in k
        }
        brief = ", ".join(f"{k} {v:.3g}" for k, v in list(shown.items())[:6])
        print(f"{result['seconds']:.0f} s: {brief}", flush=True)
    print(f"{len(names)} cases in {time.perf_counter() - start:.0f} s")
    return report(out, failed)


def report(out: Path, failed: dict[str, str]) -> int:
    from benchmarks import plots
    from benchmarks.bars import BARS, judge
    from benchmarks.cases import CASES
    from benchmarks.report import write
    from benchmarks.runner import read

    results = read(out, CASES)
    plots.draw_all(out, list(results.values()))
    path = write(out, results, failed)
    for bar in BARS:
        value, verdict = judge(bar, results)
        shown = "–" if value is None else f"{value:.3g}{bar.unit}"
        print(f"{bar.what} ({bar.at}): {bar.sense} {bar.limit:.3g}{bar.unit}, {shown}: {verdict}")
    print(path)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
