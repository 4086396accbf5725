"""Raw samples that a user hands over, made into what batches are made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nacgraph.tasks.pictures import plain, read_picture

if TYPE_CHECKING:
    from PIL.Image import Image


def wrong_sample(number: int, expected: str, got: object) -> ValueError:
    """The error for a sample that is none: its number, what was expected and what came."""
    return ValueError(f"sample {number}: expected {expected}, got {got}")


def picture(
    sample: Any, number: int, draft: tuple[str | None, tuple[int, int]], bits: int = 0
) -> Image:
    """A file, a Pillow image or an array as a picture of 8 bits that stands upright.

    Args:
        sample: A path; a Pillow image; or an array (H, W), (H, W, 1), (H, W, 3) of uint8 or of
            floats in [0, 1]. A tensor will do.
        number: Which sample this is, for messages.
        draft: What a JPEG may be decoded to, as Pillow's ``draft`` takes it.
        bits: How many of 16 bits are used, as :func:`nacgraph.tasks.pictures.plain` takes it.

    Raises:
        ValueError: If it is nothing of the kind.
    """
    from PIL import Image

    if isinstance(sample, Image.Image):
        try:
            return plain(sample, bits)
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise ValueError(f"sample {number}: {error}") from None
    if isinstance(sample, (str, Path)):
        try:
            return read_picture(Path(sample), draft, bits)
        except FileNotFoundError:
            raise wrong_sample(number, "an image file", f"{sample}, which is not there") from None
        except (OSError, ValueError) as error:
            raise ValueError(f"sample {number}: {sample}: {error}") from None
    wanted = "a file, or an array (H, W) or (H, W, C) of uint8 or of floats in [0, 1]"
    try:
        array = np.asarray(sample)
    except (TypeError, ValueError, RuntimeError):
        raise wrong_sample(number, wanted, type(sample).__name__) from None
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or not array.size:
        shape = f"an array of shape {array.shape}" if array.ndim else type(sample).__name__
        raise wrong_sample(number, wanted, shape)
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise wrong_sample(number, wanted, f"floats from {array.min():g} to {array.max():g}")
        array = np.rint(255 * array).astype(np.uint8)
    if array.dtype != np.uint8:
        raise wrong_sample(number, wanted, f"an array of {array.dtype}")
    return Image.fromarray(array)
