"""Named models: the ladder from Perceiver IO to a full NAC, each a setting of :class:`NAC`."""

from __future__ import annotations

import difflib
from typing import Any

MODELS: dict[str, dict[str, Any]] = {
    # Latents that tell themselves apart only by their initial state, all linked to all.
    "perceiver_io": {"modulation": False, "wiring": "complete"},
    "modfc": {"modulation": True, "wiring": "complete"},
    "frozen_graph": {"modulation": True, "wiring": "frozen", "signature_start": "prior"},
    "nac": {"modulation": True, "wiring": "learned"},
}


def model_fields(name: str) -> dict[str, Any]:
    """Fields of :class:`nacgraph.model.NACConfig` that make the model of this name.

    Raises:
        ValueError: On an unknown name; lists the choices and the nearest.
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"model: wanted one of {', '.join(MODELS)}, got {name!r}{hint}")
    return dict(MODELS[name])
