"""Functions of single numbers that vectorise, and bfloat16, which NumPy does not know."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

# What the compiler may do with sums: reorder and contract, but not assume away NaN or infinity.
FAST = {"reassoc", "contract", "nsz", "arcp"}
# Division as NumPy's: Python's, which raises, is a branch that keeps a loop from vectorising.
INLINE: dict[str, Any] = {"fastmath": FAST, "error_model": "numpy", "inline": "always"}
OPTIONS: dict[str, Any] = INLINE | {"nogil": True, "cache": True, "inline": "never"}


@njit(**INLINE)
def exp32(x):
    """e^x in single precision for x <= 88, to 1.2e-7; plain arithmetic, so that it vectorises."""
    x = max(x, np.float32(-87.0))
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    f = (x - n * np.float32(0.693359375)) + n * np.float32(2.12194440e-4)  # x - n ln 2
    p = np.float32(1.9875691500e-4)
    p = p * f + np.float32(1.3981999507e-3)
    p = p * f + np.float32(8.3334519073e-3)
    p = p * f + np.float32(4.1665795894e-2)
    p = p * f + np.float32(1.6666665459e-1)
    p = p * f + np.float32(5.0000001201e-1)
    p = p * f * f + f + np.float32(1)
    return p * np.int32((np.int32(n) + 127) << 23).view(np.float32)


@njit(**INLINE)
def normal32(x):
    """Φ(x) and φ(x) of the standard normal in single precision, to 1.5e-7 absolutely.

    Abramowitz and Stegun 7.1.26, whose exponential is the density's.
    """
    bell = exp32(np.float32(-0.5) * x * x)
    t = np.float32(1) / (np.float32(1) + np.float32(0.3275911 * math.sqrt(0.5)) * abs(x))
    p = np.float32(1.061405429)
    p = p * t - np.float32(1.453152027)
    p = p * t + np.float32(1.421413741)
    p = p * t - np.float32(0.284496736)
    p = p * t + np.float32(0.254829592)
    tail = np.float32(0.5) * p * t * bell
    return (np.float32(1) - tail if x > 0 else tail), np.float32(1 / math.sqrt(2 * math.pi)) * bell


@njit(**INLINE)
def normal64(x):
    """Φ(x) and φ(x) in double precision."""
    return 0.5 * math.erfc(-x * math.sqrt(0.5)), math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def normal(x: float) -> tuple[float, float]:
    """Φ(x) and φ(x), in the precision of x."""
    raise RuntimeError("only inside compiled code")


@overload(normal, inline="always")
def _normal(x):
    return (lambda x: normal64(x)) if x == types.float64 else (lambda x: normal32(x))


def get(array: Any, i: int) -> Any:
    """``array[i]``; an array of uint16 holds bfloat16."""
    raise RuntimeError("only inside compiled code")


def put(array: Any, i: int, x: Any) -> None:
    """``array[i] = x``, rounded to nearest even if the array holds bfloat16."""
    raise RuntimeError("only inside compiled code")


@overload(get, inline="always")
def _get(array, i):
    if array.dtype == types.uint16:
        return lambda array, i: np.uint32(np.uint32(array[i]) << np.uint32(16)).view(np.float32)
    return lambda array, i: array[i]


@overload(put, inline="always")
def _put(array, i, x):
    if array.dtype != types.uint16:

        def plain(array, i, x):
            array[i] = x

        return plain

    def rounded(array, i, x):
        bits = np.float32(x).view(np.uint32)
        bits += np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        array[i] = np.uint16(bits >> np.uint32(16))

    return rounded
