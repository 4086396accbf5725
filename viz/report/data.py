"""What a report is made of, and the checks on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Picture:
    """A static figure: SVG text whose ink is drawn as ``currentColor``."""

    name: str
    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class ReportData:
    """All that a report shows. Texts are shown as they are; none can act as markup.

    Args:
        title: For example "nac on listops under ring_of_cliques".
        facts: Name and value of the key lines at the top.
        statistics: The content of ``stats.json``; missing keys leave their section out.
        probability: Link probabilities P among processors.
        readout_probability: Link probabilities from processors to read-outs.
        positions: Where the processors lie, by a layout made elsewhere.
        readout_positions: Where the read-outs lie, in the same plane.
        order: Processors in matched order, for the heat map.
        target: The prior's link probabilities T, in that order.
        pictures: Static figures.
        notes: Warnings, and what was not computed and why.
        commands: How the run and this report were made, or what to run next.

    Shapes:
        probability, target (U, U) · readout_probability (O, U) · positions (U, 2) ·
        readout_positions (O, 2) · order (U)
    """

    title: str
    facts: Sequence[tuple[str, str]]
    statistics: Mapping[str, Any]
    probability: np.ndarray
    readout_probability: np.ndarray | None
    positions: np.ndarray
    readout_positions: np.ndarray | None
    order: Sequence[int]
    target: np.ndarray | None
    pictures: Sequence[Picture]
    notes: Sequence[str]
    commands: Sequence[str]


def check_data(data: ReportData) -> None:
    """Shapes, ranges and names.

    Raises:
        ValueError: Naming the field, what was expected and what came.
    """
    shape = np.shape(data.probability)
    if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
        raise ValueError(f"probability: expected (U, U) with U >= 1, got {shape}")
    modules = shape[0]
    _probabilities("probability", data.probability, (modules, modules))
    _points("positions", data.positions, modules)
    if (data.readout_probability is None) != (data.readout_positions is None):
        raise ValueError(
            "readout_positions: expected both readout_probability and readout_positions, got one"
        )
    if data.readout_probability is not None and data.readout_positions is not None:
        count = len(data.readout_probability)
        _probabilities("readout_probability", data.readout_probability, (count, modules))
        _points("readout_positions", data.readout_positions, count)
    if sorted(int(k) for k in data.order) != list(range(modules)):
        raise ValueError(f"order: expected each of 0 … {modules - 1} once, got {len(data.order)}")
    if data.target is not None:
        _probabilities("target", data.target, (modules, modules))
    names = [picture.name for picture in data.pictures]
    if len(set(names)) < len(names):
        raise ValueError(f"pictures: expected different names, got {names}")


def _probabilities(name: str, values: np.ndarray, shape: tuple[int, int]) -> None:
    if np.shape(values) != shape:
        raise ValueError(f"{name}: expected {shape}, got {np.shape(values)}")
    # Cosines of equal vectors miss 1 by rounding, so P may pass 1 by as much.
    good = (np.asarray(values) >= -1e-6) & (np.asarray(values) <= 1 + 1e-6)
    if not good.all():
        raise ValueError(f"{name}: expected values from 0 to 1, got {(~good).sum()} others")


def _points(name: str, values: np.ndarray, count: int) -> None:
    if np.shape(values) != (count, 2):
        raise ValueError(f"{name}: expected ({count}, 2), got {np.shape(values)}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: expected finite numbers, got others")
