"""``python -m nacgraph.prior``: the same as ``nacgraph prior``."""

import sys

from nacgraph.__main__ import run

if __name__ == "__main__":
    sys.exit(run("prior"))
