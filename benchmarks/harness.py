"""Timing and memory of contenders: what a case is, how it is run, what comes out.

A case names contenders, ours first, and builds them from sizes. All are timed in one fresh
process, in turn (A B A B …), after a warm-up of each. A ratio is taken within each round, since
what disturbs the machine then disturbs both, and the median counts. Peak memory is that of one
contender alone in a further fresh process, above what the process held before the call.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Part = Callable[[], Any]
SAMPLE = 0.05  # seconds that a sample lasts at least, by repeating short calls


@dataclass(frozen=True)
class Built:
    """Contenders made ready.

    Attributes:
        contenders: Name → its parts in order, e.g. forward, backward, optimizer.
        notes: What was built, for the record: densities, FLOPs.
        after: Called once when all is timed, with the last answer of every contender's last
            part; returns further notes: whether answers agree, what losses were reached.
    """

    contenders: Mapping[str, Mapping[str, Part]]
    notes: Mapping[str, Any] = field(default_factory=dict)
    after: Callable[[dict[str, Any]], dict[str, Any]] | None = None


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        name: Name of its results.
        title: What is compared, for the table.
        build: ``build(want, **sizes)`` makes the contenders whose names are in ``want``.
        contenders: All names, ours first.
        sizes: Sizes of the full run.
        quick: What differs in the quick run.
        warm: What differs in the small call that loads and compiles code before memory is measured.
        memory: Contenders whose memory is measured.
        timed: Whether time is measured.
        points: What differs from point to point; each is measured in processes of its own.
        quick_points: The points of the quick run.
        calls: Calls whose peak counts (a training step has its optimizer state from the second).
        budget: Seconds of timing, for each point.
        rounds: Rounds at least, even beyond the budget, and at most.
        metrics: Makes the figures that bars refer to from the measured points.
        barred_memory: Memory is measured in the quick run too.
        beside: No bar is about it; the quick run leaves it out.
        pairs: Whether ours over each of the others means anything.
    """

    name: str
    title: str
    build: Callable[..., Built]
    contenders: tuple[str, ...]
    sizes: Mapping[str, Any]
    quick: Mapping[str, Any]
    warm: Mapping[str, Any]
    memory: tuple[str, ...] = ()
    timed: bool = True
    points: tuple[Mapping[str, Any], ...] = ({},)
    quick_points: tuple[Mapping[str, Any], ...] | None = None
    calls: int = 1
    budget: float = 15.0
    rounds: tuple[int, int] = (3, 15)
    metrics: Callable[[Sequence[Mapping[str, Any]]], dict[str, float]] | None = None
    barred_memory: bool = False
    beside: bool = False
    pairs: bool = True


def measure_time(built: Built, budget: float, rounds: tuple[int, int]) -> dict[str, Any]:
    """Time all contenders in turn until the budget is spent; see :func:`summary`."""
    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in built.contenders}
    answers: dict[str, Any] = {}
    repeats = {}
    for name, parts in built.contenders.items():
        took = _sample(parts, 1)[0]["wall"]  # loads and compiles
        if took < 1:
            took = _sample(parts, 1)[0]["wall"]
        repeats[name] = max(1, min(50, math.ceil(SAMPLE / max(took, 1e-9))))
    gc.collect()
    gc.freeze()  # what lives by now is not looked through again
    start, done, longest = time.perf_counter(), 0, 0.0
    while done < rounds[1]:
        spent = time.perf_counter() - start
        if done >= rounds[0] and spent + longest > budget:
            break
        gc.collect()
        gc.disable()
        for name, parts in built.contenders.items():
            sample, answers[name] = _sample(parts, repeats[name])
            samples[name].append(sample)
        gc.enable()
        longest = max(longest, time.perf_counter() - start - spent)
        done += 1
    notes = built.after(answers) if built.after else {}
    return {**summary(samples), "repeats": repeats, "notes": {**built.notes, **notes}}


def _sample(parts: Mapping[str, Part], repeats: int) -> tuple[dict[str, Any], Any]:
    """Seconds of one call, mean of ``repeats``: wall and CPU in all, wall by part."""
    walls = dict.fromkeys(parts, 0.0)
    answer: Any = None
    cpu = time.process_time()
    for _ in range(repeats):
        for name, part in parts.items():
            start = time.perf_counter()
            answer = part()
            walls[name] += time.perf_counter() - start
    cpu = time.process_time() - cpu
    parted = {name: wall / repeats for name, wall in walls.items()}
    return {"wall": sum(parted.values()), "cpu": cpu / repeats, "parts": parted}, answer


def summary(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Medians of every contender, and of each rival the ratio rival / ours within each round.

    Args:
        samples: Name → one sample a round (``wall``, ``cpu``, ``parts``), ours first.
    """
    ours, *rivals = samples
    times = {
        name: {
            "wall": median([s["wall"] for s in found]),
            "cpu": median([s["cpu"] for s in found]),
            "parts": {
                part: median([s["parts"][part] for s in found]) for part in found[0]["parts"]
            },
            "walls": [s["wall"] for s in found],
        }
        for name, found in samples.items()
    }
    ratios: dict[str, Any] = {}
    for rival in rivals:
        pairs = list(zip(samples[rival], samples[ours], strict=True))
        ratios[rival] = {k: spread([b[k] / a[k] for b, a in pairs]) for k in ("wall", "cpu")}
        shared = [part for part in pairs[0][0]["parts"] if part in pairs[0][1]["parts"]]
        ratios[rival]["parts"] = {
            part: spread([b["parts"][part] / a["parts"][part] for b, a in pairs]) for part in shared
        }
    return {"rounds": len(samples[ours]), "time": times, "ratios": ratios}


def median(values: Sequence[float]) -> float:
    """Middle value; of an even number, the mean of the middle two."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("values: expected at least one, got none")
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and largest."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """b of values ≈ a·sizes^b, by least squares of logarithms.

    Raises:
        ValueError: If there are fewer than two different sizes, or a number is not positive.
    """
    if len(set(sizes)) < 2 or len(sizes) != len(values) or min(*sizes, *values) <= 0:
        raise ValueError(
            f"sizes, values: expected positive pairs of two sizes or more, got {sizes}, {values}"
        )
    x, y = [math.log(s) for s in sizes], [math.log(v) for v in values]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return slope / sum((a - mean_x) ** 2 for a in x)


def figures(point: Mapping[str, Any], ours: str) -> dict[str, float]:
    """The figures of one measured point, by the names under which bars know them.

    ``speedup/RIVAL`` is the rival's time over ours, ``share/RIVAL`` ours over the rival's (both by
    the wall; ``…_cpu`` by CPU time), ``memory_share/RIVAL`` our peak over the rival's.
    """
    found: dict[str, float] = {}
    for rival, ratio in point.get("ratios", {}).items():
        for kind, key in (("", "wall"), ("_cpu", "cpu")):
            found[f"speedup{kind}/{rival}"] = ratio[key]["median"]
            found[f"share{kind}/{rival}"] = 1 / ratio[key]["median"]
    memory = point.get("memory", {})
    for name, size in memory.items():
        found[f"peak_mib/{name}"] = size / 2**20
        if name != ours and ours in memory:
            found[f"memory_share/{name}"] = memory[ours] / max(1, size)
    return found
