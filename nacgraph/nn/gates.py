"""Gates: what codes decide in a block, made once and used in every round and for every sample."""

from __future__ import annotations

from typing import Any

from torch import Tensor

# A block's own nesting of tensors (…, U, width): one number a module and feature.
Gates = tuple[Any, ...]


def select_modules(gates: Any, kept: Tensor) -> Any:
    """The gates of these modules only, in this order: every tensor (…, U, ·) → (…, kept, ·)."""
    if isinstance(gates, Tensor):
        return gates[..., kept, :]
    return tuple(select_modules(part, kept) for part in gates)
