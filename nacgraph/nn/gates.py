"""Gates: what codes decide in a block, made once and used in every round and for every sample."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

# A block's own nesting of tensors (…, U, width): one number a module and feature.
Gates = tuple["Tensor | Gates", ...]
T = TypeVar("T", bound="Tensor | tuple")


def select_modules(gates: T, kept: Tensor) -> T:
    """The gates of these modules only, in this order: every tensor (…, U, ·) → (…, kept, ·)."""
    if isinstance(gates, Tensor):
        return gates[..., kept, :]  # type: ignore[return-value]
    return tuple(select_modules(part, kept) for part in gates)  # type: ignore[return-value]
