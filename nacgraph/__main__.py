"""``nacgraph COMMAND …`` and ``python -m nacgraph COMMAND …``."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

COMMANDS = {  # name: what it does; each is nacgraph/cli/NAME.py with main(argv) -> exit code
    "train": "train a circuit on a task under a graph prior",
    "evaluate": "accuracy of a trained circuit",
    "data": "tasks and what they read; check files before training on them",
    "prior": "list graph priors, check one",
    "analyze": "statistics, pictures and a report of a trained circuit",
    "compare": "how alike the wirings of two runs are",
    "embed": "circuits of a conditional run, and what they go with",
    "fewshot": "new classes from a few samples, beside a baseline",
    "renditions": "accuracy on images drawn, distorted and corrupted",
    "sweep": "a grid of runs from a recipe: tables, curves, paired tests",
    "prune": "a smaller run without the modules that matter least",
    "export": "a trained circuit as ONNX or a torch program",
    "doctor": "this machine, backends chosen, memory a run would take",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else 2
    name, *rest = arguments
    if name == "--version":
        from nacgraph import __version__

        print(__version__)
        return 0
    if name not in COMMANDS:
        from nacgraph.utils.errors import nearest

        print(f"error: unknown command {nearest(name, list(COMMANDS))}\n{usage()}", file=sys.stderr)
        return 2
    return run(name, rest)


def run(name: str, argv: Sequence[str] | None = None) -> int:
    """Run the command ``name``; an interruption or a reader that left is no traceback."""
    prepare_environment()
    try:
        arguments = [at_home(text) for text in (sys.argv[1:] if argv is None else argv)]
        code = int(import_module(f"nacgraph.cli.{name}").main(arguments))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # as of ``nacgraph doctor | head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush
        return 141


def prepare_environment() -> None:
    """What libraries and terminals need, where the environment has something else or nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # cp1252 or ASCII, as where output is redirected
            stream.reconfigure(errors="replace")
    os.environ["MPLBACKEND"] = "agg"  # pictures go to files, and a notebook's backend may not exist
    home = os.path.expanduser("~")
    if not os.path.isabs(home):  # no HOME, and a user without an entry
        os.environ["HOME"] = home = os.path.join(tempfile.gettempdir(), f"nacgraph-{os.getuid()}")
        os.environ.setdefault("USER", str(os.getuid()))


def at_home(text: str) -> str:
    """``--out=~/runs`` with the home folder, which a shell only sees at the start of a word."""
    flag, _, value = text.partition("=")
    plain = flag.startswith("--") and value.startswith("~")
    return f"{flag}={os.path.expanduser(value)}" if plain else text


def usage() -> str:
    """The commands, one a line."""
    lines = [f"  {name:<10} {text}" for name, text in COMMANDS.items()]
    return "\n".join(["usage: nacgraph COMMAND …  (COMMAND --help tells more)", *lines])


if __name__ == "__main__":
    sys.exit(main())
