"""Folders of image files: by class, Tiny-ImageNet, the sets of renditions, CUB-200-2011."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from nacgraph.tasks.data_report import DataReport, text_lines
from nacgraph.tasks.images.listing import Listing, is_image
from nacgraph.tasks.splits import SPLIT_NAMES, by_split, same_text

WNID = re.compile(r"n\d{8}")
LABELS = "val_annotations.txt"
ASIDE = {
    "test/*": "released without labels",
    "*_boxes.txt": "boxes of objects",
    "words.txt": "names",
}
CUB = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")


def subfolders(path: Path) -> list[Path]:
    """Folders in ``path`` by name, hidden ones and macOS's left out."""
    if not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def images_in(folder: Path, found: DataReport) -> list[Path]:
    """Image files of a folder by name; a folder without any is damage."""
    files = sorted(p for p in folder.iterdir() if is_image(p)) if folder.is_dir() else []
    if not files:
        found.damaged(folder, "expected image files in it, got none")
    return files


def lines_of(path: Path, found: DataReport) -> Iterator[tuple[int, str]]:
    """(number, text) of every line that is not empty."""
    for number, line in enumerate(text_lines(found.read(path).read_bytes()), 1):
        if line.strip():
            yield number, line


# Classes as folders


def has_class_folders(path: Path) -> bool:
    """``train/CLASS/IMAGE`` or ``CLASS/IMAGE``."""
    inside = subfolders(path)
    if any(folder.name.lower() in SPLIT_NAMES for folder in inside):
        inside = [c for f in inside if f.name.lower() in SPLIT_NAMES for c in subfolders(f)]
    return any(is_image(file) for folder in inside for file in folder.iterdir())


def class_folders(path: Path, found: DataReport) -> Listing:
    """Class folders, alone or in folders called train, val, test.

    Folders whose names are all WordNet ids, as ImageNet-R's and Tiny-ImageNet-R's, are a test
    split as a whole: they are there to try a circuit on that was trained on photographs.
    """
    inside = subfolders(path)
    parts = by_split(inside, found)
    if not parts:
        renditions = all(WNID.fullmatch(folder.name) for folder in inside)
        parts = {"test" if renditions else "train": path}
        what = "renditions by WordNet id (as ImageNet-R)" if renditions else "class folders"
    else:
        what = "class folders in " + ", ".join(folder.name for folder in parts.values())
    names = {
        split: {f: same_text(f.name) for f in subfolders(folder)} for split, folder in parts.items()
    }
    first = "train" if "train" in names else None
    known = sorted({n for s, each in names.items() if s == (first or s) for n in each.values()})
    splits: dict[str, list[tuple[Path, int]]] = {}
    for split in parts:
        splits[split] = []
        for folder, name in names[split].items():
            if name not in known:
                found.damaged(folder, f"expected a class of the {first} split, got {name!r}")
                continue
            label = known.index(name)
            splits[split] += [(file, label) for file in images_in(folder, found)]
    return Listing(tuple(known), f"images in {path}: {what}", splits)


# Tiny-ImageNet


def tiny_imagenet_folder(path: Path) -> Path | None:
    """The folder of Tiny-ImageNet that ``path`` is or holds; its ``val`` alone counts too."""
    for folder in (path, path / "tiny-imagenet-200"):
        if (folder / "wnids.txt").is_file() or (folder / "val" / LABELS).is_file():
            return folder
        if (folder / LABELS).is_file():
            return folder
        if any((folder / "train").glob("n[0-9]*/images")):
            return folder
    return None


def tiny_imagenet(path: Path, found: DataReport) -> Listing:
    """``train/<wnid>/images`` and ``val/images`` with ``val_annotations.txt``, our test split.

    ``val`` may also be sorted into class folders, ``val/<wnid>/images`` or ``val/<wnid>``, as many
    programs have it. Their own test split has no labels, so ours is their val, and our val is
    carved from train. Classes are WordNet ids in order, since the names in ``words.txt`` may
    repeat; those are tags.

    Raises:
        FileNotFoundError: If a list is not there.
    """
    folder = tiny_imagenet_folder(path) or path
    alone = (folder / LABELS).is_file()  # the val folder, which has no classes
    val = folder if alone else folder / "val"
    root = folder.parent if alone else folder
    unsorted = (val / "images").is_dir() and any(map(is_image, (val / "images").iterdir()))
    by_class = not unsorted and any(WNID.fullmatch(f.name) for f in subfolders(val))
    has_labels = not by_class or (val / LABELS).is_file()
    annotations = _annotations(val / LABELS, found) if has_labels else []
    if (root / "wnids.txt").is_file() or not (alone or by_class):
        classes = _wnids(root / "wnids.txt", found)
    elif alone:
        classes = sorted({wnid for _, _, wnid in annotations})
    else:
        classes = sorted(f.name for f in subfolders(root / "train") if WNID.fullmatch(f.name))
    number = {name: k for k, name in enumerate(classes)}
    test = _sorted_val if by_class else _annotated_val
    splits = {"test": test(val, annotations, number, found)}
    if not alone:
        splits = {"train": [], **splits}
        for name in classes:
            images = images_in(_inner(root / "train" / name), found)
            splits["train"] += [(file, number[name]) for file in images]
    found.aside(root, ASIDE)
    tags = {}
    if (root / "words.txt").is_file():
        words = _words(root / "words.txt", found)
        for split, pairs in splits.items():
            tags[split] = {"name": [words.get(classes[k], classes[k]) for _, k in pairs]}
    return Listing(tuple(classes), f"Tiny-ImageNet in {folder}", splits, tags)


def _wnids(path: Path, found: DataReport) -> list[str]:
    classes: list[str] = []
    for number, line in lines_of(path, found):
        name = line.strip()
        if not WNID.fullmatch(name) or name in classes:
            found.damaged(f"{path}, line {number}", f"expected a new WordNet id, got {name!r}")
        else:
            classes.append(name)
    return sorted(classes)


def _words(path: Path, found: DataReport) -> dict[str, str]:
    words = {}
    for number, line in lines_of(path, found):
        wnid, tab, text = line.partition("\t")
        if not tab:
            found.damaged(f"{path}, line {number}", f"expected WNID<TAB>words, got {line!r}")
        words[wnid] = text.split(",")[0].strip()
    return words


def _inner(folder: Path) -> Path:
    """Where the images of a class are: in ``images``, or in its folder."""
    return folder if folder.is_dir() and not (folder / "images").is_dir() else folder / "images"


Annotations = list[tuple[int, str, str]]  # line, file, WordNet id


def _annotated_val(
    val: Path, annotations: Annotations, number: Mapping[str, int], found: DataReport
) -> list[tuple[Path, int]]:
    """``val/images`` as it was released, by its list of labels."""
    pairs = []
    for line, file, wnid in annotations:
        where = f"{val / LABELS}, line {line}"
        if wnid not in number:
            found.damaged(where, f"expected a class of wnids.txt, got {wnid!r}")
        elif not (val / "images" / file).is_file():
            found.damaged(where, f"expected the image {val / 'images' / file}, got no such file")
        else:
            pairs.append((val / "images" / file, number[wnid]))
    return pairs


def _sorted_val(
    val: Path, annotations: Annotations, number: Mapping[str, int], found: DataReport
) -> list[tuple[Path, int]]:
    """``val`` sorted into folders of classes, compared with the list of labels if it is there."""
    pairs = []
    said = {file: (line, wnid) for line, file, wnid in annotations}
    for folder in (f for f in subfolders(val) if f.name != "images"):
        if folder.name not in number:
            found.damaged(folder, f"expected a class of wnids.txt, got {folder.name!r}")
            continue
        for file in images_in(_inner(folder), found):
            line, wnid = said.pop(file.name, (0, folder.name))
            if wnid != folder.name:
                found.damaged(file, f"expected it in {wnid}, as in line {line} of {LABELS}")
            else:
                pairs.append((file, number[wnid]))
    for name, (line, wnid) in said.items():
        where = f"{val / LABELS}, line {line}"
        found.damaged(where, f"expected the image {name} in {wnid}, got no such file")
    return pairs


def _annotations(path: Path, found: DataReport) -> Annotations:
    """(line, file, wnid) of every good line."""
    rows = []
    for number, line in lines_of(path, found):
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) != 6 or not all(cell.strip().isdigit() for cell in cells[2:]):
            what = f"expected file, wnid and four numbers between tabs, got {line!r}"
            found.damaged(f"{path}, line {number}", what)
        elif Path(cells[0]).name != cells[0]:
            found.damaged(f"{path}, line {number}", f"expected a file's name, got {cells[0]!r}")
        else:
            rows.append((number, cells[0], cells[1]))
    return rows


# CUB-200-2011


def cub_folder(path: Path) -> Path | None:
    """The folder of CUB-200-2011 that ``path`` is or holds."""
    for folder in (path, path / "CUB_200_2011"):
        if sum((folder / name).is_file() for name in CUB) >= 2:
            return folder
    return None


def cub(path: Path, found: DataReport) -> Listing:
    """``images.txt`` and its companions: image id, then path, class from 1, whether it trains.

    Raises:
        FileNotFoundError: If a list is not there.
    """
    folder = cub_folder(path) or path
    images, labels, trains, classes = (_pairs(folder / name, found) for name in CUB)
    numbers = {key: k for k, key in enumerate(classes)}
    splits: dict[str, list[tuple[Path, int]]] = {"train": [], "test": []}
    for key, (line, name) in images.items():
        file = folder / "images" / name
        where = f"{folder / 'images.txt'}, line {line}"
        if Path(name).is_absolute() or ".." in Path(name).parts:
            found.damaged(where, f"expected a path inside of images, got {name!r}")
        elif key not in labels or key not in trains:
            missing = CUB[1] if key not in labels else CUB[2]
            found.damaged(where, f"expected image {key} in {missing} too, got none")
        elif labels[key][1] not in numbers:
            at = f"{folder / CUB[1]}, line {labels[key][0]}"
            found.damaged(at, f"expected a class of classes.txt, got {labels[key][1]!r}")
        elif trains[key][1] not in ("0", "1"):
            at = f"{folder / CUB[2]}, line {trains[key][0]}"
            found.damaged(at, f"expected 0 or 1, got {trains[key][1]!r}")
        elif not file.is_file():
            found.damaged(where, f"expected the image {file}, got no such file")
        else:
            split = "train" if trains[key][1] == "1" else "test"
            splits[split].append((file, numbers[labels[key][1]]))
    found.aside(
        folder,
        {"parts/*": "places of parts", "attributes/*": "attributes", "bounding_boxes.txt": "boxes"},
    )
    names = tuple(same_text(name) for _, name in classes.values())
    return Listing(names, f"CUB-200-2011 in {folder}", splits)


def _pairs(path: Path, found: DataReport) -> dict[str, tuple[int, str]]:
    """``id value`` lines as {id: (line, value)}, in their order."""
    pairs: dict[str, tuple[int, str]] = {}
    for number, line in lines_of(path, found):
        key, _, value = line.strip().partition(" ")
        if not key.isdigit() or not value.strip() or key in pairs:
            found.damaged(f"{path}, line {number}", f"expected a new id and a value, got {line!r}")
        else:
            pairs[key] = number, value.strip()
    return pairs
