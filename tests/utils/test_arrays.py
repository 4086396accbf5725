"""Arrays of anyone: bounded, checked, never code."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nacgraph.utils.arrays import read_arrays
from nacgraph.utils.errors import CheckpointError


def test_numbers_come_back(tmp_path: Path) -> None:
    given = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "c": np.array(True),
        "d": np.zeros((0, 3), np.float32),
    }
    np.savez_compressed(tmp_path / "x.npz", **given)
    found = read_arrays(tmp_path / "x.npz")
    assert set(found) == set(given)
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def declared(shape: tuple[int, ...], data: bytes) -> bytes:
    """An .npy that says it has this shape."""
    header = io.BytesIO()
    what = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, what)
    return header.getvalue() + data


@pytest.mark.parametrize(
    "member",
    [
        declared((1 << 33,), b""),  # 64 GiB
        declared((-4,), b""),
        declared((1 << 40, 1 << 40), b""),
        declared((4,), b"short"),
        declared((1,), bytes(16)),
        declared((1 << 24,), bytes(8 << 24)),  # 128 MiB of zeros in some kB
        b"no array",
        b"",
    ],
    ids=["64 GiB", "negative", "overflow", "short", "long", "bomb", "text", "empty"],
)
def test_what_is_not_as_it_says_is_refused(tmp_path: Path, member: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", member)
    with pytest.raises(CheckpointError, match=r"x\.npz: damaged, or no \.npz of numbers"):
        read_arrays(tmp_path / "x.npz")


def test_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{}], dtype=object))
    with pytest.raises(CheckpointError, match="expected numbers"):
        read_arrays(tmp_path / "x.npz")


@pytest.mark.parametrize("seed", range(40))
def test_any_damage_is_noticed_or_harmless(tmp_path: Path, seed: int) -> None:
    rng, given = np.random.default_rng(seed), np.random.default_rng(0).random((9, 7))
    np.savez_compressed(tmp_path / "x.npz", a=given)
    data = bytearray((tmp_path / "x.npz").read_bytes())
    if seed % 2:
        del data[rng.integers(len(data)) :]
    else:
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    (tmp_path / "x.npz").write_bytes(data)
    try:
        found = read_arrays(tmp_path / "x.npz")
    except CheckpointError:
        return
    for array in found.values():  # a name may differ, no number
        np.testing.assert_array_equal(array, given)
