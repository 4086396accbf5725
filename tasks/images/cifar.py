"""CIFAR-10 and CIFAR-100 in their Python layout, without letting a pickle run anything."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nacgraph.tasks.data_report import DataReport
from nacgraph.tasks.images.listing import Wanted, fitted
from nacgraph.tasks.splits import Data, Table

TEN, HUNDRED = "cifar-10-batches-py", "cifar-100-python"
KINDS = ("u1", "i1", "i2", "i4", "i8")


class _Kind:
    """Stands for ``numpy.dtype`` in a pickle: a number type by its name."""

    def __init__(self, name: Any = "u1", *_: Any) -> None:
        text = name.decode("latin1") if isinstance(name, bytes) else name
        if text not in KINDS:
            raise pickle.UnpicklingError(f"expected an array of whole numbers, got {text!r}")
        self.name = text

    def __setstate__(self, state: Any) -> None:
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order in ("<", ">"):
            self.name = order + self.name


class _Array:
    """Stands for ``numpy.ndarray`` in a pickle: bytes, a shape and a number type, no more."""

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        if not isinstance(kind, _Kind) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("expected an array as bytes, got something else")
        flat = np.frombuffer(data, np.dtype(kind.name))
        self.array = flat.reshape(shape, order="F" if fortran else "C")


def _rebuilt(*_: Any) -> _Array:
    return _Array()


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> _Array:
    """How NumPy writes arrays since protocol 5 of pickle."""
    array = _Array()
    content = bytes(data) if isinstance(data, (bytes, bytearray)) else data
    array.__setstate__((1, shape, kind, order in ("F", b"F"), content))
    return array


def _scalar(kind: Any, data: Any) -> int:
    """A number of NumPy's as one of Python's."""
    if not isinstance(kind, _Kind) or not isinstance(data, bytes):
        raise pickle.UnpicklingError("expected a number as bytes, got something else")
    return int(np.frombuffer(data, np.dtype(kind.name), 1)[0])


def _encoded(text: str, codec: str) -> bytes:
    """How Python 3 writes bytes in pickles that Python 2 can read."""
    if codec != "latin1":
        raise pickle.UnpicklingError(f"expected bytes as latin1, got {codec!r}")
    return text.encode("latin1")


class ArrayUnpickler(pickle.Unpickler):
    """Reads dicts, lists, texts, numbers and arrays; any other class or function is an error.

    Even NumPy's own constructors are not called: plain stand-ins take their place.
    """

    ALLOWED: Mapping[tuple[str, str], Any] = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Kind,
        ("numpy.core.multiarray", "_reconstruct"): _rebuilt,
        ("numpy._core.multiarray", "_reconstruct"): _rebuilt,
        ("numpy.core.numeric", "_frombuffer"): _from_buffer,
        ("numpy._core.numeric", "_frombuffer"): _from_buffer,
        ("numpy.core.multiarray", "scalar"): _scalar,
        ("numpy._core.multiarray", "scalar"): _scalar,
        ("collections", "OrderedDict"): dict,
        ("_codecs", "encode"): _encoded,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"expected arrays, texts and numbers only, got {module}.{name}"
            ) from None


def cifar_folder(path: Path) -> Path | None:
    """The folder of CIFAR batches that ``path`` is or holds."""
    for folder in (path, path / TEN, path / HUNDRED):
        if (folder / "batches.meta").is_file() or (folder / "meta").is_file():
            return folder
        if folder.name in (TEN, HUNDRED) and folder.is_dir():
            return folder  # its meta file is missing, and will be named
        if any(folder.glob("data_batch_[1-5]")):
            return folder
    return None


def read_cifar(path: Path, wanted: Wanted, found: DataReport) -> Data:
    """Train and test images; CIFAR-100 by its hundred fine labels.

    Raises:
        FileNotFoundError: If a batch is not there.
    """
    folder = cifar_folder(path) or path
    found.aside(folder, {"*.html": "about the data", "*file.txt~": "an empty file"})
    hundred = folder.name == HUNDRED or (folder / "meta").is_file()
    meta = "meta" if hundred else "batches.meta"
    key = "fine_labels" if hundred else "labels"
    count = 100 if hundred else 10
    content = _unpickled(found.read(folder / meta), found)
    names = content.get("fine_label_names" if hundred else "label_names", ())
    classes = tuple(n.decode() if isinstance(n, bytes) else str(n) for n in names)
    if len(classes) != count:
        found.damaged(folder / meta, f"expected {count} names of classes, got {len(classes)}")
        classes = tuple(map(str, range(count)))
    files = (
        {"train": ["train"], "test": ["test"]}
        if hundred
        else {
            "train": [f"data_batch_{k}" for k in range(1, 6)],
            "test": ["test_batch"],
        }
    )
    tables = {}
    for split, batches in files.items():
        parts = [_batch(found.read(folder / name), key, count, found) for name in batches]
        images, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
        tables[split] = Table(labels, {"images": fitted(images, wanted)})
    return Data(tables, classes, f"CIFAR-{count}: batches in {folder}")


def _batch(path: Path, key: str, classes: int, found: DataReport) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) and labels (N) of one file, without its damaged rows."""
    nothing = np.zeros((0, 32, 32, 3), np.uint8), np.zeros(0, np.int64)
    content = _unpickled(path, found)
    if not content:
        return nothing
    data = content.get("data")
    pixels = data.array if isinstance(data, _Array) and hasattr(data, "array") else None
    if pixels is None or pixels.dtype != np.uint8 or pixels.shape[1:] != (3072,):
        got = "none" if pixels is None else f"{pixels.dtype} {pixels.shape}"
        found.damaged(path, f"expected data as uint8 (N, 3072), got {got}")
        return nothing
    given = content.get(key)
    if isinstance(given, _Array) and given.array.ndim == 1:
        given = given.array.tolist()
    given = list(given) if isinstance(given, tuple) else given
    if not isinstance(given, list) or len(given) != len(pixels):
        count = len(given) if isinstance(given, list) else 0
        found.damaged(path, f"expected {len(pixels)} {key}, as many as images, got {count}")
        return nothing
    fine = [isinstance(label, int) and 0 <= label < classes for label in given]
    for row in np.flatnonzero(~np.array(fine, bool)):
        what = f"expected a label 0 to {classes - 1}, got {given[row]!r}"
        found.damaged(f"{path}, row {row}", what)
    labels = np.array([label for label, ok in zip(given, fine, strict=True) if ok], np.int64)
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)[np.array(fine, bool)]
    return np.ascontiguousarray(images), labels


def _unpickled(path: Path, found: DataReport) -> dict[str, Any]:
    """The dict in a file, its keys as text; empty after its damage was reported."""
    try:
        content = ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        if not isinstance(content, dict):
            raise pickle.UnpicklingError(f"got {type(content).__name__}")
    except Exception as error:  # a broken pickle may raise anything
        found.damaged(path, f"expected a pickled dict of arrays and lists, got a bad one ({error})")
        return {}
    return {k.decode("latin1") if isinstance(k, bytes) else str(k): v for k, v in content.items()}
