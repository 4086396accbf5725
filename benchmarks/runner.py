"""Runs cases in fresh processes, and writes what they found as JSON."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.harness import Case, figures, measure_time
from benchmarks.machine import ROOT, Peak, bound_memory, describe

BENCH = ROOT / "benchmarks" / "bench.py"
FORMAT = 1
START = 6.0  # seconds to start a process: imports, building, warming up
REQUIRED = (
    "format",
    "name",
    "title",
    "quick",
    "machine",
    "contenders",
    "points",
    "figures",
    "seconds",
)


class BenchmarkError(RuntimeError):
    """A worker that failed: what it said last."""


def run_case(
    case: Case, quick: bool, threads: int, seed: int, hurry: float = 1.0
) -> dict[str, Any]:
    """Measure one case; the record that :func:`write` writes.

    Args:
        case: At full size.
        quick: Take its small sizes.
        threads: Threads of every worker.
        seed: Of inputs, weights and noise.
        hurry: Factor of its time budget; the fewest rounds are measured even at 0.

    Raises:
        BenchmarkError: If a worker fails or takes far longer than its budget.
    """
    start, machine = time.perf_counter(), describe(threads, seed)
    if quick:
        case = quicker(case)
    points = []
    for point in case.points:
        order = {
            "case": case.name,
            "quick": quick,
            "point": dict(point),
            "seed": seed,
            "budget": hurry * case.budget,
        }
        limit = 180 + 10 * case.budget  # a busy machine is no failure
        sizes = {**case.sizes, **point}
        found: dict[str, Any] = {"sizes": sizes, "memory": {}, "notes": {}}
        alone = case.timed and len(case.contenders) == 1
        if case.timed:  # one contender alone: the memory of its first calls, then its time
            found.update(_work({**order, "time": True, "memory": alone}, threads, limit))
        for name in () if alone else case.memory:
            answer = _work({**order, "memory": True, "only": name}, threads, limit)
            found["memory"] |= answer["memory"]
            found["notes"] = {**answer["notes"], **found["notes"]}
        points.append(found)
    seconds = time.perf_counter() - start
    return record(case, quick, machine, points, seconds)


def record(
    case: Case,
    quick: bool,
    machine: Mapping[str, Any],
    points: Sequence[Mapping[str, Any]],
    seconds: float,
) -> dict[str, Any]:
    """What is known of a case once all its points are measured."""
    paired = case.pairs and len(points) == 1
    found = figures(points[0], case.contenders[0]) if paired else {}
    if case.metrics is not None:
        found |= case.metrics(points)
    return {
        "format": FORMAT,
        "name": case.name,
        "title": case.title,
        "quick": quick,
        "machine": dict(machine),
        "contenders": list(case.contenders),
        "calls": case.calls,
        "points": [dict(point) for point in points],
        "figures": found,
        "seconds": round(seconds, 1),
    }


def planned(case: Case, quick: bool) -> float:
    """About how many seconds a case takes: its budget, and what it costs to start processes."""
    case = quicker(case) if quick else case
    timed = len(case.points) if case.timed else 0
    alone = case.timed and len(case.contenders) == 1
    processes = timed + (0 if alone else len(case.memory) * len(case.points))
    return case.budget * timed + START * processes


def quicker(case: Case) -> Case:
    """The same comparison at small sizes, and memory only where a bar is about it."""
    return replace(
        case,
        sizes={**case.sizes, **case.quick},
        points=case.quick_points or case.points,
        budget=min(2.0, case.budget / 4),
        rounds=(2, 5),
        memory=case.memory if case.barred_memory else (),
    )


def write(folder: Path, result: Mapping[str, Any]) -> Path:
    """``folder/NAME.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['name']}.json"
    path.write_text(json.dumps(_rounded(result), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path


def read(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Name → result, of those of the named cases that have one in a folder.

    Raises:
        ValueError: If one of them lacks a field.
    """
    found = {}
    for path in (folder / f"{name}.json" for name in names):
        if not path.is_file():
            continue
        result = json.loads(path.read_text("utf-8"))
        missing = [key for key in REQUIRED if key not in result]
        if missing:
            raise ValueError(f"{path.name}: expected {', '.join(REQUIRED)}, got no {missing[0]}")
        found[result["name"]] = result
    return found


def _rounded(value: Any) -> Any:
    """Numbers to four digits: what lies beyond is noise, and differs from run to run."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


# In the fresh process


def work(order: Mapping[str, Any], case: Case) -> dict[str, Any]:
    """Measure memory of one contender, or time of all, or both of the only one, as ordered."""
    with contextlib.suppress(OSError, ValueError):
        bound_memory()
    if order["quick"]:
        case = quicker(case)
    sizes = {**case.sizes, **order["point"], "seed": order["seed"]}
    found: dict[str, Any] = {}
    want = (order["only"],) if order.get("only") else case.contenders
    if order.get("memory"):
        for part in _parts(case, want, {**sizes, **case.warm}):
            part()
        gc.collect()
    built = case.build(want, **sizes)
    if order.get("memory"):
        parts = built.contenders[want[0]].values()
        gc.collect()
        peak = Peak()
        for _ in range(case.calls):
            for part in parts:
                part()
        found |= {"memory": {want[0]: peak.growth()}, "notes": dict(built.notes)}
    if order.get("time"):
        found |= measure_time(built, order["budget"], case.rounds)
    return found


def _parts(case: Case, want: tuple[str, ...], sizes: Mapping[str, Any]) -> list[Any]:
    built = case.build(want, **sizes)
    return [part for name in want for part in built.contenders[name].values()]


def _work(order: Mapping[str, Any], threads: int, limit: float) -> dict[str, Any]:
    environment = {
        **os.environ,
        **dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"),
            str(threads),
        ),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        command = [sys.executable, str(BENCH), "--worker", json.dumps(order), "--out", str(path)]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit
            )
        except subprocess.TimeoutExpired:
            raise BenchmarkError(
                f"{order['case']} {order['point']}: not done in {limit:.0f} s"
            ) from None
        if done.returncode or not path.is_file():
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise BenchmarkError(f"{order['case']} {order['point']}: " + " | ".join(lines[-3:]))
        return json.loads(path.read_text("utf-8"))
