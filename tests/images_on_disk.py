"""Tiny copies of the layouts of real image data sets, exactly as they lie on disk."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nacgraph.training.build import build_model, build_task
from nacgraph.training.checkpoint import save_checkpoint
from nacgraph.training.config import make_config
from nacgraph.training.folder import RunFolder

WNIDS = ("n02000001", "n01000002", "n03000003")  # not in order, as in the real wnids.txt


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (8, 8), grey: bool = False) -> Path:
    """An image file of noise, (height, width), its kind by the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed, *size) if grey else noise(seed, *size, 3)).save(path)
    return path


def idx(path: Path, array: np.ndarray) -> Path:
    """An IDX file of bytes, gzipped if its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = np.array([0x800 + array.ndim, *array.shape], ">u4").tobytes()
    data = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def mnist(folder: Path, train: int = 40, test: int = 20, ending: str = ".gz") -> Path:
    """Both splits; every class occurs."""
    for seed, (prefix, count) in enumerate((("train", train), ("t10k", test))):
        idx(folder / f"{prefix}-images-idx3-ubyte{ending}", noise(seed, count, 28, 28))
        idx(folder / f"{prefix}-labels-idx1-ubyte{ending}", np.arange(count) % 10)
    return folder


def dump(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))  # as the real files


def cifar10(base: Path, count: int = 20) -> Path:
    folder = base / "cifar-10-batches-py"
    for k, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        labels = [(k + i) % 10 for i in range(count)]
        names = [f"x_{i}.png".encode() for i in range(count)]
        dump(
            folder / name,
            {
                b"batch_label": name.encode(),
                b"labels": labels,
                b"data": noise(k, count, 3072),
                b"filenames": names,
            },
        )
    names = [f"thing{k}".encode() for k in range(10)]
    dump(folder / "batches.meta", {b"num_cases_per_batch": count, b"label_names": names})
    return base


def cifar100(base: Path) -> Path:
    folder = base / "cifar-100-python"
    for seed, name in enumerate(("train", "test")):
        labels = list(range(100)) * 2
        dump(
            folder / name,
            {
                b"data": noise(seed, 200, 3072),
                b"fine_labels": labels,
                b"coarse_labels": [k // 5 for k in labels],
            },
        )
    dump(folder / "meta", {b"fine_label_names": [f"fine{k}".encode() for k in range(100)]})
    return base


def tiny_imagenet(base: Path, images: int = 3, size: int = 64) -> Path:
    root = base / "tiny-imagenet-200"
    for c, wnid in enumerate(WNIDS):
        for k in range(images):
            file = root / "train" / wnid / "images" / f"{wnid}_{k}.JPEG"
            picture(file, 10 * c + k, (size, size), grey=k == 0)
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t9\t9\n")
    lines = []
    for k in range(6):
        picture(root / "val" / "images" / f"val_{k}.JPEG", 100 + k, (size, size))
        lines.append(f"val_{k}.JPEG\t{WNIDS[k % 3]}\t0\t32\t44\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    (root / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (root / "words.txt").write_text("".join(f"{w}\tcrane, bird {w}\n" for w in WNIDS))
    return base


def class_folders(base: Path, names: Sequence[str] = ("cat", "dog"), count: int = 10) -> Path:
    for c, name in enumerate(names):
        for k in range(count):
            picture(base / name / f"{k:03d}.{'png' if k % 2 else 'jpg'}", 20 * c + k, (12, 12))
    return base


def cub(base: Path) -> Path:
    root = base / "CUB_200_2011"
    names = ("001.Black_footed_Albatross", "002.Laysan_Albatross")
    files = [f"{names[k % 2]}/Bird_{k:04d}.jpg" for k in range(8)]
    for k, file in enumerate(files):
        picture(root / "images" / file, k, (20 + k, 30))
    lists = {
        "images.txt": [f"{k + 1} {file}" for k, file in enumerate(files)],
        "image_class_labels.txt": [f"{k + 1} {k % 2 + 1}" for k in range(8)],
        "train_test_split.txt": [f"{k + 1} {int(k < 6)}" for k in range(8)],
        "classes.txt": [f"{k + 1} {name}" for k, name in enumerate(names)],
    }
    for name, lines in lists.items():
        (root / name).write_text("\n".join(lines) + "\n")
    return base


SIZES = {
    "modules": 6, "readouts": 2, "width": 8, "code_dim": 8, "signature_dim": 8, "heads": 2,
    "head_dim": 4, "read_heads": 2, "read_head_dim": 4, "rounds": 2, "batch_size": 8,
    "prior": "none", "train_size": 50, "val_size": 9, "test_size": 9,
}  # fmt: skip


def untrained(folder: Path, **changed: Any) -> Path:
    """A run folder as training leaves it, with the weights of its start."""
    config = make_config(**{**SIZES, "cache_dir": str(folder.parent / "cache"), **changed})
    task = build_task(config)
    model = build_model(config, task, None)
    RunFolder(folder).create(config, task)
    weights = {f"model/{name}": t for name, t in model.state_dict().items()}
    (folder / "checkpoints").mkdir()
    save_checkpoint(folder / "checkpoints", "best", weights, {"step": 0})
    return folder
