"""How well a trained model learns new classes from a few samples, beside a baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacgraph.fewshot.adapting import learning
from nacgraph.fewshot.jobs import Row, Source, Tuning, name_sources, new_classes, plan, work_off
from nacgraph.utils.check import check_at_least
from nacgraph.utils.result import Result, write_json
from nacgraph.utils.stats import mean_interval, sign_flip_p

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nacgraph.training.run import Run


@dataclass(frozen=True, eq=False, repr=False)
class FewShot(Result):
    """What :func:`fewshot` found, as a mapping.

    Attributes:
        numbers: "series" (accuracies by model, setting and shots), "differences" from the
            baseline, and what they were measured on.
        rows: A row for every fine-tuning.
        short: New classes that were left out, since they have too few samples.
    """

    rows: Sequence[Row]
    short: Sequence[str]

    def figure(self) -> Figure:
        """The paper's Figure 4: accuracy on new classes over the number of shots."""
        from nacgraph.viz import fewshot_figure

        runs = self["runs"]
        order = {name: k for k, name in enumerate(runs)}
        points = [
            s | {"kind": runs[s["model"]]["model"], "baseline": order[s["model"]] > 0}
            for s in self["series"]
        ]
        return fewshot_figure(points, self["chance"], f"{self['ways']} ways")

    def save(self, folder: Path | str) -> Path:
        """Write ``fewshot.json``, ``figure4.svg`` and ``.png``; returns the folder."""
        from nacgraph.viz import save

        out = Path(folder)
        write_json(out / "fewshot.json", self.numbers)
        figure = self.figure()
        for suffix in ("svg", "png"):
            save(figure, out / f"figure4.{suffix}")
        return out

    def lines(self) -> list[str]:
        """The means as a Markdown table; ± is half of the 95 % interval, in points."""
        models = list(self["runs"])
        cells = {(s["adapt"], s["shots"], s["model"]): s for s in self["series"]}
        differences = {(d["adapt"], d["shots"]): d for d in self["differences"]}
        heads = ["learns", "shots", *models, *(["difference", "p"] if differences else [])]
        table = [" | ".join(heads), " | ".join(["---", *["---:"] * (len(heads) - 1)])]
        for adapt, few in dict.fromkeys((s["adapt"], s["shots"]) for s in self["series"]):
            row = [adapt, str(few), *(_points(cells[adapt, few, model]) for model in models)]
            if differences:
                difference = differences[adapt, few]
                row += [_points(difference, sign="+"), f"{difference['p']:.3g}"]
            table.append(" | ".join(row))
        last = {(s["model"], s["adapt"]): s["parameters"] for s in self["series"]}
        counts = ", ".join(f"{model} {adapt} {n:,}" for (model, adapt), n in last.items())
        return [
            *(f"| {line} |" for line in table),
            "",
            f"Accuracy in %, mean ± half of the 95 % interval over {self['episodes']} episodes; "
            f"{self['ways']} ways, chance {100 * self['chance']:.1f}; parameters that learn: "
            f"{counts}.",
        ]


def fewshot(
    run: Run,
    baseline: Run | None = None,
    *,
    ways: int = 8,
    shots: Sequence[int] = (1, 2, 4, 8, 16),
    queries: int = 15,
    episodes: int = 20,
    seed: int = 0,
    tuning: Tuning | None = None,
    dataset: str | Path | None = None,
    task_set: Mapping[str, Any] | None = None,
    cache_dir: str | None = None,
    out: Path | str | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> FewShot:
    """Few-shot adaptation: classes that pre-training has not seen, learned from a few samples.

    In every episode the model gets a new head for ``ways`` new classes, is fine-tuned on a few
    samples of each, and answers others. The baseline gets the same episodes.

    Args:
        run: A run of a task whose data are classes in tables (:class:`nacgraph.tasks.TableTask`).
        baseline: A second run of the same task.
        ways: Classes an episode.
        shots: Numbers of samples of each class to learn from.
        queries: Other samples of each class that are answered.
        episodes: Episodes; their seed and number decide them.
        seed: Seed of the episodes.
        tuning: How models are fine-tuned; :class:`Tuning` has the defaults.
        dataset: Other data of the same task, "embedded" for the task's own; None: the data of the
            run, of which ``without_classes`` left classes out.
        task_set: Parameters of the task when it reads the episodes' data.
        cache_dir: Where the task keeps what it generates.
        out: Folder of the results. Fine-tunings in its ``episodes.jsonl`` are not done again, so
            an interrupted call is taken up, and more episodes are added to those there are. None:
            nothing is written.
        progress: Called with (what is done, share done).

    Raises:
        ValueError: If an argument is out of range, there are too few new classes, or the two runs'
            tasks make different samples of the same data.

    Source: Neural Attentive Circuits (NeurIPS 2022), low-shot adaptation.
    """
    tuning = tuning or Tuning()
    check_at_least(2, ways=ways)
    check_at_least(1, queries=queries, episodes=episodes)
    check_at_least(0, seed=seed)
    check_at_least(1, shots=min(shots, default=0))
    tuning.check()
    shots, settings = sorted(set(shots)), tuning.settings()
    runs = [run] if baseline is None else [run, baseline]
    sources = name_sources(runs)
    for each in runs:
        for parts in settings:
            learning(each.model, parts)  # before any work is done, whether these can learn
    known = {name for each in runs for name in each.task.classes or ()}
    pools = [
        new_classes(
            each,
            known,
            ways,
            queries + shots[-1],
            dataset=None if dataset is None else str(dataset),
            task_set=task_set,
            cache_dir=cache_dir,
        )
        for each in runs
    ]
    jobs = plan(
        sources,
        pools,
        ways=ways,
        shots=shots,
        queries=queries,
        episodes=episodes,
        seed=seed,
        tuning=tuning,
    )
    count = episodes * len(shots) * len(settings) * len(runs)
    record = None if out is None else Path(out) / "episodes.jsonl"
    rows = work_off(jobs, count, record, progress)
    series, differences, digests = _summarize(sources, rows, ways)
    found = FewShot(
        {
            "runs": {
                s.name: {
                    "folder": str(s.run.path),
                    "weights": s.weights,
                    "model": s.run.config.model_name,
                }
                for s in sources
            },
            "baseline": sources[1].name if len(sources) > 1 else None,
            "data": pools[0].task.describe(),
            "classes": list(pools[0].classes),
            "ways": ways,
            "queries": queries,
            "episodes": episodes,
            "steps": tuning.steps,
            "batch_size": tuning.batch_size,
            "seed": seed,
            "chance": 1 / ways,
            "series": series,
            "differences": differences,
            "digests": digests,
        },
        rows,
        pools[0].short,
    )
    if out is not None:
        found.save(out)
    return found


def _summarize(
    sources: Sequence[Source], rows: Sequence[Row], ways: int
) -> tuple[list[Row], list[Row], dict[str, list[str]]]:
    """Means over episodes, differences between the runs, digests of the episodes by shots."""
    by_place: dict[tuple[str, int], dict[str, list[Row]]] = {}
    for row in rows:
        place = by_place.setdefault((row["adapt"], row["shots"]), {})
        place.setdefault(row["model"], []).append(row)
    settings = dict.fromkeys(adapt for adapt, _ in by_place)
    ordered = sorted(by_place, key=lambda place: (list(settings).index(place[0]), place[1]))
    series: list[Row] = []
    differences: list[Row] = []
    digests: dict[str, list[str]] = {}
    for adapt, few in ordered:
        both = [by_place[adapt, few][source.name] for source in sources]
        for source, mine in zip(sources, both, strict=True):
            model, config = source.run.model, source.run.config
            learned = learning(model, tuple(adapt.split("+")))
            head = (config.model.width + 1) * ways
            series.append(
                {
                    "model": source.name,
                    "adapt": adapt,
                    "shots": few,
                    "parameters": sum(p.numel() for p in learned.values()) + head,
                    "learning_rate": mine[0]["learning_rate"],
                    **mean_interval([row["accuracy"] for row in mine]).as_dict(),
                }
            )
        if len(both) == 2:
            right, other = ([row["right"] for row in each] for each in both)
            apart = [a - b for a, b in zip(right, other, strict=True)]
            found = mean_interval([d / both[0][0]["n"] for d in apart]).as_dict()
            row = {"adapt": adapt, "shots": few, **found, "p": sign_flip_p(apart)}
            differences.append(row)
        digests.setdefault(str(few), [row["digest"] for row in both[0]])
    return series, differences, digests


def _points(value: Mapping[str, Any], sign: str = "") -> str:
    text = f"{100 * value['mean']:{sign}.1f}"
    if value["ci95"] is None:
        return text
    low, high = value["ci95"]
    return f"{text} ± {50 * (high - low):.1f}"
