"""Named models: the ladder from Perceiver IO to a full NAC, each a setting of :class:`NAC`; and
those without a circuit."""

from __future__ import annotations

from typing import Any

from nacgraph.utils.errors import did_you_mean

MODELS: dict[str, dict[str, Any]] = {
    # Latents that tell themselves apart only by their initial state, all linked to all.
    "perceiver_io": {"modulation": False, "wiring": "complete"},
    "modfc": {"modulation": True, "wiring": "complete"},
    "frozen_graph": {"modulation": True, "wiring": "frozen", "signature_start": "prior"},
    "nac": {"modulation": True, "wiring": "learned"},
}
# Tokens attend to tokens, fully or by Linformer's projections; see nacgraph.models.transformer.
TRANSFORMERS = ("transformer", "linformer")


def model_fields(name: str) -> dict[str, Any]:
    """Fields of :class:`nacgraph.models.nac.NACConfig` that make the model of this name.

    Raises:
        ValueError: On an unknown name; lists the choices and the nearest. On one of
            :data:`TRANSFORMERS`, which have no such fields.
    """
    if name in TRANSFORMERS:
        raise ValueError(f"model: expected one with a circuit, {', '.join(MODELS)}, got {name!r}")
    if name not in MODELS:
        choices = [*MODELS, *TRANSFORMERS]
        hint = did_you_mean(name, choices)
        raise ValueError(f"model: expected one of {', '.join(choices)}, got {name!r}{hint}")
    return dict(MODELS[name])
