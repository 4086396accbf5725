"""What a sweep says while it runs."""

from __future__ import annotations

from pathlib import Path

from nacgraph.sweep.jobs import Job, Step
from nacgraph.sweep.watch import Watching, course


def make_jobs(folder: Path, names: str, ready: str) -> list[Job]:
    """Jobs of one training each; those in ``ready`` have left their result."""
    jobs = []
    for name in names:
        result = folder / name / "summary.json"
        if name in ready:
            result.parent.mkdir()
            result.write_text("{}", encoding="utf-8")
        steps = (Step(("train",), result),)
        jobs.append(Job(name, folder / name, steps, folder / f"{name}.log"))
    return jobs


def test_cells_ready_before_their_turn_are_counted_as_done(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, "abcde", ready="ae")
    watching = Watching(jobs)
    assert watching.headline([jobs[1]], {"a": 0}) == "2/5 cells · 1 running · ETA –"
    watching([], {"a": 0, "b": 0, "c": 1})
    told = watching.headline([jobs[3]], {"a": 0, "b": 0, "c": 1})
    assert told.startswith("4/5 cells · 1 running") and told.endswith("1 failed")
    watching.stop()


def test_a_run_without_metrics_is_starting(tmp_path: Path) -> None:
    (job,) = make_jobs(tmp_path, "a", ready="")
    assert course(job) == "starting"
