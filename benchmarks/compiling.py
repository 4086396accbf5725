"""What torch.compile brings in evaluation, beside a prepared circuit and a frozen one.

    python benchmarks/compiling.py --out benchmarks/results

Ways to answer the same batch take turns in one process, one thread, in CPU seconds; a ratio is
that to the plain call ``model(batch)`` within a round, and the median counts. All run without
gradients and on dense attention, which is what a compiler is given. A compiler may change every
answer by rounding: the largest difference of a logit is shown.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if Path(sys.path[0]).resolve() == ROOT / "benchmarks":  # run as a script
    sys.path[0] = str(ROOT)

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.against_child import preset  # noqa: E402
from benchmarks.harness import median  # noqa: E402
from benchmarks.machine import describe  # noqa: E402
from nacgraph.export.freeze import freeze  # noqa: E402
from nacgraph.models.nac import NAC  # noqa: E402
from nacgraph.tasks import Batch  # noqa: E402

MODELS = {
    "tiny": ("tiny", []),
    "small": ("small", []),
    "256 modules": ("tiny", ["--modules=256", "--prior=none"]),
}
PLAIN, PREPARED, FROZEN = "plain call", "prepared", "frozen"
COMPILED, COMPILED_FROZEN = "compiled", "frozen and compiled"


def ways(model: NAC, batch: Batch) -> tuple[dict[str, Callable[[], Tensor]], dict[str, float]]:
    """How to get the logits of a batch, and the CPU seconds that compiling each way took."""
    prepared, frozen = model.prepare(), freeze(model)
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True)
    compiled_frozen = torch.compile(frozen, fullgraph=True)
    calls: dict[str, Callable[[], Tensor]] = {
        PLAIN: lambda: model(batch).logits,
        PREPARED: lambda: model(batch, circuit=prepared).logits,
        FROZEN: lambda: frozen(batch.inputs, batch.mask),
        COMPILED: lambda: compiled(batch).logits,
        COMPILED_FROZEN: lambda: compiled_frozen(batch.inputs, batch.mask),
    }
    seconds = {}
    for name, call in calls.items():
        start = time.process_time()
        call()
        seconds[name] = time.process_time() - start
    return calls, {name: seconds[name] for name in (COMPILED, COMPILED_FROZEN)}


def measure(name: str, size: int, rounds: int) -> list[dict[str, Any]]:
    """Rows of one model and batch size."""
    of, flags = MODELS[name]
    flags = ["--backend=dense", f"--batch_size={size}", *flags]
    _, task, model = preset(of, *flags)
    batch = next(iter(task.eval_batches("val"))).rows(slice(0, size))
    with torch.no_grad():
        calls, compiling = ways(model.eval(), batch)
        want = calls[PLAIN]()
        samples: dict[str, list[float]] = {way: [] for way in calls}
        for _ in range(rounds):
            for way, call in calls.items():
                start = time.process_time()
                call()
                samples[way].append(time.process_time() - start)
        return [
            {
                "model": name,
                "batch": size,
                "length": int(batch.inputs.shape[1]),
                "way": way,
                "ms": 1e3 * median(samples[way]),
                "ratio": median([a / b for a, b in zip(samples[way], samples[PLAIN], strict=True)]),
                "compile_seconds": compiling.get(way),
                "largest_difference": float((call() - want).abs().max()),
            }
            for way, call in calls.items()
        ]


def markdown(found: Mapping[str, Any]) -> str:
    """The table."""
    machine = found["machine"]
    lines = [
        f"{machine['cpu']}, one thread, torch {machine['versions']['torch']}, dense attention, "
        f"median of {found['rounds']} rounds, CPU time; commit {machine['commit']}.",
        "",
        "| model | batch × length | way | ms a call | to the plain call | CPU seconds to compile |",
        "|---|---|---|---|---|---|",
    ]
    for r in found["rows"]:
        compiling = "" if r["compile_seconds"] is None else f"{r['compile_seconds']:.0f}"
        lines.append(
            f"| {r['model']} | {r['batch']} × {r['length']} | {r['way']} | {r['ms']:.3g} "
            f"| {r['ratio']:.2f} | {compiling} |"
        )
    worst = max(r["largest_difference"] for r in found["rows"])
    return "\n".join([*lines, "", f"Largest difference of a logit: {worst:.1g}."]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {"machine": describe(1, 0), "rounds": given.rounds, "rows": []}
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.models:
        for size in given.batch:
            found["rows"] += measure(name, size, given.rounds)
            (given.out / "compiling.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
            (given.out / "compiling.md").write_text(markdown(found), "utf-8")
            print(f"{name}, batch {size}: done", flush=True)
    print(markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
