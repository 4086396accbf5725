"""Runs jobs: as processes of this machine, within this process, or through submitit."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from nacgraph.sweep.jobs import Job, Step
from nacgraph.utils.check import check_choice

Watch = Callable[[Sequence[Job], Mapping[str, int]], None]
"""Called now and then with the running jobs, and the exit code by name of those that ended."""

LAUNCHERS = ("process", "here", "submitit")
INTERRUPTED = (130, 143)
_PAUSE = 0.5  # seconds between two looks at what runs


def launch(
    jobs: Sequence[Job],
    launcher: str,
    at_once: int,
    watch: Watch,
    settings: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> dict[str, int]:
    """Run all jobs; a failed one does not stop the others.

    Args:
        jobs: What to run.
        launcher: "process": processes of this machine; "here": one after another in this process,
            for debugging and tests; "submitit": SLURM, or what submitit finds.
        at_once: Processes at a time.
        watch: Called with the state of the jobs.
        settings: Of submitit's executor; "cluster" among them chooses it.
        folder: Where submitit keeps its files.

    Returns:
        Exit code by name of the job.

    Raises:
        KeyboardInterrupt: On Ctrl-C, after every running job has saved its state.
        ValueError: If there is no such launcher, or submitit is not installed.
    """
    check_choice(LAUNCHERS, launcher=launcher)
    if launcher == "here":
        return _here(jobs, watch)
    if launcher == "process":
        return _processes(jobs, at_once, watch)
    return _submitit(jobs, watch, dict(settings or {}), folder or Path("submitit"))


def _here(jobs: Sequence[Job], watch: Watch) -> dict[str, int]:
    codes: dict[str, int] = {}
    for job in jobs:
        watch([job], codes)
        job.log.parent.mkdir(parents=True, exist_ok=True)
        code = 0
        with open(job.log, "a", encoding="utf-8") as log:
            for step in job.left():
                with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                    print(f"$ nacgraph {' '.join(step.argv)}", flush=True)
                    command = import_module(f"nacgraph.cli.{step.argv[0]}")
                    code = int(command.main(step.argv[1:]))
                if code:
                    break
        codes[job.name] = code
        if code in INTERRUPTED:
            raise KeyboardInterrupt
    watch([], codes)
    return codes


@dataclass
class _Running:
    """A job's process, and the steps that follow it."""

    job: Job
    process: subprocess.Popen[bytes]
    rest: list[Step]


def _start(job: Job, step: Step) -> subprocess.Popen[bytes]:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with open(job.log, "ab") as log:
        log.write(f"$ nacgraph {' '.join(step.argv)}\n".encode())
        log.flush()
        # In a session of its own: we pass a Ctrl-C in the terminal on, once.
        return subprocess.Popen(
            [sys.executable, "-m", "nacgraph", *step.argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _processes(jobs: Sequence[Job], at_once: int, watch: Watch) -> dict[str, int]:
    codes: dict[str, int] = {}
    waiting, running = list(jobs), list[_Running]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                if steps := job.left():
                    running.append(_Running(job, _start(job, steps[0]), steps[1:]))
                else:
                    codes[job.name] = 0
            for each in list(running):
                code = each.process.poll()
                if code is None:
                    continue
                if code == 0 and each.rest:
                    each.process = _start(each.job, each.rest.pop(0))
                else:
                    running.remove(each)
                    codes[each.job.name] = code
            watch([each.job for each in running], codes)
            if running:
                time.sleep(_PAUSE)
    finally:
        _end(running)
    return codes


def _end(running: Sequence[_Running]) -> None:
    """Ask running processes to save and stop, and wait for them."""
    for each in running:
        with contextlib.suppress(ProcessLookupError):
            each.process.send_signal(signal.SIGINT)
    for each in running:
        each.process.wait()


class Work:
    """The unfinished steps of a job, as submitit runs them on another machine.

    Stopped at the end of its time, it is queued again and goes on from the last checkpoint.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    def __call__(self) -> int:
        for step in self.job.left():
            if code := _start(self.job, step).wait():
                return code
        return 0

    def checkpoint(self) -> Any:
        """submitit asks for this when the job is to be queued again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _submitit(
    jobs: Sequence[Job], watch: Watch, settings: dict[str, Any], folder: Path
) -> dict[str, int]:
    try:
        import submitit
    except ImportError:
        raise ValueError(
            "launcher: submitit is not installed: pip install 'nacgraph[submitit]'"
        ) from None
    executor = submitit.AutoExecutor(folder=folder, cluster=settings.pop("cluster", None))
    try:
        executor.update_parameters(**settings)
    except (TypeError, NameError) as error:
        raise ValueError(f"launcher-set: {error}") from error
    codes = {job.name: 0 for job in jobs if not job.left()}
    sent = [(job, executor.submit(Work(job))) for job in jobs if job.left()]
    try:
        while len(codes) < len(jobs):
            for job, handle in sent:
                if job.name not in codes and handle.done():
                    codes[job.name] = _code(handle)
            watch([job for job, _ in sent if job.name not in codes], codes)
            if len(codes) < len(jobs):
                time.sleep(_PAUSE)
    except KeyboardInterrupt:
        for job, handle in sent:
            if job.name not in codes:
                handle.cancel()
        raise
    return codes


def _code(handle: Any) -> int:
    if handle.exception() is not None:
        return 1
    return int(handle.result())
