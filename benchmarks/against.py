"""Is this checkout slower than an old one? The same calls in both, in turn, in CPU seconds.

    git clone . build/before && git -C build/before checkout 2a98585
    python benchmarks/against.py build/before
    python benchmarks/against.py build/before --cases step lesions

One child a checkout, one thread each, both alive at once; while one computes the other waits. A
round is four blocks of equal calls, old new new old (and new old old new in the next), so that
what drifts on the machine meets both alike. A ratio is new / old within a round. Where a process
happens to have its memory alone moves a case by up to 20 %, so several pairs of children are
measured, one after the other. The median of all ratios counts; its 95 % interval is a bootstrap
over pairs and over rounds within them. Both sides also answer with a number, which must be the
same: else they did not compute the same thing.
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

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if Path(sys.path[0]).resolve() == ROOT / "benchmarks":  # run as a script
    sys.path[0] = str(ROOT)

from benchmarks.against_child import CASES  # noqa: E402
from benchmarks.harness import median  # noqa: E402
from benchmarks.machine import commit_of, describe  # noqa: E402

LIMIT = 1.05  # no case slower than before by more than this
BLOCK = 0.1  # CPU seconds that a block of calls lasts at least
DRAWS = 1000  # of the bootstrap
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


def interval(pairs: Sequence[Sequence[float]]) -> tuple[float, float]:
    """95 % interval of the median ratio: pairs of children are drawn anew, then their rounds."""
    random = np.random.default_rng(0)
    medians = []
    for _ in range(DRAWS):
        chosen = [pairs[k] for k in random.integers(len(pairs), size=len(pairs))]
        medians.append(np.median(np.concatenate([random.choice(r, len(r)) for r in chosen])))
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def measure(
    name: str, old: Child, new: Child, budget: float, most: int, changed: Mapping[str, Any]
) -> dict[str, Any]:
    """Rounds of one case in one pair of children: about ``budget`` CPU seconds, at least four."""
    first = {c: c.ask(case=name, changed=changed, calls=1) for c in (old, new)}
    once = {c: c.ask(calls=1)["seconds"] for c in (old, new)}
    calls = math.ceil(BLOCK / max(once[old], 1e-6))
    for c in (old, new):
        c.ask(calls=calls)  # warm
    count = min(most, max(4, int(budget / (4 * max(once.values()) * calls))))
    rounds = []
    for k in range(count):
        spent = {old: 0.0, new: 0.0}
        for child in (old, new, new, old) if k % 2 == 0 else (new, old, old, new):
            spent[child] += child.ask(calls=calls)["seconds"] / (2 * calls)
        rounds.append((spent[old], spent[new]))
    return {"rounds": rounds, "answers": [first[old]["answer"], first[new]["answer"]]}


def summary(name: str, pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The row of a case, from what :func:`measure` found in each pair of children."""
    ratios = [[b / a for a, b in pair["rounds"]] for pair in pairs]
    low, high = interval(ratios)
    before, now = pairs[0]["answers"]
    return {
        "case": name,
        "ratio": median([r for pair in ratios for r in pair]),
        "low": low,
        "high": high,
        "old_ms": 1e3 * median([a for pair in pairs for a, _ in pair["rounds"]]),
        "new_ms": 1e3 * median([b for pair in pairs for _, b in pair["rounds"]]),
        "by_pair": [round(median(pair), 4) for pair in ratios],
        "rounds": sum(map(len, ratios)),
        "answers": [before, now],
        "same_answer": abs(before - now) <= SAME * abs(before),
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
        "| case | before, ms | now, ms | now / before | 95 % interval | by pair | limit |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in found["rows"]:
        pairs = ", ".join(f"{ratio:.2f}" for ratio in r["by_pair"])
        lines.append(
            f"| {r['case']} | {r['old_ms']:.3g} | {r['new_ms']:.3g} | {r['ratio']:.3f} "
            f"| {r['low']:.3f}–{r['high']:.3f} | {pairs} | {verdict(r)} |"
        )
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
    pairs: int,
    budget: float,
    most: int = 30,
    changed: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Compare the named cases.

    Args:
        checkout: The old one.
        names: Of :data:`benchmarks.against_child.CASES`.
        pairs: Pairs of children.
        budget: CPU seconds for each case in each pair, about.
        most: Rounds for each case in each pair, at most.
        changed: Sizes that differ from those of the cases.
    """
    machine = describe(1, 0)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for k in range(pairs):
        with Child(checkout) as old, Child(ROOT) as new:
            for name in names:
                found[name].append(measure(name, old, new, budget, most, changed or {}))
                ratio = median([b / a for a, b in found[name][-1]["rounds"]])
                print(f"pair {k + 1}, {name}: {ratio:.3f}", flush=True)
    note = NOTE if any("plain" in name for name in names) else ""
    rows = [summary(name, pairs) for name, pairs in found.items()]
    return {"machine": machine, "old_commit": commit_of(checkout), "note": note, "rows": rows}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=Path, help="an old checkout")
    parser.add_argument("--cases", nargs="+", help="cases whose names contain one of these")
    parser.add_argument("--pairs", type=int, default=3, help="pairs of children")
    parser.add_argument("--budget", type=float, default=3.0, help="CPU seconds a case and pair")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    given = parser.parse_args()
    if not (given.checkout / "nacgraph").is_dir():
        parser.error(f"checkout: expected a checkout of nacgraph, got {given.checkout}")
    names = [n for n in CASES if not given.cases or any(part in n for part in given.cases)]
    if not names:
        parser.error(f"--cases: expected parts of {', '.join(CASES)}, got {given.cases}")
    found = against(given.checkout.resolve(), names, given.pairs, given.budget)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "against.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(text := markdown(found))
    (given.out / "against.md").write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
