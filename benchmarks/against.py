"""Is this checkout slower than an old one? The same calls in both, in turn, in CPU seconds.

    git clone . build/before && git -C build/before checkout 2a98585
    python benchmarks/against.py build/before
    python benchmarks/against.py build/before --cases step lesions

One child a checkout, one thread each, both alive at once; while one computes the other waits. A
round is four blocks of equal calls, old new new old (and new old old new in the next), so that
what drifts on the machine meets both alike. A ratio is new / old within a round; the median
counts, with the 95 % interval that the ranks of the ratios give (sign test). Both sides also answer
with a number, which must be the same: else they did not compute the same thing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if Path(sys.path[0]).resolve() == ROOT / "benchmarks":  # run as a script
    sys.path[0] = str(ROOT)

from benchmarks.against_child import CASES  # noqa: E402
from benchmarks.harness import median  # noqa: E402
from benchmarks.machine import commit_of, describe  # noqa: E402

LIMIT = 1.05  # no case slower than before by more than this
BLOCK = 0.1  # CPU seconds that a block of calls lasts at least
SAME = 1e-4  # relative difference of the two answers that counts as rounding


class Child:
    """A checkout's process, waiting for orders."""

    def __init__(self, checkout: Path) -> None:
        ours = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks" / "against_child.py")],
            cwd=checkout,
            env={**ours, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **order: Any) -> dict[str, float]:
        """Seconds and answer of ``calls`` calls.

        Raises:
            RuntimeError: If the child has died; what it said is on stderr.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            print(json.dumps(order), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"child: expected an answer to {order}, got none")
        return json.loads(line)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the median from the ranks alone; the whole range below six values."""
    ordered, n = sorted(ratios), len(ratios)
    tail, cut = 0.0, 0
    while True:  # cut values at each end with P(fewer than cut on one side) <= 2.5 %
        tail += math.comb(n, cut) / 2**n
        if tail > 0.025:
            break
        cut += 1
    cut = max(0, cut - 1)
    return ordered[cut], ordered[n - 1 - cut]


def compare(
    name: str, old: Child, new: Child, budget: float, rounds: tuple[int, int], changed: Any
) -> dict[str, Any]:
    """Ratios of one case: at least and at most so many rounds, about ``budget`` CPU seconds."""
    first = {c: c.ask(case=name, changed=changed, calls=1) for c in (old, new)}
    once = {c: c.ask(calls=1) for c in (old, new)}
    calls = math.ceil(BLOCK / max(once[old]["seconds"], 1e-6))
    for c in (old, new):  # warm
        c.ask(calls=calls)
    each = 4 * max(once[old]["seconds"], once[new]["seconds"]) * calls
    count = min(rounds[1], max(rounds[0], int(budget / each)))
    samples: list[tuple[float, float]] = []
    for k in range(count):
        spent = {old: 0.0, new: 0.0}
        order = (old, new, new, old) if k % 2 == 0 else (new, old, old, new)
        for child in order:
            spent[child] += child.ask(calls=calls)["seconds"] / (2 * calls)
        samples.append((spent[old], spent[new]))
    ratios = [b / a for a, b in samples]
    low, high = interval(ratios)
    answers = first[old]["answer"], first[new]["answer"]
    return {
        "case": name,
        "ratio": median(ratios),
        "low": low,
        "high": high,
        "old_ms": 1e3 * median([a for a, _ in samples]),
        "new_ms": 1e3 * median([b for _, b in samples]),
        "rounds": count,
        "calls": calls,
        "ratios": [round(r, 4) for r in ratios],
        "same_answer": abs(answers[0] - answers[1]) <= SAME * abs(answers[0]),
        "answers": answers,
    }


def verdict(row: Mapping[str, Any]) -> str:
    """What a row says of the limit."""
    if not row["same_answer"]:
        return "**answers differ**"
    if row["low"] > LIMIT:
        return "**slower**"
    return "met" if row["ratio"] <= LIMIT else "**above, not surely**"


def markdown(found: Mapping[str, Any]) -> str:
    """The whole report."""
    machine = found["machine"]
    lines = [
        "# Before and after",
        "",
        f"Commit {machine['commit']} against {found['old_commit']}, by `benchmarks/against.py`: "
        f"CPU seconds, one thread, {machine['cpu']}, {machine['cores']} cores, shared with other "
        f"work (load average {machine['load_before'][0]:.1f} at the start), torch "
        f"{machine['versions']['torch']}. The ratio is the median of new / old within rounds; "
        "below 1 is faster. Limit: 1.05.",
        "",
        "| case | before, ms | now, ms | now / before | 95 % interval | rounds | limit |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['case']} | {r['old_ms']:.3g} | {r['new_ms']:.3g} | {r['ratio']:.3f} "
        f"| {r['low']:.3f}–{r['high']:.3f} | {r['rounds']} | {verdict(r)} |"
        for r in found["rows"]
    ]
    if found["note"]:
        lines += ["", found["note"]]
    return "\n".join(lines) + "\n"


NOTE = (
    "The old checkout kept gates and graphs of an evaluated circuit in a hidden cache. Today a "
    "plain call `model(batch)` makes them anew, and `model(batch, circuit=model.prepare())` does "
    "what it did: compare that. Scoring, probing and lesions prepare once."
)


def against(
    checkout: Path,
    names: Sequence[str],
    budget: float,
    rounds: tuple[int, int],
    changed: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Compare the named cases; ``changed`` replaces sizes of each."""
    machine, rows = describe(1, 0), []
    with Child(checkout) as old, Child(ROOT) as new:
        for name in names:
            rows.append(compare(name, old, new, budget, rounds, dict(changed or {})))
            r = rows[-1]
            shown = f"{r['ratio']:.3f} ({r['low']:.3f} to {r['high']:.3f})"
            print(f"{name}: {shown}, {r['new_ms']:.3g} ms, {verdict(r)}", flush=True)
    note = NOTE if any("plain" in name for name in names) else ""
    return {"machine": machine, "old_commit": commit_of(checkout), "note": note, "rows": rows}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=Path, help="an old checkout")
    parser.add_argument("--cases", nargs="+", help="cases whose names contain one of these")
    parser.add_argument("--budget", type=float, default=6.0, help="CPU seconds a case, about")
    parser.add_argument("--rounds", type=int, nargs=2, default=(8, 30), help="at least, at most")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    given = parser.parse_args()
    if not (given.checkout / "nacgraph").is_dir():
        parser.error(f"checkout: expected a checkout of nacgraph, got {given.checkout}")
    names = [n for n in CASES if not given.cases or any(part in n for part in given.cases)]
    if not names:
        parser.error(f"--cases: expected parts of {', '.join(CASES)}, got {given.cases}")
    found = against(given.checkout.resolve(), names, given.budget, tuple(given.rounds))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "against.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    (given.out / "against.md").write_text(markdown(found), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
