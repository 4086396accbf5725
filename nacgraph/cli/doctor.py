"""``nacgraph doctor [options of train]``: this machine, and what a run would use and take."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from nacgraph.cli.answer import answer

USAGE = """usage: nacgraph doctor [--json] [options of nacgraph train]

Versions, processor, memory, compiled kernels; and for the run that these options describe: the
backends that `auto` chooses, and an estimate of its peak memory. Trains nothing; all that it may
write is Numba's cache of compiled kernels, as any first use of them does, and what a task keeps
of its data, where that has to be read to know the model's size."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report; returns the exit code (2: options not understood)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)
        return 0
    return answer(lambda: _report(arguments))


def _report(arguments: list[str]) -> str:
    from nacgraph.cli.options import parse
    from nacgraph.training.doctor import examine, lines
    from nacgraph.training.plan import as_launched, check_parts

    parsed = parse([text for text in arguments if text != "--json"])
    config = as_launched(parsed.config)
    check_parts(config)
    found = examine(config)
    found["notes"] = [*parsed.notes, *found["notes"]]
    if "--json" in arguments:
        return json.dumps(found, indent=1, ensure_ascii=False)
    return "\n".join(lines(found))
