"""Names that parameters had in files of earlier versions."""

from __future__ import annotations

import re

# Until 0.1 the output projection of an attention was called `exit`.
_EXIT = re.compile(r"(^|\.)exit(?=\.|$)")


def current_name(name: str) -> str:
    """What the parameter is called now: ``read_ins.0.exit.weight`` → ``….out_proj.weight``."""
    return _EXIT.sub(r"\1out_proj", name)
