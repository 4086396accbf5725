"""Every reader on damaged files: it says what is wrong, by file, and never breaks."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import images_on_disk as disk
import numpy as np
import pytest
from PIL import Image

from nacgraph.tasks import get_task
from nacgraph.tasks.inspection import inspect_task, inspection_text
from nacgraph.tasks.listops.data import Recipe, generate
from nacgraph.tasks.listops.tsv import write_tsv

OFF = "OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n"


def put(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def folders(data: Path) -> None:
    disk.class_folders(data, count=3)
    ramp = np.linspace(0, 1, 64).reshape(8, 8)
    Image.fromarray(ramp.astype(np.float32)).save(data / "cat" / "f.tif")
    Image.fromarray((65535 * ramp).astype(np.uint16)).save(data / "dog" / "g.png")


def lists(data: Path) -> None:
    data.mkdir()
    for split in ("train", "val", "test"):
        write_tsv(data / f"basic_{split}.tsv", generate(Recipe(4, 20, (20,)), 0))


def tables(data: Path) -> None:
    for split in ("train", "test"):
        rows = "".join(f"{k % 2}\ttext number {k}\n" for k in range(20))
        put(data / f"{split}.tsv", f"label\ttext\n{rows}")


def reviews(data: Path) -> None:
    for split in ("train", "test"):
        for label, stars in (("pos", 8), ("neg", 2)):
            for k in range(4):
                put(data / split / label / f"{k}_{stars}.txt", f"film {k}")


def meshes(data: Path) -> None:
    for category in ("box", "bar"):
        for split in ("train", "test"):
            for k in range(2):
                put(data / category / split / f"{category}_{k}.off", OFF)


def clouds(data: Path) -> None:
    data.mkdir()
    points = np.random.default_rng(0).random((12, 16, 3))
    np.savez(data / "a.npz", points=points, labels=np.arange(12) % 2)


def hdf5(data: Path) -> None:
    import h5py

    for split in ("train", "test"):
        put(data / f"{split}_files.txt", f"data/ply_data_{split}0.h5\n")
        with h5py.File(data / f"ply_data_{split}0.h5", "w") as file:
            file["data"] = np.random.default_rng(0).random((6, 16, 3)).astype(np.float32)
            file["label"] = (np.arange(6) % 2).reshape(-1, 1).astype(np.uint8)
    put(data / "shape_names.txt", "bar\nbox\n")


def pairs(data: Path) -> None:
    lines = []
    for k in range(8):
        for side in (0, 1):
            disk.picture(data / f"train-{k}-0-img{side}.png", k + side, (16, 16))
        label = str(bool(k % 2))
        fields = {"identifier": f"train-{k}-0-0", "sentence": "a dog", "label": label}
        lines.append(json.dumps({**fields, "directory": k}))
    put(data / "train.json", "\n".join(lines))


def features(data: Path) -> None:
    data.mkdir()
    np.savez(
        data / "features.npz",
        features=np.random.default_rng(0).random((12, 2, 3)).astype(np.float16),
        images=np.array([f"train-{k}-0-img{side}" for k in range(6) for side in (0, 1)]),
        identifiers=np.array([f"train-{k}-0-0" for k in range(6)]),
        sentences=np.array(["a dog"] * 6),
        labels=np.array(["True", "False"] * 3),
    )


Maker = Callable[[Path], object]
READERS: dict[str, tuple[str, dict[str, int], Maker]] = {
    "mnist": ("images", {}, disk.mnist),
    "cifar": ("images", {}, lambda data: disk.cifar10(data, 6)),
    "tiny-imagenet": ("images", {}, lambda data: disk.tiny_imagenet(data, 2, 8)),
    "cub": ("images", {}, disk.cub),
    "class folders": ("images", {}, folders),
    "listops": ("listops", {}, lists),
    "text": ("text", {}, tables),
    "imdb": ("text", {}, reviews),
    "meshes": ("points", {"count": 16}, meshes),
    "npz": ("points", {"count": 16}, clouds),
    "hdf5": ("points", {"count": 16}, hdf5),
    "nlvr2": ("nlvr2", {"image_size": 16}, pairs),
    "features": ("nlvr2", {}, features),
}


def harmed(data: bytes, rng: random.Random) -> bytes | None:
    """The content cut, with flipped bits, more or fewer bytes, shuffled lines, …; None: gone."""
    place, noise = rng.randrange(len(data) + 1), rng.randbytes(rng.randrange(1, 20))
    lines = data.split(b"\n")
    rng.shuffle(lines)
    flipped = bytearray(data)
    for _ in range(rng.randrange(1, 8)):
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return rng.choice(
        [
            *(data[:place], bytes(flipped), b"", b"<html>gone</html>", rng.randbytes(200)),
            *(data[:place] + noise + data[place:], data[:place] + data[place + len(noise) :]),
            *(b"\n".join(lines), None),
        ]
    )


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("times", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_damage_is_told_by_file_and_nothing_breaks(
    tmp_path: Path, name: str, times: int, capsys: pytest.CaptureFixture[str]
) -> None:
    task, settings, make = READERS[name]
    make(tmp_path / "whole")
    files = [f.relative_to(tmp_path / "whole") for f in (tmp_path / "whole").rglob("*")]
    files = sorted(f for f in files if (tmp_path / "whole" / f).is_file())
    told = 0
    for seed in range(times):
        rng, data = random.Random(seed), tmp_path / "data"
        shutil.copytree(tmp_path / "whole", data)
        file = data / rng.choice(files)
        content = harmed(file.read_bytes(), rng)
        file.unlink() if content is None else file.write_bytes(content)

        def made(data: Path = data) -> object:
            return get_task(task)(data=data, cache_dir=tmp_path / "c", batch_size=1, **settings)

        result = inspect_task(task, made())
        assert "verdict" in inspection_text(result)
        json.dumps(result)
        for text in result["damage"]:
            assert str(data) in text or text.startswith(("data:", "count:")), (seed, text)
        if result["damage"]:
            told += 1
            with pytest.raises((ValueError, OSError)):  # training stops at what check finds
                made().prepare()
        shutil.rmtree(data)
    assert times < 100 or told > times // 10  # most bytes of a review may be any
