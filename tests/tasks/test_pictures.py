"""Pictures as their makers meant them, in every reader: EXIF, floats, 12 bits in 16."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from nacgraph.tasks.data_report import DataError
from nacgraph.tasks.images import Images
from nacgraph.tasks.images.listing import pixels
from nacgraph.tasks.nlvr2 import NLVR2
from nacgraph.tasks.nlvr2.pictures import open_image
from nacgraph.tasks.pictures import read_picture, upright_size

DRAFT = (None, (64, 64))


def photo(high: int = 24, wide: int = 32) -> Image.Image:
    """Four different corners."""
    image = np.zeros((high, wide, 3), np.uint8)
    image[: high // 2, : wide // 2] = 250, 40, 10
    image[high // 2 :, : wide // 2] = 20, 230, 60
    image[: high // 2, wide // 2 :] = 10, 60, 240
    return Image.fromarray(image)


def turned(path: Path, orientation: int, image: Image.Image | None = None) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    (image or photo()).save(path, exif=exif)
    return path


def grey(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


def ramp(top: float, kind: type = np.uint16) -> np.ndarray:
    return np.linspace(0, top, 24 * 32).reshape(24, 32).astype(kind)


def deep_png(path: Path, values: np.ndarray) -> Path:
    """A PNG of 16 bits a colour, which Pillow does not write."""
    high, wide, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", wide, high, 16, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_read_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    file = turned(tmp_path / f"a.{suffix}", orientation)
    want = np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB"))
    assert np.array_equal(np.asarray(read_picture(file, DRAFT).convert("RGB")), want)
    assert upright_size(Image.open(file)) == want.shape[:2]
    assert np.array_equal(pixels(Image.open(file), want.shape[:2], 3), want)
    # Twice is once.
    assert np.array_equal(pixels(read_picture(file, DRAFT), want.shape[:2], 3), want)


def class_folders(folder: Path, make: Callable[[Path], object], suffix: str = "png") -> Path:
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for k in range(10):
            make(folder / name / f"{k}.{suffix}")
    return folder


def test_turned_photos_agree_with_upright_ones_at_every_door(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "images", lambda path: turned(path, 6))
    task = Images(data=folder, cache_dir=tmp_path / "c", crop=0, flip=False)
    want = np.asarray(photo().transpose(Image.Transpose.ROTATE_270))
    assert task.shape == (32, 24, 3)
    assert np.array_equal(task.table("train").columns["images"][0], want)
    file = folder / "cat" / "0.png"
    batch = task.encode([file, Image.open(file), want])
    for sample in batch.inputs:
        assert np.array_equal(np.rint(255 * sample.permute(1, 2, 0).numpy()), want)
    assert np.array_equal(np.asarray(open_image(file)), want)


def nlvr2(folder: Path, image: Callable[[Path], object]) -> Path:
    folder.mkdir()
    lines = []
    for k in range(4):
        for side in (0, 1):
            image(folder / f"test1-{k}-0-img{side}.png")
        fields = {"identifier": f"test1-{k}-0-0", "sentence": "a dog", "label": "True"}
        lines.append(json.dumps(fields))
    (folder / "test1.json").write_text("\n".join(lines))
    return folder


def test_pairs_of_images_are_read_upright_too(tmp_path: Path) -> None:
    square = photo(64, 64)
    data = nlvr2(tmp_path / "a", lambda path: turned(path, 3, square))
    task = NLVR2(data=data, whole_is_test=True)
    want = np.asarray(square.transpose(Image.Transpose.ROTATE_180)).transpose(2, 0, 1)
    assert np.array_equal(task.table("test").columns["left"][0], want)
    file = data / "test1-0-0-img0.png"
    batch = task.encode([(file, Image.open(file), "a dog")])
    assert np.array_equal(np.rint(255 * batch.inputs[0, 0].numpy()), want)
    assert np.array_equal(np.rint(255 * batch.inputs[0, 1].numpy()), want)


def test_floats_from_0_to_1_are_brightness(tmp_path: Path) -> None:
    file = grey(tmp_path / "a.tif", ramp(1, np.float32))
    read = np.asarray(read_picture(file, DRAFT))
    assert np.array_equal(read, np.rint(255 * ramp(1, np.float32)))
    assert len(np.unique(read)) == 256


UNCLEAR = {
    "floats to 255": (ramp(255, np.float32), "expected floats from 0 to 1, got 0 to 255"),
    "floats below 0": (ramp(-1, np.float32), "expected floats from 0 to 1, got -1 to 0"),
    "nan": (np.full((4, 4), np.nan, np.float32), "expected floats from 0 to 1, got nan"),
    "12 bits": (ramp(4095), "expected 16 bits that are used, got none above 4095"),
    "14 bits": (ramp(16383), "expected 16 bits that are used, got none above 16383"),
    "32 bits": (ramp(70000, np.int32), "expected numbers of 16 bits, 0 to 65535, got 0 to 70000"),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_is_unclear_is_refused_at_every_door(tmp_path: Path, name: str) -> None:
    values, message = UNCLEAR[name]
    file = grey(tmp_path / "a.tif", values)
    with pytest.raises(ValueError, match=message):
        read_picture(file, DRAFT)
    folder = class_folders(tmp_path / "images", lambda path: grey(path, values), "tif")
    with pytest.raises(DataError, match=rf"cat.0\.tif: {message}"):
        Images(data=folder, cache_dir=tmp_path / "c").prepare()
    with pytest.raises(ValueError, match=message):
        open_image(file, 64)
    task = Images(cache_dir=tmp_path / "c")
    for sample in (file, Image.open(file)):
        with pytest.raises(ValueError, match=f"sample 3: .*{message}"):
            task.encode([sample], first=3)


def test_bits_say_how_16_are_read(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "images", lambda path: grey(path, ramp(4095)))
    task = Images(data=folder, cache_dir=tmp_path / "c", bits=12)
    read = task.table("train").columns["images"][0, ..., 0]
    assert np.array_equal(read, np.rint(255 * (ramp(4095) / 4095)))
    batch = task.encode([folder / "cat" / "0.png"])
    assert np.array_equal(np.rint(255 * batch.inputs[0, 0].numpy()), read)
    dark = Images(data=folder, cache_dir=tmp_path / "c", bits=16).table("train")
    assert dark.columns["images"].max() == 15
    with pytest.raises(DataError, match="expected numbers of 10 bits, 0 to 1023, got 0 to 4095"):
        Images(data=folder, cache_dir=tmp_path / "c", bits=10).prepare()
    with pytest.raises(ValueError, match="bits: expected 0 or 8 to 16, got 7"):
        Images(bits=7)


def test_16_bits_that_are_used_need_no_word(tmp_path: Path) -> None:
    file = grey(tmp_path / "a.png", ramp(65535))
    assert np.array_equal(np.asarray(read_picture(file, DRAFT)), ramp(65535) >> 8)
    black = grey(tmp_path / "b.png", np.zeros((4, 4), np.uint16))
    assert np.asarray(read_picture(black, DRAFT)).max() == 0


def test_12_bits_of_colour_in_16_are_refused(tmp_path: Path) -> None:
    values = np.repeat(ramp(4095)[..., None], 3, 2)
    file = deep_png(tmp_path / "a.png", values)
    with pytest.raises(ValueError, match="16 bits a colour that are used, got none above 4095"):
        read_picture(file, DRAFT)
    bright = deep_png(tmp_path / "b.png", 16 * values)
    assert np.array_equal(np.asarray(read_picture(bright, DRAFT)), (16 * values) >> 8)


def test_transparent_parts_are_white_in_every_reader(tmp_path: Path) -> None:
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert np.asarray(open_image(tmp_path / "a.png", 64)).min() == 255
    assert pixels(Image.open(tmp_path / "a.png"), (64, 64), 3).min() == 255
