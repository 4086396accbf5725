"""NAC and Perceiver IO on every modality, on real data: the tables of docs/modalities.md.

    python benchmarks/modalities.py --data FOLDER --fashion FOLDER --runs FOLDER --jobs 2

Every cell is ``nacgraph train`` at preset ``small``, as the command that is printed and kept in
results/modalities.json; then come ``renditions``, ``fewshot`` and ``embed`` of these runs. What is
finished is not run again, so that it can be interrupted.
FOLDER of ``--data`` holds movie_snippets.tsv and kicad_points.npz, that of ``--fashion`` the IDX
files of Fashion-MNIST.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nacgraph.sweep import tables
from nacgraph.utils.stats import paired_difference

HERE = Path(__file__).resolve().parent
SEEDS = (0, 1, 2)
TWO = {"nac": ["--model", "nac"], "perceiver_io": ["--model", "perceiver_io"]}
NLVR2 = {
    "nac, conditional": ["--model", "nac"],
    "nac": ["--model", "nac", "--condition", "none"],
    "perceiver_io": ["--model", "perceiver_io", "--condition", "none"],
}
AFTER = {  # name: command and its result, made of the runs of one seed
    "renditions": (["renditions", "images-nac-s{s}", "images-perceiver_io-s{s}", "--limit", "500"],
                   "renditions.json"),
    "fewshot": (["fewshot", "images-nac-s{s}", "--baseline", "images-perceiver_io-s{s}",
                 "--dataset", "embedded", "--ways", "8", "--shots", "1,2,4,8,16", "--episodes", "4",
                 "--adapt", "all", "--adapt", "head", "--seed", "{s}"], "fewshot.json"),
    "embed": (["embed", "nlvr2-nac-conditional-s{s}", "--color", "skill"], "embed.json"),
}  # fmt: skip
CELLS = {"text": TWO, "points": TWO, "images": TWO, "nlvr2": NLVR2}


def command(task: str, flags: list[str], seed: int, data: str | None) -> list[str]:
    """The training of one cell, without its folder."""
    where = [] if data is None else ["--data", data]
    return ["train", "--task", task, "--preset", "small", *flags, "--seed", str(seed), *where]


def run(folder: Path, words: list[str]) -> None:
    """Train one cell, unless it is finished; its output goes to a file beside it."""
    if (folder / "summary.json").is_file():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_suffix(".log")
    again = ["--resume", "auto"] if folder.exists() else []
    print(f"{folder.name}: nacgraph {shlex.join(words)}", flush=True)
    with open(log, "a", encoding="utf-8") as out:
        subprocess.run(
            [sys.executable, "-m", "nacgraph", *words, "--out", str(folder), *again],
            stdout=out,
            stderr=out,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def then(runs: Path, name: str, seed: int) -> None:
    """One command after the trainings, in the folder of the runs, unless its result is there."""
    words, result = AFTER[name]
    out = f"{name}-s{seed}"
    if (runs / out / result).is_file():
        return
    words = [word.format(s=seed) for word in words] + ["--threads", "1", "--out", out]
    print(f"nacgraph {shlex.join(words)}", flush=True)
    with open(runs / f"{out}.log", "a", encoding="utf-8") as log:
        subprocess.run(
            [sys.executable, "-m", "nacgraph", *words],
            cwd=runs,
            stdout=log,
            stderr=log,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def results(runs: Path, name: str) -> list[dict]:
    """Results of a command on the trained runs, one per seed."""
    files = [runs / f"{name}-s{seed}" / AFTER[name][1] for seed in SEEDS]
    return [json.loads(file.read_text("utf-8")) for file in files if file.is_file()]


def renditions_table(found: list[dict]) -> list[str]:
    """Accuracy on renditions: mean ± standard deviation over seeds, and the paired difference."""
    lines = [
        "| rendition | nac % | perceiver_io % | difference, points (95 % over seeds) |",
        "|---|---|---|---|",
    ]
    names = list(found[0]["runs"][0]["means"])

    def value(run: dict, name: str) -> float:
        if name in ("clean", "mean"):
            return run["mean"] if name == "mean" else run["clean"]["accuracy"]
        return run["means"][name]

    for name in ("clean", *names, "mean"):
        one, other = ([value(f["runs"][k], name) for f in found] for k in (0, 1))
        shown = f"| {mean_sd(one)} | {mean_sd(other)} | {paired(one, other)} |"
        lines.append(f"| {name} {shown}")
    return lines


def fewshot_table(found: list[dict]) -> list[str]:
    """Accuracy by shots: mean over seeds of the mean over episodes ± deviation over seeds."""
    lines = [
        "| adapt | shots | nac % | perceiver_io % | difference, points (95 % over seeds) |",
        "|---|---|---|---|---|",
    ]
    places = [{(p["adapt"], p["shots"], p["model"]): p["mean"] for p in f["series"]} for f in found]
    models = list(dict.fromkeys(key[2] for key in places[0]))
    for adapt, shots in dict.fromkeys(key[:2] for key in places[0]):
        one, other = ([place[adapt, shots, m] for place in places] for m in models)
        shown = f"{mean_sd(one)} | {mean_sd(other)} | {paired(one, other)} |"
        lines.append(f"| {adapt} | {shots} | {shown}")
    return lines


def mean_sd(values: list[float]) -> str:
    """``46.2 ± 0.8``, in percent."""
    return tables.mean_sd(values, 100)


def paired(one: list[float], other: list[float]) -> str:
    """Mean difference over seeds, and its 95 % interval by Student's t, in points."""
    found = paired_difference(one, other)
    if found.ci95 is None or found.n < 3:
        return f"{100 * found.mean:+.1f}"
    low, high = found.ci95
    return f"{100 * found.mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def main() -> int:
    """Train what is not trained yet, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fashion", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--tasks", default=",".join(CELLS))
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    data = {
        "text": arguments.data / "movie_snippets.tsv",
        "points": arguments.data / "kicad_points.npz",
        "images": arguments.fashion,
    }
    work = []
    for seed in SEEDS:  # all of seed 0 first, so that an early end has a whole table
        for task in arguments.tasks.split(","):
            for name, flags in CELLS[task].items():
                folder = arguments.runs / f"{task}-{name.replace(', ', '-')}-s{seed}"
                path = data.get(task)
                words = command(task, flags, seed, None if path is None else str(path))
                work.append((task, name, seed, folder, words))
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda cell: run(cell[3], cell[4]), work))
        after = [(name, seed) for name in AFTER for seed in SEEDS]
        list(pool.map(lambda each: then(arguments.runs.resolve(), *each), after))
    rows = []
    for task, name, seed, folder, words in work:
        if not (folder / "summary.json").is_file():
            print(f"not finished: {folder}", file=sys.stderr)
            continue
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        kept = (
            "val_accuracy",
            "test_accuracy",
            "test_n",
            "majority_accuracy",
            "seconds",
            "parameters",
            "steps",
            "prior_loss",
            "mean_degree",
        )
        shown = [word for word in words if "/" not in word]
        rows.append(
            {
                "task": task,
                "model": name,
                "seed": seed,
                "command": shlex.join(shown),
                "data": Path(words[-1]).name if task in data else "generated",
                **{key: summary.get(key) for key in kept},
            }
        )
    out = HERE / "results" / "modalities.json"
    old = json.loads(out.read_text("utf-8")) if out.is_file() else []
    mine = {(row["task"], row["model"], row["seed"]) for row in rows}
    rows += [row for row in old if (row["task"], row["model"], row["seed"]) not in mine]
    rows.sort(key=lambda row: (list(CELLS).index(row["task"]), row["model"], row["seed"]))
    out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    parts = [table(rows)]
    if found := results(arguments.runs, "renditions"):
        parts.append(renditions_table(found))
    if found := results(arguments.runs, "fewshot"):
        parts.append(fewshot_table(found))
    text = "\n\n".join("\n".join(part) for part in parts)
    (HERE / "results" / "modalities.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def table(rows: list[dict]) -> list[str]:
    """One line a task and model: mean ± standard deviation over seeds."""
    lines = [
        "| task | model | validation % | test % | majority % | to perceiver_io, test points (95 %) "
        "| parameters | minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task in CELLS:
        for name in CELLS[task]:
            mine = [row for row in rows if (row["task"], row["model"]) == (task, name)]
            rival = {
                r["seed"]: r["test_accuracy"]
                for r in rows
                if (r["task"], r["model"]) == (task, "perceiver_io")
            }
            if not mine:
                continue
            shared = [row for row in mine if row["seed"] in rival]
            gap = (
                ""
                if name == "perceiver_io" or not shared
                else paired(
                    [row["test_accuracy"] for row in shared], [rival[row["seed"]] for row in shared]
                )
            )
            lines.append(
                f"| {task} | {name} | {mean_sd([row['val_accuracy'] for row in mine])} "
                f"| {mean_sd([row['test_accuracy'] for row in mine])} "
                f"| {100 * mine[0]['majority_accuracy']:.1f} | {gap} "
                f"| {mine[0]['parameters']:,} "
                f"| {statistics.mean(row['seconds'] for row in mine) / 60:.1f} |"
            )
    return lines


if __name__ == "__main__":
    sys.exit(main())
