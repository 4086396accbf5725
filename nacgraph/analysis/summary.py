"""The summary of a run folder, where it has one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_summary(folder: Path) -> dict[str, Any]:
    """``summary.json`` of a run; nothing if there is none."""
    try:
        found = json.loads((folder / "summary.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
