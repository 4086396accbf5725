"""What a sweep shows while it runs: a line on all cells, and one on each that is running."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nacgraph.sweep.jobs import Job
from nacgraph.training.run import read_config
from nacgraph.utils.errors import ConfigError
from nacgraph.utils.progress import clock, percent

EVERY, LIVE = 30.0, 2.0  # seconds between plain lines, and between live ones
_TAIL = 4096  # bytes of metrics.csv looked at


class Watching:
    """Live lines on a terminal, plain ones now and then in a file.

    Args:
        jobs: All that the sweep is to do.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = list(jobs)
        self._began = self._printed = time.monotonic()
        self._before = sum(_share(job) for job in jobs)
        self._told = {job.name for job in jobs if not job.left()}
        self._live: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=2)
            self._live.start()

    def __call__(self, running: Sequence[Job], codes: Mapping[str, int]) -> None:
        for name, code in codes.items():
            if name not in self._told:
                self._told.add(name)
                end = "finished" if code == 0 else f"FAILED (exit {code})"
                self._say(f"{name}: {end}")
        # Looking at the runs' files takes time that the runs could use.
        if time.monotonic() - self._printed < (EVERY if self._live is None else LIVE):
            return
        self._printed = time.monotonic()
        lines = [
            self.headline(running, codes),
            *(f"  {job.name}: {course(job)}" for job in running),
        ]
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text("\n".join(lines)))
        else:
            print("\n".join(lines), file=sys.stderr, flush=True)

    def headline(self, running: Sequence[Job], codes: Mapping[str, int]) -> str:
        """``3/21 cells · 2 running · ETA 1:02:10``."""
        shares = [1.0 if job.name in codes else _share(job) for job in self.jobs]
        gained, took = sum(shares) - self._before, time.monotonic() - self._began
        eta = clock(took / gained * (len(shares) - sum(shares))) if gained > 0.02 else "–"
        failed = sum(code != 0 for code in codes.values())
        ended = len(self._told | codes.keys())  # ready ones too, before their turn comes
        text = f"{ended}/{len(self.jobs)} cells · {len(running)} running · ETA {eta}"
        return text + (f" · {failed} failed" if failed else "")

    def stop(self) -> None:
        """End the display."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _say(self, text: str) -> None:
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)


def course(job: Job) -> str:
    """Where a running job is: ``step 410/2000 · loss 1.203 · val 51.0 %``, or its command."""
    left = job.left()
    if left and left[0].argv[0] != "train":
        return left[0].argv[0]
    row, steps = _last_row(job.folder)
    if not row:
        return "starting"
    said = f"step {row['step']}/{steps} · loss {float(row['loss']):.3f}"
    accuracy = row.get("val_accuracy") or row.get("last_validation")
    return said + (f" · val {percent(float(accuracy))}" if accuracy else "")


def _share(job: Job) -> float:
    """Share of a job that is done, by its steps; within training by optimizer steps."""
    left = job.left()
    done = float(len(job.steps) - len(left))
    if left and left[0].argv[0] == "train":
        row, steps = _last_row(job.folder)
        done += int(row["step"]) / steps if row and steps else 0
    return done / len(job.steps)


def _last_row(folder: Path) -> tuple[dict[str, str], int]:
    """The last whole row of metrics.csv, with the last validation among those near it."""
    path = folder / "metrics.csv"
    try:
        steps = read_config(folder).steps
        with open(path, "rb") as file:
            header = file.readline().decode()
            file.seek(max(len(header), path.stat().st_size - _TAIL))
            lines = file.read().decode().splitlines()
    except (OSError, ConfigError, UnicodeDecodeError):
        return {}, 0
    names = next(csv.reader(io.StringIO(header)))
    rows = [r for r in csv.reader(lines) if len(r) == len(names) and r[0].isdigit()]
    if not rows:
        return {}, steps
    row = dict(zip(names, rows[-1], strict=True))
    seen = [r[names.index("val_accuracy")] for r in rows]
    row["last_validation"] = next((text for text in reversed(seen) if text), "")
    return row, steps
