"""What a run shows: a live bar on a terminal, plain lines now and then in a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nacgraph.utils.errors import printable

EVERY = 20.0  # seconds between plain lines


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def beside(baselines: Mapping[str, float]) -> str:
    """``majority 17.9 %, root operator 38.0 %``."""
    return ", ".join(
        f"{name.removesuffix('_accuracy').replace('_', ' ')} {percent(value)}"
        for name, value in baselines.items()
    )


def clock(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{s:02d}" if hours else f"{minutes}:{s:02d}"


@dataclass
class Progress:
    """Prints the course of a run; ``quiet`` for all processes but the first.

    Args:
        steps: Steps of the whole run.
        first: Step at which this process starts.
        baselines: Accuracies shown beside the validation accuracy.
        floor: The least prior loss that can be reached, shown beside the prior loss.
    """

    steps: int
    first: int = 0
    baselines: Mapping[str, float] = field(default_factory=dict)
    floor: float | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        self._live: Any = None
        self._bar: Any = None
        self._task: Any = None
        self._started = self._printed = time.monotonic()
        self._accuracy: float | None = None

    def start(self) -> None:
        """Begin to show; on a terminal this draws the bar."""
        self._started = self._printed = time.monotonic()
        if self.quiet or not sys.stdout.isatty():
            return
        from rich.console import Group
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar
        from rich.text import Text

        eta = TextColumn("ETA {task.fields[eta]}")
        self._bar = Bar(TextColumn("step"), MofNCompleteColumn(), BarColumn(), eta)
        self._task = self._bar.add_task("", total=self.steps, completed=self.first, eta="–")
        self._group, self._text = Group, Text
        self._live = Live(self._bar, refresh_per_second=4)
        self._live.start()

    def say(self, text: str, error: bool = False) -> None:
        """One line that stays."""
        if self.quiet:
            return
        text = printable(text)
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr if error else sys.stdout, flush=True)

    def step(self, row: Mapping[str, Any]) -> None:
        """Show the numbers of a finished step."""
        if self.quiet:
            return
        if self._live is not None:
            step = int(row["step"])
            self._bar.update(self._task, completed=step, eta=self._eta(step))
            self._live.update(self._group(self._bar, self._text(self._numbers(row))))
        elif time.monotonic() - self._printed >= EVERY:
            self._line(row)

    def validated(self, row: Mapping[str, Any], best: bool) -> None:
        """Show a validation; a new best one is marked by a star."""
        self._accuracy = row["val_accuracy"]
        if not self.quiet:
            self._line(row, " *" if best else "")

    def stop(self) -> None:
        """End the display; printed lines stay."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _line(self, row: Mapping[str, Any], mark: str = "") -> None:
        self._printed = time.monotonic()
        step = int(row["step"])
        self.say(f"step {step}/{self.steps} · ETA {self._eta(step)} · {self._numbers(row)}{mark}")

    def _eta(self, step: int) -> str:
        done = step - self.first
        if done < 1:
            return "–"
        return clock((time.monotonic() - self._started) / done * (self.steps - step))

    def _numbers(self, row: Mapping[str, Any]) -> str:
        parts = [f"loss {row['loss']:.3f}"]
        if self._accuracy is not None:
            parts.append(f"val {percent(self._accuracy)} ({beside(self.baselines)})")
        if row.get("prior_loss") is not None:
            floor = "" if self.floor is None else f" (floor {self.floor:.4f})"
            parts.append(f"prior {row['prior_loss']:.4f}{floor}")
        if row.get("mean_degree") is not None:  # a circuit
            parts.append(f"degree {row['mean_degree']:.1f}")
            parts.append(f"isolated {row['isolated']:.0f}")
        parts.append(f"{row['samples_per_second']:.0f} samples/s")
        if row.get("length") is not None:
            parts.append(f"length ≤ {row['length']}")
        return " · ".join(parts)


class ProgressPrinter:
    """Prints to stderr what is being done, the share done, and the time since the start."""

    def __init__(self, every: float = 5.0) -> None:
        self.began = time.monotonic()
        self.last, self.part, self.every = float("-inf"), "", every

    def __call__(self, what: str, share: float) -> None:
        """``share`` of ``what`` is done; said at once if its part, up to a colon, is another."""
        now, part = time.monotonic(), what.partition(":")[0]
        if now - self.last < (1.0 if part != self.part else self.every):
            return
        self.part, self.last = part, now
        text = f"{clock(now - self.began):>7}    {what} {100 * share:.0f} %"
        print(text, file=sys.stderr, flush=True)


class ProgressCounter:
    """Prints now and then how much of a split has been scored."""

    def __init__(self, split: str, say: Callable[[str], object], every: float = 10.0) -> None:
        self.split, self.say, self.every = split, say, every
        self.last = time.monotonic()

    def __call__(self, right: int, seen: int) -> None:
        if time.monotonic() - self.last >= self.every:
            self.last = time.monotonic()
            self.say(f"scoring    {self.split}: {seen:,} samples, {percent(right / seen)} so far")
