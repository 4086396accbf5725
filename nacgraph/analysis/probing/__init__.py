"""What every module of a trained circuit does, measured on real samples."""

from __future__ import annotations

from nacgraph.analysis.probing.measure import probe
from nacgraph.analysis.probing.reading import Reading, watched
from nacgraph.analysis.probing.removal import Lesions, affordable, lesions
from nacgraph.analysis.probing.results import Probe, contributions
from nacgraph.analysis.probing.sensitivity import (
    contribution,
    measured_contributions,
    sensitivities,
)

__all__ = [
    "Lesions",
    "Probe",
    "Reading",
    "affordable",
    "contribution",
    "contributions",
    "lesions",
    "measured_contributions",
    "probe",
    "sensitivities",
    "watched",
]
