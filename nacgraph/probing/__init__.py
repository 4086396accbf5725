"""What every module of a trained circuit does, measured on real samples."""

from __future__ import annotations

from nacgraph.probing.measure import probe
from nacgraph.probing.reading import read_weights, readings
from nacgraph.probing.removal import Lesions, affordable, lesions
from nacgraph.probing.results import Probe, contributions
from nacgraph.probing.sensitivity import contribution, measured_contributions, sensitivities

__all__ = [
    "Lesions",
    "Probe",
    "affordable",
    "contribution",
    "contributions",
    "lesions",
    "measured_contributions",
    "probe",
    "read_weights",
    "readings",
    "sensitivities",
]
