"""``python -m nacgraph.train``: the same as ``nacgraph train``."""

import sys

from nacgraph.__main__ import run

if __name__ == "__main__":
    sys.exit(run("train"))
