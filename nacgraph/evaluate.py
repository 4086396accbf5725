"""``python -m nacgraph.evaluate``: the same as ``nacgraph evaluate``."""

import sys

from nacgraph.__main__ import run

if __name__ == "__main__":
    sys.exit(run("evaluate"))
