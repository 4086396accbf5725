"""One small picture for each case: bars of ratios, times and memory, or curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bars import BARS

Result = Mapping[str, Any]
OURS, RIVAL = "#2b6ca3", "#b9b9b9"


def draw(folder: Path, result: Result) -> Path:
    """``folder/NAME.png``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    points = result["points"]
    panels: list[Any] = []
    if len(points) > 1 and all(point["memory"] for point in points):
        panels = [(_growth, "time"), (_growth, "memory")]
    elif "crossover" in " ".join(result["figures"]) or len(result["contenders"]) > 8:
        panels = [(_densities, "dense"), (_densities, "scatter")]
    else:
        if any(key.startswith("gflops/") for key in result["figures"]):
            panels.append((_bars, "GFLOP/s"))
        elif len(points[0].get("time", {})) > 1:
            panels.append((_bars, "times as long as ours"))
        if points[0].get("time"):
            panels.append((_bars, "seconds"))
        if points[0]["memory"]:
            panels.append((_bars, "peak MiB"))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(3.6 * len(panels), 2.4), squeeze=False, layout="constrained"
    )
    for ax, (panel, what) in zip(axes[0], panels, strict=True):
        panel(ax, result, what)
    figure.suptitle(result["title"] + (", quick" if result["quick"] else ""), fontsize=8)
    path = folder / f"{result['name']}.png"
    figure.savefig(path, dpi=90, metadata={"Software": None})
    plt.close(figure)
    return path


def _bars(ax: Any, result: Result, what: str) -> None:
    point, ours = result["points"][0], result["contenders"][0]
    if what == "GFLOP/s":
        values = {k[7:]: v for k, v in result["figures"].items() if k.startswith("gflops/")}
    elif what == "seconds":
        values = {name: found["wall"] for name, found in point["time"].items()}
    elif what == "peak MiB":
        values = {name: size / 2**20 for name, size in point["memory"].items()}
    else:
        values = {ours: 1.0} | {k: r["wall"]["median"] for k, r in point["ratios"].items()}
    names = list(values)
    ax.barh(names, list(values.values()), color=[OURS if n == ours else RIVAL for n in names])
    ax.invert_yaxis()
    ax.bar_label(ax.containers[0], fmt="%.3g", fontsize=7, padding=2)
    ax.margins(x=0.25)
    for bar in BARS:  # where the rival's bar must reach to
        if (bar.case, bar.figure.split("/")[0]) == (result["name"], "speedup") and "times" in what:
            ax.axvline(bar.limit, color="#c44", linestyle="--", linewidth=1)
    _style(ax, what)


def _growth(ax: Any, result: Result, what: str) -> None:
    ours = result["contenders"][0]
    sizes = [point["sizes"]["modules"] for point in result["points"]]
    if what == "time":
        values = [point["time"][ours]["wall"] for point in result["points"]]
    else:
        values = [point["memory"][ours] / 2**20 for point in result["points"]]
    ax.loglog(sizes, values, "o-", color=OURS, markersize=3)
    slope = result["figures"][f"{what} exponent, all"]
    upper = result["figures"][f"{what} exponent, upper half"]
    middle = len(sizes) // 2
    fitted = [values[middle] * (size / sizes[middle]) ** slope for size in sizes]
    label = f"U^{slope:.2f} (upper half {upper:.2f})"
    ax.loglog(sizes, fitted, "--", color=RIVAL, label=label)
    ax.set_xticks(sizes, [str(size) for size in sizes], fontsize=6)
    ax.minorticks_off()
    ax.legend(fontsize=7, frameon=False)
    ax.set_xlabel("modules", fontsize=7)
    _style(ax, "seconds a step" if what == "time" else "peak MiB")


def _densities(ax: Any, result: Result, what: str) -> None:
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for name, value in result["figures"].items():
        if name.startswith(f"{what}/fused"):
            _, _, size, density, _ = name.split(" ")
            x, y = curves.setdefault(f"U {size}", ([], []))
            x.append(float(density))
            y.append(value)
    for label, (x, y) in curves.items():
        ax.loglog(x, y, "o-", markersize=3, label=label)
    ax.axhline(1, color="#c44", linestyle="--", linewidth=1)
    ax.legend(fontsize=7, frameon=False)
    ax.set_xlabel("% of links", fontsize=7)
    _style(ax, f"{what} / fused, time")


def _style(ax: Any, title: str) -> None:
    ax.set_title(title, fontsize=8)
    ax.tick_params(labelsize=7)
    ax.spines[["top", "right"]].set_visible(False)


def draw_all(folder: Path, results: Sequence[Result]) -> None:
    """The pictures of these results."""
    for result in results:
        draw(folder, result)
