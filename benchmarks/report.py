"""The Markdown table of all results, one section and one plot for each case."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.bars import BARS, judge

Result = Mapping[str, Any]


def markdown(results: Mapping[str, Result], failed: Mapping[str, str] | None = None) -> str:
    """The whole report.

    Args:
        results: Name → record, as :func:`benchmarks.runner.read` gives them.
        failed: Name → what went wrong, of cases that gave no result this time.
    """
    lines = ["# Speed and memory", "", *_heading(results), "", *_bars(results), ""]
    for name, why in (failed or {}).items():
        lines += [f"`{name}` failed: {why}", ""]
    for result in results.values():
        lines += _section(result)
    return "\n".join(lines).rstrip() + "\n"


def _heading(results: Mapping[str, Result]) -> list[str]:
    lines = ["`make bench` makes this file (`make bench-quick`: small sizes, no bars)."]
    machines: dict[str, list[str]] = {}
    for name, result in results.items():
        machines.setdefault(_machine(result["machine"]), []).append(name)
    for machine, names in machines.items():
        of = "" if len(machines) == 1 else f" ({', '.join(names)})"
        lines.append(f"{machine}{of}.")
    loads = [result["machine"]["load_before"][0] for result in results.values()]
    if loads:
        lines.append(f"Load average before each case: {min(loads):.1f} to {max(loads):.1f}.")
    return [
        *lines,
        "",
        "A ratio is the median of ratios within rounds A B A B … in one process, by the wall "
        "clock; in brackets its range. Beside it, by CPU time of all threads. Memory is how far "
        "the peak of a fresh process rises above what it held before the call.",
    ]


def _machine(machine: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items() if v)
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"threads: {machine['threads']}; Python {machine['python']}, {versions}; "
        f"seed {machine['seed']}; commit {machine['commit'] or 'unknown'}"
    )


def _bars(results: Mapping[str, Result]) -> list[str]:
    lines = ["| what | at | bar | result | CPU time | |", "|---|---|---|---|---|---|"]
    for bar in BARS:
        value, verdict = judge(bar, results)
        found = cpu = "–"
        if value is not None:
            found = f"{number(value)}{bar.unit}{_range(bar.figure, results[bar.case])}"
            kind, _, rival = bar.figure.partition("/")
            by_cpu = results[bar.case]["figures"].get(f"{kind}_cpu/{rival}")
            cpu = cpu if by_cpu is None else f"{number(by_cpu)}{bar.unit}"
        limit = f"{bar.sense} {number(bar.limit)}{bar.unit}"
        lines.append(f"| {bar.what} | {bar.at} | {limit} | {found} | {cpu} | {verdict} |")
    return lines


def _range(figure: str, result: Result) -> str:
    kind, _, rival = figure.partition("/")
    ratio = result["points"][0].get("ratios", {}).get(rival)
    if ratio is None or kind not in ("speedup", "share"):
        return ""
    ends = (ratio["wall"]["min"], ratio["wall"]["max"])
    low, high = ends if kind == "speedup" else (1 / ends[1], 1 / ends[0])
    return f" ({number(low)}–{number(high)})"


def _section(result: Result) -> list[str]:
    name = result["name"]
    quick = ", quick" if result["quick"] else ""
    lines = [f"## {result['title']}{quick}", ""]
    if len(result["contenders"]) <= 8:
        lines += _table(result)
    others = {k: v for k, v in result["figures"].items() if "/" not in k or k.startswith("gflops")}
    pairs = {k: v for k, v in result["figures"].items() if k.startswith(("dense/", "scatter/"))}
    if pairs:
        lines += [*_grid(pairs), ""]
    if others:
        lines += [", ".join(f"{k} {number(v)}" for k, v in others.items()) + ".", ""]
    for point in result["points"]:
        notes = ", ".join(f"{k}: {_said(v)}" for k, v in point.get("notes", {}).items())
        if notes:
            lines += [f"{_sizes(result, point)}{notes}.", ""]
    return [*lines, f"![{name}]({name}.png)", ""]


def _table(result: Result) -> list[str]:
    first = "| | wall ms | CPU ms | parts, wall ms | peak MiB | rounds |"
    lines = [first, "|---|---|---|---|---|---|"]
    for point in result["points"]:
        for name in result["contenders"]:
            time = point.get("time", {}).get(name)
            wall = cpu = parts = "–"
            if time:
                wall, cpu = (number(1e3 * time[key]) for key in ("wall", "cpu"))
                parts = ", ".join(f"{k} {number(1e3 * v)}" for k, v in time["parts"].items())
            memory = point.get("memory", {}).get(name)
            peak = "–" if memory is None else number(memory / 2**20)
            row = f"{_sizes(result, point)}{name}"
            lines.append(
                f"| {row} | {wall} | {cpu} | {parts} | {peak} | {point.get('rounds', '–')} |"
            )
    calls = f"Peak over {result['calls']} calls." if result["calls"] > 1 else "Peak of one call."
    return [*lines, "", calls, ""]


def _grid(pairs: Mapping[str, float]) -> list[str]:
    """``dense/fused U 64 5 %`` and its like: densities down, sizes across."""
    cells: dict[str, dict[str, float]] = {}
    for name, value in pairs.items():
        kind, _, size, *density = name.split(" ")
        cells.setdefault(" ".join(density), {})[f"{kind}, U {size}"] = value
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    lines = ["| links | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for density, row in cells.items():
        shown = (number(row[c]) if c in row else "–" for c in columns)
        lines.append(f"| {density} | " + " | ".join(shown) + " |")
    return lines


def _sizes(result: Result, point: Result) -> str:
    return f"U {point['sizes']['modules']}, " if len(result["points"]) > 1 else ""


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{k} {_said(v)}" for k, v in value.items())
    return number(value) if isinstance(value, (int, float)) else str(value)


def number(value: float) -> str:
    """Three digits, without exponent where that is readable."""
    if value == 0 or 1e-3 <= abs(value) < 1e3:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) < 1e7 and abs(value) >= 1e3 else f"{value:.2e}"


def write(folder: Path, results: Mapping[str, Result], failed: Mapping[str, str]) -> Path:
    """``folder/speed.md``."""
    path = folder / "speed.md"
    path.write_text(markdown(results, failed), "utf-8")
    return path
