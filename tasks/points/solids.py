"""Generated solids: clouds on the surfaces of ten kinds of shapes, as data without any files."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nacgraph.tasks.points.clouds import normalised, rotated
from nacgraph.tasks.points.off import surface_points
from nacgraph.tasks.splits import Data, Table

POINTS = 1024
NOISE = 0.02  # standard deviation, in units of the sphere's radius
Sampler = Callable[[int, np.random.Generator], np.ndarray]


def generated(each: int, count: int, seed: int) -> Data:
    """``each`` clouds of every kind, all in "train"; those of a seed are always the same.

    Proportions are drawn at random; every cloud is turned at random about the vertical axis z,
    and each of its points (at least `POINTS`) is moved a little.
    """
    size = max(POINTS, count)
    points = np.empty((len(SOLIDS), each, size, 3), np.float32)
    for label, sampler in enumerate(SOLIDS.values()):
        for row in range(each):
            rng = np.random.default_rng((seed, label, row))
            cloud = normalised(sampler(size, rng))[None]
            cloud = rotated(cloud, "z", rng)[0]
            cloud += NOISE * rng.standard_normal(cloud.shape, dtype=np.float32)
            points[label, row] = normalised(cloud)
    labels = np.repeat(np.arange(len(SOLIDS)), each)
    table = Table(labels, {"points": points.reshape(-1, size, 3)})
    return Data({"train": table}, tuple(SOLIDS), "generated solids (synthetic, no scans or CAD)")


def sphere(count: int, rng: np.random.Generator) -> np.ndarray:
    """Points (count, 3) on the unit sphere."""
    points = rng.standard_normal((count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def ellipsoid(count: int, rng: np.random.Generator) -> np.ndarray:
    """A sphere that is stretched, at least by a third, along x or z."""
    stretch = np.ones(3)
    stretch[rng.choice([0, 2])] = rng.uniform(1.35, 2.5)
    return sphere(count, rng) * stretch


def cuboid(count: int, rng: np.random.Generator) -> np.ndarray:
    """A box with edges from 0.5 to 1."""
    edge = rng.uniform(0.5, 1, 3)
    faces = edge.prod() / edge  # of the pair at right angles to each axis
    axis = rng.choice(3, count, p=faces / faces.sum())
    points = rng.uniform(-0.5, 0.5, (count, 3))
    points[np.arange(count), axis] = rng.choice([-0.5, 0.5], count)
    return points * edge


def cylinder(count: int, rng: np.random.Generator) -> np.ndarray:
    """Upright, closed, from flat to tall."""
    height = rng.uniform(0.4, 3)
    return _turned(count, rng, [(0, 0), (1, 0), (1, height), (0, height)])


def cone(count: int, rng: np.random.Generator) -> np.ndarray:
    """Upright, closed."""
    return _turned(count, rng, [(0, 0), (1, 0), (0, rng.uniform(1, 3))])


def double_cone(count: int, rng: np.random.Generator) -> np.ndarray:
    """Two cones base to base: a spinning top."""
    return _turned(count, rng, [(0, 0), (1, rng.uniform(0.6, 1.5)), (0, rng.uniform(1.8, 3))])


def pyramid(count: int, rng: np.random.Generator) -> np.ndarray:
    """A square base and four sides that meet at a point."""
    base = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], float)
    top = np.array([0, 0, rng.uniform(1, 3)])
    sides = [[base[k], base[k - 1], top] for k in range(4)]
    return _on_triangles(count, rng, np.array([base[:3], base[[0, 2, 3]], *sides]))


def prism(count: int, rng: np.random.Generator) -> np.ndarray:
    """Upright, over a triangle of equal sides."""
    angle = 2 * np.pi * np.arange(3) / 3
    low = np.stack([np.cos(angle), np.sin(angle), np.zeros(3)], 1)
    high = low + np.array([0, 0, rng.uniform(0.5, 3)])
    sides = [
        half
        for k in range(3)
        for half in ([low[k - 1], low[k], high[k]], [low[k - 1], high[k], high[k - 1]])
    ]
    return _on_triangles(count, rng, np.array([low, high, *sides]))


def torus(count: int, rng: np.random.Generator) -> np.ndarray:
    """Lying, with a tube from 0.15 to 0.45 of the ring."""
    tube = rng.uniform(0.15, 0.45)
    # The outside of the tube has more area than the inside: angles are drawn by it.
    bend = np.empty(0)
    while len(bend) < count:
        angle = rng.uniform(0, 2 * np.pi, 2 * count)
        keep = rng.random(2 * count) * (1 + tube) < 1 + tube * np.cos(angle)
        bend = np.concatenate([bend, angle[keep]])
    bend, around = bend[:count], rng.uniform(0, 2 * np.pi, count)
    radius = 1 + tube * np.cos(bend)
    return np.stack([radius * np.cos(around), radius * np.sin(around), tube * np.sin(bend)], 1)


def helix(count: int, rng: np.random.Generator) -> np.ndarray:
    """A wire wound upwards, two to five turns."""
    turns, height, wire = rng.uniform(2, 5), rng.uniform(1, 3), rng.uniform(0.03, 0.12)
    place = rng.random(count)
    angle = 2 * np.pi * turns * place
    line = np.stack([np.cos(angle), np.sin(angle), height * place], 1)
    return line + wire * sphere(count, rng)


SOLIDS: dict[str, Sampler] = {
    "sphere": sphere, "ellipsoid": ellipsoid, "cuboid": cuboid, "cylinder": cylinder,
    "cone": cone, "double cone": double_cone, "pyramid": pyramid, "prism": prism,
    "torus": torus, "helix": helix,
}  # fmt: skip


def _turned(count: int, rng: np.random.Generator, outline: list[tuple[float, float]]) -> np.ndarray:
    """Points on the surface that an outline of (radius, height) makes, turned about z."""
    ends = np.array(outline)
    start, stop = ends[:-1], ends[1:]
    slant = np.linalg.norm(stop - start, axis=1)
    area = slant * (start[:, 0] + stop[:, 0])
    part = rng.choice(len(area), count, p=area / area.sum())
    # Along a part, the share of its area below a point at t is (2 r t + (R - r) t²) / (R + r).
    inner, outer, share = start[part, 0], stop[part, 0], rng.random(count)
    square = inner**2 + share * (outer**2 - inner**2)
    even = np.isclose(inner, outer)
    step = np.where(even, 1.0, outer - inner)
    along = np.where(even, share, (np.sqrt(square) - inner) / step)
    radius, height = (start[part] + along[:, None] * (stop - start)[part]).T
    angle = rng.uniform(0, 2 * np.pi, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], 1)


def _on_triangles(count: int, rng: np.random.Generator, corners: np.ndarray) -> np.ndarray:
    """Points on triangles (F, 3, 3), uniform by area."""
    vertices = corners.reshape(-1, 3)
    return surface_points((vertices, np.arange(len(vertices)).reshape(-1, 3)), count, rng)
