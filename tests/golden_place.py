"""Where the golden tensors are, computed by an independent implementation; not ours to ship."""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(os.environ.get("NACGRAPH_GOLDEN", Path(__file__).parents[2] / "shared" / "golden"))
