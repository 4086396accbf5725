"""OFF meshes: reading them, and drawing points uniformly from their surface.

Not torch_geometric.io.read_off and SamplePoints, tried: the reader loses the last line of a file
without a final newline and every polygon of five or more corners without a word, takes a cut-off
file for a smaller mesh, and fails on ``OFF`` with a blank behind it; its errors name neither file
nor line; and the sampler draws from PyTorch's global generator.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from nacgraph.tasks.data_report import DataReport, text_lines
from nacgraph.tasks.points.tables import shown

_HEADER = re.compile(
    r"(?P<texture>ST)?(?P<colour>C)?(?P<normal>N)?(?P<dimension>4)?OFF", re.IGNORECASE
)
Mesh = tuple[np.ndarray, np.ndarray]


class _Wrong(Exception):
    """What is wrong, and in which line, if it is one."""

    def __init__(self, what: str, line: int | None = None) -> None:
        super().__init__(what)
        self.line = line


def read_off(path: Path, found: DataReport) -> Mesh | None:
    """Vertices (V, 3) float64 and triangles (F, 3) int64 of a mesh; polygons are cut into fans.

    The counts may be glued to ``OFF``, blank lines and ``#`` comments may stand anywhere, and
    numbers behind a face's corners, its colour, are skipped; so are normals, colours and places
    in textures of vertices, which ``NOFF``, ``COFF`` and ``STOFF`` announce. None if the file is
    damaged and ``found`` collects; the faces have an area together.
    """
    try:
        return _parsed(path.read_bytes())
    except _Wrong as wrong:
        where = f"{path}, line {wrong.line}" if wrong.line is not None else path
        found.damaged(where, str(wrong))
        return None


def surface_points(mesh: Mesh, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` points (count, 3) float64, uniform over the area of all faces."""
    vertices, triangles = mesh
    corner, one, two = (vertices[triangles[:, k]] for k in range(3))
    total = np.cumsum(_areas(mesh))
    chosen = np.searchsorted(total, rng.random(count) * total[-1], side="right")
    chosen = np.minimum(chosen, len(total) - 1)  # a product may round up to the total
    u, v = rng.random((2, count, 1))
    over = u + v > 1  # the other half of the parallelogram, folded back
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    start = corner[chosen]
    return start + u * (one[chosen] - start) + v * (two[chosen] - start)


def _areas(mesh: Mesh) -> np.ndarray:
    """Twice the area of every triangle."""
    vertices, triangles = mesh
    corner, one, two = (vertices[triangles[:, k]] for k in range(3))
    return np.linalg.norm(np.cross(one - corner, two - corner), axis=1)


def _parsed(content: bytes) -> Mesh:
    lines = [
        (number, text)
        for number, line in enumerate(text_lines(content), start=1)
        if (text := line.partition("#")[0].strip())
    ]
    header = _HEADER.match(lines[0][1]) if lines else None
    if header is None:
        raise _Wrong(f"expected a mesh that begins with OFF, got {shown(content[:16])}")
    number, first = lines[0]
    rest = first[header.end() :].strip()
    if header["dimension"] or rest.upper().startswith("BINARY"):
        raise _Wrong(f"expected a mesh in three dimensions as text, got {first[:40]!r}", number)
    extra = {0}  # numbers of a vertex behind its place
    for name, sizes in (("texture", (2,)), ("colour", (3, 4)), ("normal", (3,))):
        if header[name]:
            extra = {more + size for more in extra for size in sizes}
    if not rest and len(lines) > 1:
        number, rest = lines[1]
        lines = lines[1:]
    body = lines[1:]
    counts = rest.split()
    if len(counts) not in (2, 3) or not all(word.isdecimal() for word in counts):
        raise _Wrong(f"expected numbers of vertices, faces and edges, got {rest[:40]!r}", number)
    many, faces = int(counts[0]), int(counts[1])
    if many < 3 or faces < 1:
        raise _Wrong(f"expected at least 3 vertices and a face, got {many} and {faces}", number)
    if len(body) != many + faces:
        raise _Wrong(
            f"expected {many} vertices and {faces} faces, a line each, got {len(body)} lines, the "
            "last one here",
            lines[-1][0],
        )
    vertices = _vertices(body[:many], extra)
    triangles = _triangles(body[many:], many)
    size = np.abs(vertices).max()
    # Squares of small numbers vanish, those of large ones overflow.
    total = _areas((vertices / size, triangles)).sum() if size else 0.0
    if not total > 1e-30:
        raise _Wrong("expected faces with an area, got a degenerate mesh: all of them have none")
    return vertices / size, triangles


def _vertices(lines: list[tuple[int, str]], extra: set[int]) -> np.ndarray:
    out = np.empty((len(lines), 3))
    for row, (number, text) in enumerate(lines):
        try:
            numbers = [float(word) for word in text.split()]
            out[row] = numbers[:3]
        except ValueError as error:
            raise _Wrong(f"expected three coordinates, got {text[:40]!r}", number) from error
        if not np.isfinite(out[row]).all() or len(numbers) - 3 not in extra:
            more = "" if extra == {0} else f" and {' or '.join(map(str, sorted(extra)))} more"
            what = f"expected three finite coordinates{more}, got {text[:40]!r}"
            raise _Wrong(what, number)
    return out


def _triangles(lines: list[tuple[int, str]], vertices: int) -> np.ndarray:
    fans = []
    for number, text in lines:
        words = text.split()
        try:
            size = int(words[0])
            polygon = [int(word) for word in words[1 : size + 1]]
        except ValueError as error:
            raise _Wrong(f"expected whole numbers, got {text[:40]!r}", number) from error
        if size < 3 or len(polygon) != size:
            raise _Wrong(
                f"expected a number of corners from 3 on and as many corners, got {text[:40]!r}",
                number,
            )
        for corner in polygon:
            if not 0 <= corner < vertices:
                raise _Wrong(
                    f"expected corners from 0 to {vertices - 1}, got vertex {corner}", number
                )
        fans += [(polygon[0], *pair) for pair in zip(polygon[1:], polygon[2:], strict=False)]
    return np.array(fans, np.int64)
