"""Folders of OFF meshes as ModelNet has them: reading, sampling, the cache, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.io import read_off as pyg_read_off

from nacgraph.tasks.data_report import DataError, DataReport
from nacgraph.tasks.points import Points, meshes
from nacgraph.tasks.points.off import read_off

CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 2) for z in (0, 3)]
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
TRIANGLES = [t for a, b, c, d in QUADS for t in ((a, b, c), (a, c, d))]


def off(faces: list = TRIANGLES, corners: list = CORNERS, header: str = "OFF\n") -> str:
    lines = [f"{header}{len(corners)} {len(faces)} 0"]
    lines += [" ".join(f"{x:.6g}" for x in corner) for corner in corners]
    lines += [" ".join(map(str, (len(face), *face))) for face in faces]
    return "\n".join(lines) + "\n"


def more(header: str, behind: str) -> str:
    """The mesh with further numbers behind every vertex."""
    lines = off(header=f"{header}\n").split("\n")
    lines[2 : 2 + len(CORNERS)] = [line + behind for line in lines[2 : 2 + len(CORNERS)]]
    return "\n".join(lines)


def parse(tmp_path: Path, text: str | bytes) -> tuple[np.ndarray, np.ndarray]:
    path = tmp_path / "mesh.off"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    mesh = read_off(path, DataReport())
    assert mesh is not None
    return mesh


def area(mesh: tuple[np.ndarray, np.ndarray]) -> float:
    a, b, c = (mesh[0][mesh[1][:, k]] for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


@pytest.mark.parametrize(
    "text",
    [
        off(),
        off(header="OFF"),  # glued to the counts, as in many files of ModelNet40
        off(header="OFF "),
        off(header="OFF \n"),
        off().replace("\n", "\r\n"),
        off().rstrip("\n"),
        off().replace(" 12 0\n", " 12 0\n\n# a comment\n"),
        off().replace(" 12 0\n", " 12\n"),
        off(QUADS),
        off().replace("3 0 1 3\n", "3 0 1 3 255 0 0.5\n"),
        "\ufeff" + off(),
        "\ufeff" + off(header="OFF"),
        "# a comment first\n" + off(),
        off(header="off\n"),
        off(header="off"),
        more("COFF", " 255 0 0 255"),
        more("coff", " 0.5 0 0"),
        more("NOFF", " 0 0 1"),
        more("STCNOFF", " 0 0 1 9 9 9 9 0.5 0.5"),
    ],
)
def test_spellings_of_one_mesh_are_one_mesh(tmp_path: Path, text: str) -> None:
    vertices, triangles = parse(tmp_path, text)
    # Coordinates come divided by the largest, 3, since only the shape counts.
    np.testing.assert_allclose(vertices, np.array(CORNERS) / 3, atol=1e-12)
    assert triangles.shape == (12, 3) and triangles.dtype == np.int64
    assert area((vertices, triangles)) == pytest.approx(22 / 9)


def test_meshes_are_those_that_torch_geometric_reads(tmp_path: Path) -> None:
    for header, faces in (("OFF\n", TRIANGLES), ("OFF", QUADS)):
        vertices, triangles = parse(tmp_path, off(faces, header=header))
        data = pyg_read_off(str(tmp_path / "mesh.off"))
        torch.testing.assert_close(torch.from_numpy(3 * vertices).float(), data.pos)
        found = {tuple(t) for t in triangles.tolist()}
        assert found == {tuple(t) for t in data.face.t().tolist()}


def test_polygons_of_any_size_count(tmp_path: Path) -> None:
    angle = 2 * np.pi * np.arange(7) / 7
    ring = [(np.cos(a), np.sin(a), 0.0) for a in angle]
    mesh = parse(tmp_path, off([tuple(range(7)), (0, 1, 2)], ring))
    assert len(mesh[1]) == 6
    assert area((mesh[0], mesh[1][:5])) == pytest.approx(3.5 * np.sin(2 * np.pi / 7), rel=1e-4)


DAMAGE = {
    "page": ("<html><body>gone</body></html>", None, "begins with OFF, got a web page"),
    "empty": ("", None, "begins with OFF, got an empty file"),
    "ply": ("ply\nformat ascii 1.0\n", None, "begins with OFF, got a file that begins"),
    "binary": (off(header="OFF BINARY\n"), 1, "three dimensions as text, got 'OFF BINARY'"),
    "4 dimensions": (off(header="4OFF\n"), 1, "three dimensions as text, got '4OFF'"),
    "colours missing": (off(header="COFF\n"), 3, "coordinates and 3 or 4 more, got"),
    "colours unannounced": (more("OFF", " 9 9 9"), 3, "three finite coordinates, got"),
    "header": (off().replace("8 12 0", "8 twelve 0"), 2, "numbers of vertices.* got '8 twelve 0'"),
    "one count": (off(header="OFF").replace("8 12 0", "812"), 1, "numbers of .* got '812'"),
    "header alone": ("OFF\n", 1, "numbers of vertices, faces and edges, got ''"),
    "no face": (off([]), 2, "at least 3 vertices and a face, got 8 and 0"),
    "cut": (off()[:117], 18, "8 vertices and 12 faces, a line each, got 16 lines"),
    "longer": (off() + "3 0 1 2\n", 23, "8 vertices and 12 faces, .* got 21 lines"),
    "word": (off().replace("1 2 3", "1 two 3"), 10, "three coordinates, got '1 two 3'"),
    "nan": (off().replace("1 2 3", "1 nan 3"), 10, "finite coordinates, got '1 nan 3'"),
    "inf": (off().replace("1 2 3", "1 2 1e999"), 10, "finite coordinates, got '1 2 1e999'"),
    "two": (off().replace("1 2 3\n", "1 2\n"), 10, "coordinates, got '1 2'"),
    "shifted": (
        off().replace("1 2 0\n1 2 3\n", "1 2\n0 1 2 3\n"), 9, "coordinates, got '1 2'"
    ),
    "vertex": (off().replace("3 0 1 3\n", "3 0 1 8\n"), 11, "from 0 to 7, got vertex 8"),
    "below": (off().replace("3 0 1 3\n", "3 0 -1 3\n"), 11, "from 0 to 7, got vertex -1"),
    "corner": (off().replace("3 0 1 3\n", "3 0 1\n"), 11, "as many corners, got '3 0 1'"),
    "line": (off().replace("3 0 1 3\n", "2 0 1\n"), 11, "corners from 3 on .* got '2 0 1'"),
    "letter": (off().replace("3 0 1 3\n", "3 0 x 3\n"), 11, "whole numbers, got '3 0 x 3'"),
    "share": (off().replace("3 0 1 3\n", "3 0 1.5 3\n"), 11, "whole numbers, got '3 0 1.5 3'"),
    "flat": (off([(0, 0, 1), (2, 2, 2)]), None, "faces with an area, got a degenerate mesh"),
    "zero": (off(corners=[(0, 0, 0)] * 8), None, "faces with an area, got a degenerate mesh"),
    "bytes": (b"OFF\n8 12 0\n\xff\xfe\n" + b"0 0 0\n" * 19, 3, "three coordinates"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_mesh_is_named_with_its_line(tmp_path: Path, kind: str) -> None:
    text, line, message = DAMAGE[kind]
    where = r"mesh\.off" if line is None else rf"mesh\.off, line {line}"
    with pytest.raises(DataError, match=rf"{where}: expected .*{message}"):
        parse(tmp_path, text)
    found = DataReport(collect=True)
    assert read_off(tmp_path / "mesh.off", found) is None
    assert len(found.damage) == 1


def test_a_size_far_from_one_is_no_damage(tmp_path: Path) -> None:
    for size in (1e-200, 1e200):
        corners = [tuple(size * x for x in corner) for corner in CORNERS]
        assert area(parse(tmp_path, off(corners=corners))) == pytest.approx(22 / 9, rel=1e-4)


def write_modelnet(folder: Path) -> Path:
    """``ModelNet40/<category>/{train,test}/<category>_NNNN.off``."""
    for category, height in (("bathtub", 1.0), ("chair", 3.0), ("night_stand", 5.0)):
        number = 0
        for split, count in (("train", 4), ("test", 2)):
            place = folder / category / split
            place.mkdir(parents=True)
            for _ in range(count):
                number += 1
                corners = [(x, y, z * height * (1 + number / 50)) for x, y, z in CORNERS]
                header = "OFF" if number % 2 else "OFF\n"
                text = off(corners=corners, header=header)
                (place / f"{category}_{number:04d}.off").write_text(text)
    return folder


def task(folder: Path, **arguments) -> Points:
    arguments = {"cache_dir": folder.parent / "cache", "count": 32, "batch_size": 2} | arguments
    return Points(data=folder, **arguments)


def test_modelnet_as_meshes_is_read(tmp_path: Path) -> None:
    folder = write_modelnet(tmp_path / "ModelNet40")
    (folder / "README.txt").write_text("hello")
    (folder / "chair" / "train" / ".DS_Store").write_bytes(b"\0")
    read = task(folder)
    assert read.classes == ("bathtub", "chair", "night_stand")
    assert [len(read.table(s)) for s in ("train", "val", "test")] == [9, 3, 6]
    assert np.bincount(read.table("test").labels).tolist() == [2, 2, 2]
    points = read.table("test").columns["points"]
    assert points.shape == (6, 32, 3) and points.dtype == np.float32
    pool = task(folder, resample=True).table("test").columns["points"]
    assert pool.shape == (6, meshes.SAMPLED, 3)
    np.testing.assert_allclose(pool.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(pool, axis=-1).max(1), 1, atol=1e-5)
    wide = np.ptp(pool, axis=1)
    np.testing.assert_allclose(wide[:, 1] / wide[:, 0], 2, rtol=0.05)
    assert "OFF" in read.describe() and "ModelNet40" in read.describe()


def test_points_of_a_mesh_depend_on_its_name_and_the_data_seed_alone(tmp_path: Path) -> None:
    folder = write_modelnet(tmp_path / "ModelNet40")
    one = task(folder, seed=1, resample=True).table("test").columns["points"]
    two = task(folder, cache_dir=tmp_path / "other", resample=True).table("test").columns["points"]
    assert np.array_equal(one, two)
    other = task(folder, data_seed=1, resample=True).table("test").columns["points"]
    assert not np.array_equal(np.sort(one, 1), np.sort(other, 1))
    (folder / "bathtub" / "test" / "bathtub_0005.off").unlink()
    fewer = meshes.read_folder(folder, 32, 0, tmp_path / "cache", DataReport())
    assert len(fewer.splits["test"]) == 5
    rows = {cloud.tobytes() for cloud in fewer.splits["test"].columns["points"]}
    whole = meshes.read_folder(write_modelnet(tmp_path / "b"), 32, 0, tmp_path / "c", DataReport())
    assert rows < {cloud.tobytes() for cloud in whole.splits["test"].columns["points"]}


def test_sampled_clouds_are_kept_until_a_mesh_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_modelnet(tmp_path / "ModelNet40")
    before = task(folder).table("train").columns["points"]
    (kept,) = (tmp_path / "cache").iterdir()

    def fail(*_: object) -> None:
        raise AssertionError("a mesh was read again")

    with monkeypatch.context() as patch:
        patch.setattr(meshes, "read_off", fail)
        assert np.array_equal(task(folder).table("train").columns["points"], before)
        with pytest.raises(AssertionError, match="read again"):
            task(folder).check()  # a check does look
    changed = folder / "chair" / "train" / "chair_0001.off"
    changed.write_text(off(QUADS, header="OFF"))
    after = task(folder).table("train").columns["points"]
    assert not np.array_equal(before, after)
    kept.write_bytes(kept.read_bytes()[:-40])
    changed.unlink()
    assert len(task(folder).table("train")) == 8  # a damaged file of another state is no matter


def test_more_points_than_usual_are_sampled_if_asked_for(tmp_path: Path) -> None:
    folder = write_modelnet(tmp_path / "ModelNet40")
    assert task(folder, count=3000).table("test").columns["points"].shape == (6, 3000, 3)


def test_category_folders_without_splits_are_divided_by_us(tmp_path: Path) -> None:
    for name in ("cube", "slab"):
        (tmp_path / "shapes" / name).mkdir(parents=True)
        for k in range(6):
            (tmp_path / "shapes" / name / f"part{k}.off").write_text(off())
    read = task(tmp_path / "shapes")
    assert read.classes == ("cube", "slab")
    assert [len(read.table(s)) for s in ("train", "val", "test")] == [8, 2, 2]
    clouds = read.table("train").columns["points"]
    assert len({cloud.tobytes() for cloud in clouds}) == 8  # one mesh, each time other points


def test_a_folder_around_the_data_is_no_matter(tmp_path: Path) -> None:
    write_modelnet(tmp_path / "unpacked" / "ModelNet10")
    (tmp_path / "unpacked" / "__MACOSX").mkdir()
    read = task(tmp_path / "unpacked")
    assert len(read.table("test")) == 6


def test_all_damage_of_a_folder_is_listed(tmp_path: Path) -> None:
    folder = write_modelnet(tmp_path / "ModelNet40")
    (folder / "bathtub" / "train" / "bathtub_0002.off").write_text("<html></html>")
    (folder / "chair" / "test" / "chair_0006.off").write_text(off()[:-30])
    (folder / "chair" / "train" / "bathtub_0099.off").write_text(off())
    (folder / "empty" / "train").mkdir(parents=True)
    data, found = task(folder).check()
    assert data is not None and len(data.splits["train"]) == 11 and len(data.splits["test"]) == 5
    assert len(found.damage) == 4
    for part in (
        "bathtub_0099.off: expected a mesh of chair, got one of bathtub",
        "empty: expected .off meshes in train or test, got none",
        "bathtub_0002.off: expected a mesh that begins with OFF, got a web page",
        "chair_0006.off, line ",
    ):
        assert any(part in line for line in found.damage)
    with pytest.raises(DataError, match=r"bathtub_0099\.off: expected a mesh of chair"):
        task(folder).prepare()
    assert not (tmp_path / "cache").exists()
