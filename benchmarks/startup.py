"""CPU seconds until a command has answered, and until training has done its first step.

    python benchmarks/startup.py build/before

Here and in an old checkout, in turn, each call a process of its own with one thread. Bytecode,
compiled kernels and generated data are there already: one call of each goes before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if Path(sys.path[0]).resolve() == ROOT / "benchmarks":  # run as a script
    sys.path[0] = str(ROOT)

from benchmarks.harness import median  # noqa: E402
from benchmarks.machine import commit_of, describe  # noqa: E402

COMMANDS = ("--help", "train --help", "train --stpes 3", "analyze --help")
FIRST_STEP = """
import builtins, importlib, json, os, sys, time

importing, spent = 0, 0.0
def timed(function):
    def outer(*args, **kwargs):
        global importing, spent
        start, importing = time.process_time(), importing + 1
        try:
            return function(*args, **kwargs)
        finally:
            importing -= 1
            if importing == 0:
                spent += time.process_time() - start
    return outer
builtins.__import__ = timed(builtins.__import__)
importlib.import_module = timed(importlib.import_module)

from torch.optim.optimizer import register_optimizer_step_post_hook

def stop(*_):
    frame = sys._getframe()
    while frame is not None and "pytorch_lightning" not in frame.f_code.co_filename:
        frame = frame.f_back
    if frame is None:  # a trial, not a step of the run
        return
    with open(sys.argv[1], "w") as file:
        json.dump({"seconds": time.process_time(), "imports": spent}, file)
    os._exit(0)

register_optimizer_step_post_hook(stop)
from nacgraph.__main__ import main
main(["train", "--threads=1", f"--out={sys.argv[2]}"])
"""


def cpu(words: Sequence[str], checkout: Path) -> float:
    """User and system seconds of a Python process."""
    mine = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    child = subprocess.Popen(
        [sys.executable, *words],
        cwd=checkout,
        env={**mine, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, _, used = os.wait4(child.pid, 0)
    child.returncode = 0  # waited for above
    return used.ru_utime + used.ru_stime


def first_step(checkout: Path, scratch: Path) -> dict[str, float]:
    """CPU seconds of ``nacgraph train`` (preset tiny) until its first step, and of its imports.

    Raises:
        FileNotFoundError: If it made no step.
    """
    said = scratch / "said.json"
    said.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as run:
        cpu(["-c", FIRST_STEP, str(said), f"{run}/run"], checkout)
    found = json.loads(said.read_text("utf-8"))
    return {
        "train, to the first step": found["seconds"],
        "of these, imports": found["imports"],
        "of these, all else": found["seconds"] - found["imports"],
    }


def once(checkout: Path, scratch: Path) -> dict[str, float]:
    """CPU seconds of everything, called once."""
    found = {c: cpu(["-m", "nacgraph", *c.split()], checkout) for c in COMMANDS}
    return {**found, **first_step(checkout, scratch)}


def markdown(found: Mapping[str, Any]) -> str:
    """The table."""
    machine = found["machine"]
    lines = [
        f"CPU seconds, median of {found['runs']}, one thread, {machine['cpu']}; commit "
        f"{found['old_commit']} and {machine['commit']}.",
        "",
        "| `nacgraph …` | before | now |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {old:.2f} | {new:.2f} |" for name, (old, new) in found["rows"].items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=Path, help="an old checkout")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    given = parser.parse_args()
    machine, sides = describe(1, 0), (given.checkout.resolve(), ROOT)
    samples: dict[Path, list[dict[str, float]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as scratch:
        for side in sides:
            once(side, Path(scratch))
        for _ in range(given.runs):
            for side in sides:
                samples[side].append(once(side, Path(scratch)))
    rows = {
        name: [median([sample[name] for sample in samples[side]]) for side in sides]
        for name in samples[ROOT][0]
    }
    found = {
        "machine": machine,
        "old_commit": commit_of(sides[0]),
        "runs": given.runs,
        "rows": rows,
        "samples": list(samples.values()),
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "startup.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    (given.out / "startup.md").write_text(text := markdown(found), "utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
