"""Named models: the ladder from Perceiver IO to a full NAC, each a setting of :class:`NAC`; and
those without a circuit."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from nacgraph.models.config import NACConfig, TransformerConfig
from nacgraph.utils.errors import ConfigError, did_you_mean, nearest

MODELS: dict[str, dict[str, Any]] = {
    # Latents that tell themselves apart only by their initial state, all linked to all.
    "perceiver_io": {"modulation": False, "wiring": "complete"},
    "modfc": {"modulation": True, "wiring": "complete"},
    "frozen_graph": {"modulation": True, "wiring": "frozen", "signature_start": "prior"},
    "nac": {"modulation": True, "wiring": "learned"},
}
# Tokens attend to tokens, fully or by Linformer's projections; see nacgraph.models.transformer.
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "transformer": {"linformer_tokens": 0},
    "linformer": {"linformer_tokens": 128},
}
CHOICES = (*MODELS, *TRANSFORMERS)


def model_defaults(name: str) -> dict[str, Any]:
    """What a model's name sets, of :class:`NACConfig` or of :class:`TransformerConfig`.

    Raises:
        ValueError: On an unknown name; lists the choices and the nearest.
    """
    return dict(TRANSFORMERS[name]) if name in TRANSFORMERS else model_fields(name)


def config_class(name: str) -> type[NACConfig | TransformerConfig]:
    """The class that a model of this name is configured by."""
    return TransformerConfig if name in TRANSFORMERS else NACConfig


def fields_of(name: str) -> list[str]:
    """Fields that can be set for a model of this name."""
    names = [f.name for f in fields(config_class(name))]
    return [f for f in names if f != "linformer_tokens" or name != "transformer"]


def model_config(name: str = "nac", **changed: Any) -> NACConfig | TransformerConfig:
    """The configuration of a named model, with some of its fields changed.

    Raises:
        ConfigError: On an unknown name or field, or a value that will not do.
    """
    try:
        known = model_defaults(name)
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    cls = config_class(name)
    names = [f.name for f in fields(cls)]
    if unknown := [key for key in changed if key not in names]:
        raise ConfigError([f"model: unknown field {nearest(key, names)}" for key in unknown])
    return cls(**{**known, **changed})


def model_name(config: NACConfig | TransformerConfig) -> str:
    """The name of a model: what its configuration is on the ladder, whoever set it.

    Example:
        >>> model_name(NACConfig(wiring="complete"))
        'modfc'
    """
    if isinstance(config, TransformerConfig):
        return "linformer" if config.linformer_tokens else "transformer"
    if config.wiring == "complete":
        return "modfc" if config.modulation else "perceiver_io"
    return "frozen_graph" if config.wiring == "frozen" else "nac"


def model_fields(name: str) -> dict[str, Any]:
    """Fields of :class:`nacgraph.models.nac.NACConfig` that make the model of this name.

    Raises:
        ValueError: On an unknown name; lists the choices and the nearest. On one of
            :data:`TRANSFORMERS`, which have no such fields.
    """
    if name in TRANSFORMERS:
        raise ValueError(f"model: expected one with a circuit, {', '.join(MODELS)}, got {name!r}")
    if name not in MODELS:
        hint = did_you_mean(name, CHOICES)
        raise ValueError(f"model: expected one of {', '.join(CHOICES)}, got {name!r}{hint}")
    return dict(MODELS[name])
