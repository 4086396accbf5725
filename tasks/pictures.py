"""Image files as pictures of 8 bits that stand upright: the one way of reading for all tasks."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

GREY = ("1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes without colour."""
UNCLEAR = 1 << 14  # 16 bits of which none is above this may as well be 8 to 14 bits
_SEES = "set the task's bits, to 16 if it is that dark"


def open_picture(path: Path) -> Image:
    """The file as a picture of which only the header is read.

    Raises:
        ValueError: If it is none, or a very large one; the text says what was expected and found.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(path)
    except FileNotFoundError:
        raise
    except UnidentifiedImageError:
        raise ValueError(f"expected an image, got {_what(path)}") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError("expected an image of at most 90 million pixels, got more") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"expected an image, got one that cannot be read ({error})") from None


def read_picture(path: Path, draft: tuple[str | None, tuple[int, int]], bits: int = 0) -> Image:
    """The file as :func:`plain` makes it.

    Args:
        path: The file.
        draft: What a JPEG may be decoded to, as Pillow's ``draft`` takes it: a JPEG can be read
            at an eighth, a quarter or half of its size, which is much faster.
        bits: As for :func:`plain`.

    Raises:
        ValueError: If it is no whole image, or not clear; the text says what was expected.
    """
    with open_picture(path) as image:
        try:
            image.draft(*draft)
            deep = _deep_colour(image)
            image.load()
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            what = f"expected a whole image, got one that ends early or is broken ({error})"
            raise ValueError(what) from error
        if deep and bits != 16:
            _check_colour(image, bits)
        return plain(image, bits)


def plain(image: Image, bits: int = 0) -> Image:
    """A picture as its makers meant it: upright, 8 bits, transparent parts white.

    EXIF may say how a photo is to be turned. Floats are brightness from 0 to 1. Whole numbers of
    16 bits are scaled from what ``bits`` says to 8.

    Args:
        image: Any picture of Pillow's.
        bits: How many bits of 16 are used, 8 to 16. 0 takes all of them, and refuses a picture
            that uses so few that 8 to 14 bits may be meant.

    Raises:
        ValueError: If numbers are out of range or unclear; the text says what was expected.
    """
    from PIL import Image

    image = _upright(image)
    if image.mode == "F":
        image = _of_floats(np.asarray(image))
    elif image.mode.startswith("I"):
        image = _of_whole(np.asarray(image).astype(np.int64), bits)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        clear = image.convert("RGBA")
        ground = Image.new("RGBA", clear.size, (255, 255, 255, 255))
        image = Image.alpha_composite(ground, clear)
    return image


def check_bits(bits: int) -> None:
    """Raise ValueError unless this is a number of bits that :func:`plain` takes."""
    if isinstance(bits, bool) or bits not in (0, *range(8, 17)):
        raise ValueError(f"bits: expected 0 or 8 to 16, got {bits!r}")


def orientation(image: Image) -> int:
    """How a picture is to be turned, 1 to 8 as EXIF has it; 1 where nothing is said."""
    try:
        found = image.getexif().get(0x0112, 1)
    except (OSError, ValueError, SyntaxError, KeyError, TypeError):  # unreadable: as stored
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def upright_size(image: Image) -> tuple[int, int]:
    """(height, width) that the picture will have when it stands upright."""
    wide, high = image.size
    # TIFF files tell their upright size at once.
    turned = image.format != "TIFF" and orientation(image) >= 5
    return (wide, high) if turned else (high, wide)


def _upright(image: Image) -> Image:
    from PIL.Image import Transpose

    image.load()  # TIFF files are turned by Pillow itself, which then forgets the tag
    turns = (
        *(Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_180, Transpose.FLIP_TOP_BOTTOM),
        *(Transpose.TRANSPOSE, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90),
    )
    turn = orientation(image)
    if turn == 1:
        return image
    turned = image.transpose(turns[turn - 2])
    # Without EXIF, so that it is not turned once more.
    turned.info = {k: v for k, v in image.info.items() if k == "transparency"}
    return turned


def _of_floats(values: np.ndarray) -> Image:
    from PIL import Image

    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(values).all() and low >= -1e-6 and high <= 1 + 1e-6):
        raise ValueError(f"expected floats from 0 to 1, got {low:g} to {high:g}")
    return Image.fromarray(np.rint(255 * values.clip(0, 1)).astype(np.uint8))


def _of_whole(values: np.ndarray, bits: int) -> Image:
    from PIL import Image

    low, high = int(values.min()), int(values.max())
    most = (1 << (bits or 16)) - 1
    if low < 0 or high > most:
        raise ValueError(f"expected numbers of {bits or 16} bits, 0 to {most}, got {low} to {high}")
    if not bits and 0 < high < UNCLEAR:
        raise ValueError(
            f"expected 16 bits that are used, got none above {high}, as of fewer bits in 16: "
            f"{_SEES}"
        )
    scaled = values >> 8 if most == 65535 else np.rint(values * (255 / most))
    return Image.fromarray(scaled.astype(np.uint8))


def _deep_colour(image: Image) -> bool:
    """Whether a file has 16 bits a colour, of which Pillow keeps the upper eight."""
    tiles = getattr(image, "tile", None) or [None]
    arguments = tiles[0][3] if tiles[0] else ""
    mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return ";16" in str(mode) and not image.mode.startswith("I")


def _check_colour(image: Image, bits: int) -> None:
    extrema = np.array(image.convert("RGBA").getextrema())[:3, 1]
    if bits or extrema.max() < UNCLEAR >> 8:
        used = f"{bits} of them" if bits else f"none above {256 * int(extrema.max()) + 255}"
        raise ValueError(
            f"expected 16 bits a colour that are used, got {used}: only the upper 8 can be read; "
            f"save it with 8, or {_SEES}"
        )


def _what(path: Path) -> str:
    """What a file that is no image looks like."""
    with open(path, "rb") as file:
        head = file.read(512).lstrip()
    if not head:
        return "an empty file"
    if head[:1] == b"<":
        return "a web page (HTML or XML)"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer"
    return "bytes of no format that Pillow knows"
